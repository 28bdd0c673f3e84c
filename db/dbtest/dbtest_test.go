package dbtest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

func TestDatabase_IsPrivateAndEmptyAndGoneAfterwards(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			var left db.Settings
			t.Run("a test", func(t *testing.T) {
				first, second := dbtest.Database(t, engine), dbtest.Database(t, engine)
				left = first
				for _, settings := range []db.Settings{first, second} {
					conns := dbtest.Open(t, settings)
					if err := conns.Run(t.Context(), "fill", func(ctx context.Context) error {
						_, err := db.From(ctx).ExecContext(ctx, "CREATE TABLE same (id integer)")
						return err
					}); err != nil {
						t.Error(err)
					}
				}
			})
			switch engine {
			case dbtest.SQLite:
				if _, err := os.Stat(left.Name); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the file is left: %v", err)
				}
			case dbtest.Postgres:
				rows, err := dbtest.Server(t).Query(t.Context(), "postgres", "SELECT count(*) FROM pg_database WHERE datname = $1", left.Name)
				if err != nil || rows[0][0] != "0" {
					t.Errorf("the database is left: %v, %v", rows, err)
				}
			}
		})
	}
}

func TestTemplate_IsFilledOnceAndCopiedForEachTest(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			filled := 0
			template := dbtest.NewTemplate(func(ctx context.Context, _ *db.Connections) error {
				filled++
				if _, err := db.From(ctx).ExecContext(ctx, "CREATE TABLE fruit (name text)"); err != nil {
					return err
				}
				_, err := db.From(ctx).ExecContext(ctx, "INSERT INTO fruit VALUES ('apple')")
				return err
			})
			for range 3 {
				conns := dbtest.Open(t, template.Database(t, engine))
				if err := conns.Run(t.Context(), "count", func(ctx context.Context) error {
					var n int
					if err := db.From(ctx).QueryRowContext(ctx, "SELECT count(*) FROM fruit").Scan(&n); err != nil {
						return err
					}
					if n != 1 {
						t.Errorf("%d rows, want the template's one", n)
					}
					_, err := db.From(ctx).ExecContext(ctx, "INSERT INTO fruit VALUES ('pear')")
					return err
				}); err != nil {
					t.Error(err)
				}
			}
			if filled != 1 {
				t.Errorf("filled %d times", filled)
			}
		})
	}
}

func TestOpen_FailsTheTestThatLeavesALease(t *testing.T) {
	t.Parallel()
	r := &recorder{TB: t}
	conns := dbtest.Open(r, dbtest.Database(t, dbtest.SQLite))
	ctx, sc := conns.NewScope(t.Context(), "/forgotten")
	if err := db.From(ctx).EnsureConnection(ctx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.end()
	}()
	await(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.errors) > 0
	})
	if err := sc.End(); err != nil { // so that Close need not wait
		t.Error(err)
	}
	<-ended
	if text := strings.Join(r.errors, "\n"); !strings.Contains(text, "/forgotten") || !strings.Contains(text, "dbtest_test.go:") {
		t.Errorf("it does not say who and where: %s", text)
	}
}

func await(t *testing.T, condition func() bool) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !condition() {
		<-again.C
	}
}

func TestGoroutines_FindsWhatTheTestHasStartedAndNothingElse(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	elsewhere := make(chan struct{})
	go func() { // before: not the test's
		close(elsewhere)
		<-stop
	}()
	<-elsewhere

	run := func(body func()) string {
		r := &recorder{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			dbtest.Goroutines(r)
			body()
			r.end()
		}()
		<-done
		return strings.Join(r.errors, "\n")
	}
	if text := run(func() {}); text != "" {
		t.Errorf("a test that starts nothing: %s", text)
	}
	started := make(chan struct{})
	text := run(func() {
		go func() {
			go leaked(started, stop) // by a goroutine that has ended
		}()
		<-started
	})
	if !strings.Contains(text, "dbtest_test.leaked") {
		t.Errorf("a goroutine of a goroutine is not found: %q", text)
	}
	close(stop)
}

