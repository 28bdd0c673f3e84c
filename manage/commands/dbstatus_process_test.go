//go:build unix

package commands_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// buildDemo builds the demo, whose /slow holds its connection when it is asked to.
func buildDemo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manage")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "github.com/goquintet/quintet/manage").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// beside is a site whose processes are started by hand.
type beside struct {
	program, dir string
	environ      []string
}

func (b beside) run(t *testing.T, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), b.program, args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = b.dir, append(os.Environ(), b.environ...), &out, &errs
	err := cmd.Run()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// said is what it has written so far.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// TestDbstatus_ProcessesSideBySide: two processes of a built program on one database.
// The folder of their sockets is nobody's choice, and no secret is shown.
func TestDbstatus_ProcessesSideBySide(t *testing.T) {
	t.Parallel()
	program := buildDemo(t)
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		yaml := anyHost + "SECRET_KEY: hunter2\nDATABASES:\n  default:\n    CONN_MAX_AGE: 60\n    ENGINE: " + settings.Engine + "\n    NAME: " + settings.Name + "\n"
		if settings.Engine == dbtest.Postgres {
			yaml += fmt.Sprintf("    HOST: %s\n    PORT: %d\n    USER: %s\n    PASSWORD: hunter2\n    OPTIONS: {sslmode: disable}\n", settings.Host, settings.Port, settings.User)
		}
		runtime := sockets(t)
		b := beside{program, siteFolder(t, yaml), []string{"XDG_RUNTIME_DIR=" + runtime}}
		if r := b.run(t, "migrate"); r.status != 0 {
			t.Fatalf("migrate: %+v", r)
		}
		serve := func() (*process, string) {
			p := start(t, b.dir, nil, b.environ, program, "serve", "--addr", "127.0.0.1:0")
			return p, p.serving(t, 1)[0]
		}
		first, firstAt := serve()
		second, secondAt := serve()
		open(t, clientOf(t, "tcp", secondAt, nil), "/slow?keep=yes&chunks=10000&delay=50ms", "chunk 1 of 10000 about 8 regions")

		r := b.run(t, "dbstatus")
		for _, want := range []string{
			fmt.Sprintf(`(?m)^  %d +%s +\S+ +\d+ +10 +\d+ +0 +0 +- `, first.Process.Pid, firstAt),
			fmt.Sprintf(`(?m)^  %d +%s +\S+ +\d+ +10 +\d+ +1 +0 +\S+ `, second.Process.Pid, secondAt),
			fmt.Sprintf(`(?m)^  %d +\S+ +\S+ +- +GET /slow \(streaming\) +demo/slow.go:\d+ +SELECT count`, second.Process.Pid),
		} {
			if r.status != 0 || !regexp.MustCompile(want).MatchString(r.out) {
				t.Errorf("dbstatus ends with %d and says\n%s%s\nwant %s", r.status, r.out, r.errors, want)
			}
		}
		report := b.run(t, "dbstatus", "--json")
		var got struct {
			Processes []struct {
				PID    int
				Status app.Status
			}
			Databases []struct {
				Postgres struct {
					Activity []struct {
						Application string
						Count       int
					}
				}
			}
		}
		if err := json.Unmarshal([]byte(report.out), &got); err != nil || len(got.Processes) != 2 || len(got.Databases) != 1 {
			t.Fatalf("%v: %+v", err, report)
		}
		inside, counted := 0, 0
		for _, p := range got.Processes {
			inside += p.Status.Databases[0].Open
		}
		for _, a := range got.Databases[0].Postgres.Activity {
			if a.Application == "quintet" {
				counted += a.Count
			}
		}
		if settings.Engine == dbtest.Postgres && (inside != counted || inside == 0) {
			t.Errorf("the processes have %d connections open, the server counts %d: %s", inside, counted, report.out)
		}
		for _, text := range []string{r.out, r.errors, report.out, report.errors, first.said(), second.said()} {
			if strings.Contains(text, "hunter2") {
				t.Errorf("it shows a secret:\n%s", text)
			}
		}

		second.signal(t, syscall.SIGSTOP)
		r = b.run(t, "dbstatus")
		if want := fmt.Sprintf("error: the process %d does not say how it is: no answer in time: context deadline exceeded\nhint: it may hang, or be stopped", second.Process.Pid); r.status != 1 || !strings.HasPrefix(r.errors, want) ||
			!strings.Contains(r.out, firstAt) {
			t.Errorf("with a process that is stopped: %+v", r)
		}
		second.signal(t, syscall.SIGKILL)
		second.ends(t)
		r = b.run(t, "dbstatus")
		if r.status != 0 || strings.Contains(r.out, secondAt) || !strings.Contains(r.out, firstAt) {
			t.Errorf("with a process that was killed: %+v", r)
		}
		if left, err := filepath.Glob(filepath.Join(runtime, "quintet", "*", "*")); err != nil || len(left) != 1 {
			t.Errorf("the sockets are %v, %v", left, err)
		}
		first.stops(t)
		if left, err := filepath.Glob(filepath.Join(runtime, "quintet", "*")); err != nil || len(left) != 0 {
			t.Errorf("at the end there are %v, %v", left, err)
		}
		if r := b.run(t, "dbstatus"); r.status != 1 || !strings.HasPrefix(r.errors, "error: no process serves this site\nhint: ") || !strings.HasPrefix(r.out, "default  "+settings.Engine) {
			t.Errorf("at the end: %+v", r)
		}
	})
}

// On a terminal --watch writes over what is there, until Ctrl-C.
func TestDbstatus_WatchOnATerminal(t *testing.T) {
	t.Parallel()
	script, err := exec.LookPath("script")
	if err != nil {
		t.Skip("script, of util-linux, is not installed")
	}
	program := buildDemo(t)
	dir := siteFolder(t, anyHost+"DATABASES: {default: {ENGINE: sqlite, NAME: ':memory:'}}\n")
	// Without exec a shell may stay in between, whom Ctrl-C ends as well.
	cmd := exec.CommandContext(t.Context(), script, "-qec", "exec "+program+" dbstatus --watch", "/dev/null")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TERM=xterm", "NO_COLOR=1", "QUINTET_ADMIN_SOCKETS="+sockets(t))
	keyboard, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const endOfFrame = "\x1b[J\x1b[?7h"
	var text strings.Builder
	for screen := bufio.NewReader(terminal); strings.Count(text.String(), endOfFrame) < 2; {
		b, err := screen.ReadByte()
		if err != nil {
			t.Fatalf("it ends with %v after %q", err, text.String())
		}
		text.WriteByte(b)
		if strings.Count(text.String(), endOfFrame) == 2 {
			if _, err := io.WriteString(keyboard, "\x03"); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, screen) }()
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("Ctrl-C ends it with %v", err)
	}
	frames := strings.Split(text.String(), endOfFrame)
	if !strings.HasPrefix(frames[0], "\x1b[2J\x1b[?7l\x1b[H") || !strings.HasPrefix(frames[1], "\x1b[?7l\x1b[H") ||
		!strings.Contains(frames[1], "no process serves this site\x1b[K\r\n") || strings.Contains(frames[1], "\x1b[33m") {
		t.Errorf("it writes %q", frames)
	}
}
