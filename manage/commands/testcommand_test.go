package commands_test

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres/server"
	"github.com/goquintet/quintet/manage/commands"
)

// project is a module whose packages pass, fail, skip, panic, hang, and do not build.
func project(t *testing.T) commands.Env {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/polls\n\ngo 1.26\n",
		"good/good_test.go": `package good
import "testing"
func TestOne(t *testing.T) { t.Log("nobody reads this") }
func TestMany(t *testing.T) {
	t.Run("first", func(t *testing.T) {})
	t.Run("second", func(t *testing.T) { t.Skip("not today") })
}
func TestPostgres(t *testing.T) { t.Skip("PostgreSQL is not installed: run \"apt-get install postgresql\"") }
func TestProxy(t *testing.T) {
	for range 2 { t.Run("of", func(t *testing.T) { t.Skip("nginx is not installed: run \"apt-get install nginx\"") }) }
}
`,
		"env/env_test.go": `package env
import ("os"; "testing")
func TestServer(t *testing.T) {
	address := os.Getenv("QUINTET_TEST_POSTGRES")
	if address == "" { t.Error("no server") }
	if err := os.WriteFile("server", []byte(address), 0o600); err != nil { t.Error(err) }
}
func TestRequired(t *testing.T) { if os.Getenv("QUINTET_REQUIRE") != "postgres" { t.Error("not required") } }
`,
		"bad/bad_test.go": `package bad
import "testing"
func TestFine(t *testing.T) {}
func TestWrong(t *testing.T) {
	t.Run("here", func(t *testing.T) { t.Error("two and two are five") })
	t.Run("there", func(t *testing.T) {})
}
func TestPath(t *testing.T) { t.Run("no/such/place", func(t *testing.T) {}) }
`,
		"panics/panics_test.go": `package panics
import "testing"
func TestFine(t *testing.T) {}
func TestPanic(t *testing.T) { panic("the ballot box is open") }
`,
		"hangs/hangs_test.go": `package hangs
import "testing"
var begun = make(chan struct{})
func TestHangs(t *testing.T) { t.Parallel(); close(begun); select {} }
func TestFine(t *testing.T) { t.Parallel(); <-begun }
`,
		"twice/twice_test.go": `package twice
import "testing"
var runs int
func TestOften(t *testing.T) {
	if runs++; runs > 1 { t.Fatal("the second time") }
	t.Log("the first time")
}
`,
		"broken/broken_test.go": "package broken\nfunc nothing() { undefined() }\n",
		"exits/exits_test.go": `package exits
import ("os"; "testing")
func TestMain(m *testing.M) { os.Stderr.WriteString("no voters\n"); os.Exit(3) }
`,
		"empty/empty.go": "package empty\n",
		"slow/slow_test.go": `package slow
import ("testing"; "time")
func TestQuick(t *testing.T) {}
func TestSlow(t *testing.T) { t.Run("part", func(t *testing.T) { time.Sleep(150 * time.Millisecond) }) }
func TestSlower(t *testing.T) { time.Sleep(400 * time.Millisecond) }
func TestLater(t *testing.T) { t.Log("something"); t.SkipNow() }
func TestNever(t *testing.T) { t.SkipNow() }
func TestNeither(t *testing.T) { t.Skipf("something") }
`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return commands.Env{Dir: dir}
}

// withoutPostgres makes this machine look as if it had none.
func withoutPostgres(t *testing.T) {
	t.Helper()
	t.Setenv("PGBIN", t.TempDir())
	t.Setenv(server.EnvKey, "")
	t.Setenv("QUINTET_REQUIRE", "")
}

func TestTestReportsEachPackageAndCounts(t *testing.T) {
	withoutPostgres(t)
	r := run(t, project(t), "test", "./good", "./bad", "./empty")
	out := regexp.MustCompile(`\([0-9.]+m?s\)`).ReplaceAllString(r.out, "(0s)")
	if r.status != 1 || r.errors != "" {
		t.Errorf("it ends with %d: %s", r.status, r.errors)
	}
	for _, want := range []string{
		"ok   example.com/polls/good (0s): 2 passed, 0 failed, 4 skipped\n",
		"FAIL example.com/polls/bad (0s): 3 passed, 1 failed, 0 skipped\n",
		"bad_test.go:5: two and two are five\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "nobody reads this") || strings.Contains(out, "empty") || strings.Contains(out, "no/such") {
		t.Errorf("it says too much:\n%s", out)
	}
	want := "skipped 1: not today\n" +
		"PostgreSQL is not installed: 1 test was skipped; run \"apt-get install postgresql\"; --require=postgres makes this a failure\n" +
		"nginx is not installed: 2 tests were skipped; run \"apt-get install nginx\"; --require=nginx makes this a failure\n" +
		"5 passed, 1 failed, 4 skipped\n"
	if !strings.HasSuffix(out, want) {
		t.Errorf("its last lines are not\n%sbut\n%s", want, out)
	}
}