func leaked(started, stop chan struct{}) {
	close(started)
	<-stop
}

func TestProxy_FreezesResetsAndRefuses(t *testing.T) {
	t.Parallel()
	dbtest.Goroutines(t)
	proxy, settings := dbtest.NewProxy(t, dbtest.Database(t, dbtest.Postgres))
	settings.ConnMaxAge, settings.AcquireTimeout = db.Forever, 200*time.Millisecond
	conns := dbtest.Open(t, settings)
	use := func() error {
		return conns.Run(t.Context(), "use", func(ctx context.Context) error {
			_, err := db.From(ctx).ExecContext(ctx, "SELECT 1")
			return err
		})
	}
	if err := use(); err != nil {
		t.Fatal(err)
	}
	if n := proxy.Flows(); n != 1 {
		t.Errorf("%d flows, want 1", n)
	}

	proxy.Freeze()
	ended := make(chan error, 1)
	go func() { ended <- use() }()
	select {
	case err := <-ended:
		t.Errorf("a frozen statement ended: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	proxy.Thaw()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	proxy.Reset()
	proxy.Refuse()
	if err := use(); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("while it refuses: %v, want ErrUnavailable", err)
	}
	proxy.Accept(t)
	for err := use(); err != nil; err = use() { // the next attempt to connect may come later than one waits
		if !errors.Is(err, db.ErrUnavailable) {
			t.Fatal(err)
		}
	}
}

func TestKill_EndsTheSessionsOfOneDatabase(t *testing.T) {
	t.Parallel()
	mine, other := dbtest.Database(t, dbtest.Postgres), dbtest.Database(t, dbtest.Postgres)
	for _, settings := range []db.Settings{mine, other} {
		settings.ConnMaxAge = db.Forever
		conns := dbtest.Open(t, settings)
		if err := conns.Run(t.Context(), "open", func(ctx context.Context) error { return db.From(ctx).EnsureConnection(ctx) }); err != nil {
			t.Fatal(err)
		}
	}
	if n := dbtest.Kill(t, mine); n != 1 {
		t.Errorf("%d killed, want 1", n)
	}
	if n := len(dbtest.Backends(t, mine)); n != 0 {
		t.Errorf("%d are left", n)
	}
	if n := len(dbtest.Backends(t, other)); n != 1 {
		t.Errorf("%d of the other database are left, want 1", n)
	}
}

// missing runs the test named below in a process of its own, in which PostgreSQL
// cannot be found.
func missing(t *testing.T, env ...string) (output string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEngine_Postgres$", "-test.v")
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "QUINTET_") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	cmd.Env = append(append(cmd.Env, "PGBIN="+t.TempDir()), env...)
	text, err := cmd.CombinedOutput()
	return string(text), err
}

func TestDatabase_WithoutPostgreSQLSkipsWithOnePlainText(t *testing.T) {
	t.Parallel()
	output, err := missing(t)
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	if !strings.Contains(output, "--- SKIP: TestEngine_Postgres") || !strings.Contains(output, ": PostgreSQL is not installed: ") {
		t.Errorf("no skip, or another text:\n%s", output)
	}
}

func TestDatabase_WithoutARequiredPostgreSQLFails(t *testing.T) {
	t.Parallel()
	output, err := missing(t, dbtest.RequireKey+"=sqlite,postgres")
	if err == nil || !strings.Contains(output, "--- FAIL: TestEngine_Postgres") {
		t.Errorf("it did not fail:\n%s", output)
	}
}

func TestDatabase_ATestOfAnUnknownEngineFails(t *testing.T) {
	t.Parallel()
	r := &recorder{TB: t}
	func() {
		defer func() { _ = recover() }()
		dbtest.Database(fatal{r}, "oracle")
	}()
	if text := strings.Join(r.errors, ""); !strings.Contains(text, `"oracle" is unknown`) {
		t.Errorf("%q", text)
	}
}

// fatal ends a recorded test by a panic.
type fatal struct{ *recorder }

func (f fatal) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	panic("fatal")
}