func TestTestShowsWhatBrokeAPackage(t *testing.T) {
	withoutPostgres(t)
	r := run(t, project(t), "test", "./panics", "./broken", "./exits")
	if r.status != 1 || !strings.HasSuffix(r.out, "\n1 passed, 1 failed, 0 skipped\n") {
		t.Errorf("it ends with %d", r.status)
	}
	for _, want := range []string{
		"the ballot box is open",
		"FAIL example.com/polls/panics",
		"undefined: undefined",
		"FAIL example.com/polls/broken (does not build): 0 passed, 0 failed, 0 skipped\n",
		"no voters\n",
		"FAIL example.com/polls/exits",
	} {
		if !strings.Contains(r.out, want) {
			t.Errorf("it does not say %q:\n%s%s", want, r.out, r.errors)
		}
	}
}

// The dump is said to be of the test that spoke last, which has passed.
func TestTestShowsWhereATestHangs(t *testing.T) {
	withoutPostgres(t)
	r := run(t, project(t), "test", "./hangs", "--", "-timeout", "1s")
	if r.status != 1 || !strings.HasSuffix(r.out, "\n1 passed, 1 failed, 0 skipped\n") {
		t.Errorf("it ends with %d", r.status)
	}
	for _, want := range []string{"TestHangs has not come to its end\n", "panic: test timed out after 1s\n", "hangs_test.go:4 "} {
		if !strings.Contains(r.out, want) {
			t.Errorf("it does not say %q:\n%s%s", want, r.out, r.errors)
		}
	}
}

func TestTestShowsTheRunThatFailed(t *testing.T) {
	withoutPostgres(t)
	r := run(t, project(t), "test", "./twice", "--", "-count=2")
	if r.status != 1 || !strings.HasSuffix(r.out, "\n1 passed, 1 failed, 0 skipped\n") {
		t.Errorf("it ends with %d:\n%s", r.status, r.out)
	}
	if strings.Count(r.out, "the second time") != 1 || strings.Contains(r.out, "the first time") || strings.Count(r.out, "--- FAIL: TestOften") != 1 {
		t.Errorf("it does not show the second run alone:\n%s", r.out)
	}
}

func TestTestPassesFlagsOn(t *testing.T) {
	withoutPostgres(t)
	r := run(t, project(t), "test", "./bad", "./good", "--", "-run", "Fine|One", "-v")
	if r.status != 0 || !strings.HasSuffix(r.out, "\n2 passed, 0 failed, 0 skipped\n") || !strings.Contains(r.out, "nobody reads this") {
		t.Errorf("with -run and -v: %+v", r)
	}
	r = run(t, project(t), "test", "./good", "--", "-no-such-flag")
	if r.status != 1 || !strings.Contains(r.errors+r.out, "-no-such-flag") {
		t.Errorf("with a wrong flag: %+v", r)
	}
}

func TestTestRequiresPostgres(t *testing.T) {
	withoutPostgres(t)
	r := run(t, project(t), "test", "--require=postgres")
	if r.status != 1 || r.out != "" || !strings.HasPrefix(r.errors, "error: server: PostgreSQL is not installed: ") ||
		!strings.HasSuffix(r.errors, "\nhint: leave --require=postgres out to skip its tests\n") {
		t.Errorf("without PostgreSQL: %+v", r)
	}
}

// TestTestStartsOneServerForAll also shows that the server goes away again.
func TestTestStartsOneServerForAll(t *testing.T) {
	dbtest.Server(t) // skips, or fails, where there is none
	t.Setenv(server.EnvKey, "")
	env := project(t)
	r := run(t, env, "test", "./env", "--require=postgres")
	if r.status != 0 || !strings.HasSuffix(r.out, "2 passed, 0 failed, 0 skipped\n") {
		t.Errorf("with PostgreSQL: %+v", r)
	}
	address, err := os.ReadFile(filepath.Join(env.Dir, "env", "server"))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(string(address))
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", u.Host); err == nil {
		conn.Close()
		t.Errorf("the server at %s still runs", u.Host)
	}
}

// TestTestShowsTheSlowestAndWhyTestsAreSkipped: a test that has parts is their sum,
// and not shown beside them.
func TestTestShowsTheSlowestAndWhyTestsAreSkipped(t *testing.T) {
	withoutPostgres(t)
	env := project(t)
	untimed := func(r result) string { return regexp.MustCompile(`[0-9.]+s`).ReplaceAllString(r.out, "0s") }
	want := "Slowest tests:\n     0s example.com/polls/slow.TestSlower\n     0s example.com/polls/slow.TestSlow/part\n" +
		"skipped 1: no reason given\nskipped 2: something\n3 passed, 0 failed, 3 skipped\n"
	if r := run(t, env, "test", "./slow"); r.status != 0 || !strings.HasSuffix(untimed(r), want) {
		t.Errorf("test: %+v", r)
	}
	if r := run(t, env, "test", "./slow", "--slowest=1"); !strings.Contains(r.out, "TestSlower") || strings.Contains(r.out, "part") {
		t.Errorf("--slowest=1: %+v", r)
	}
	if r := run(t, env, "test", "./slow", "--slowest=0"); r.status != 0 || strings.Contains(r.out, "Slow") {
		t.Errorf("--slowest=0: %+v", r)
	}
}
