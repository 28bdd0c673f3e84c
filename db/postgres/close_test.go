package postgres_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/db/postgres/server"
)

// await asks the server until the answer is want.
func await(tb testing.TB, srv *server.Server, want, sql string, args ...string) {
	tb.Helper()
	for {
		rows, err := srv.Query(tb.Context(), "postgres", sql, args...)
		if err != nil {
			tb.Fatal(err)
		}
		if rows[0][0] == want {
			return
		}
	}
}

// awaitRunning waits until the sessions of the application run n statements.
func awaitRunning(tb testing.TB, srv *server.Server, n, application string) {
	tb.Helper()
	await(tb, srv, n, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND state = 'active'", application)
}

func backends(tb testing.TB, srv *server.Server, application string) int {
	tb.Helper()
	pids, err := srv.Backends(tb.Context(), application)
	if err != nil {
		tb.Fatal(err)
	}
	return len(pids)
}

func TestClose_TheBackendIsGoneWhenItReturns(t *testing.T) {
	t.Parallel()
	srv := running(t)
	for name, use := range map[string]func(t *testing.T, c driver.Conn){
		"idle":           func(t *testing.T, c driver.Conn) {},
		"in transaction": func(t *testing.T, c driver.Conn) { exec(t, c, "BEGIN") },
		"failed": func(t *testing.T, c driver.Conn) {
			if err := tryExec(c, "nonsense"); err == nil {
				t.Error("no error")
			}
		},
		"open rows": func(t *testing.T, c driver.Conn) {
			if _, err := c.(driver.QueryerContext).QueryContext(t.Context(), "SELECT repeat('x', 1000) FROM generate_series(1, 1000000)", nil); err != nil {
				t.Error(err)
			}
		},
		"rows that are waited for": func(t *testing.T, c driver.Conn) {
			if _, err := c.(driver.QueryerContext).QueryContext(t.Context(), "SELECT pg_sleep(CASE n WHEN 2000 THEN 60 ELSE 0 END), repeat('x', 100) FROM generate_series(1, 3000) n", nil); err != nil {
				t.Error(err)
			}
		},
	} {
		for _, way := range []string{"tcp", "unix"} {
			t.Run(name+" "+way, func(t *testing.T) {
				t.Parallel()
				s := settings(t, srv)
				if way == "unix" {
					if srv.SocketDir == "" {
						t.Skip("the server of another process: its socket is not known")
					}
					s.Host = srv.SocketDir
				}
				d := open(t, s)
				proven := 0
				for range 5 {
					c, err := d.Connect(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					use(t, c)
					gone := closed(t, d, c)
					if again := closed(t, d, c); again != gone {
						t.Errorf("closed twice: %v, then %v", gone, again)
					}
					if !gone { // it said so
						await(t, srv, "0", "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", application(t))
						continue
					}
					proven++
					if n := backends(t, srv, application(t)); n != 0 {
						t.Fatalf("%d backends after Close", n)
					}
				}
				if proven == 0 {
					t.Error("the server never ended a session within 250ms")
				}
			})
		}
	}
}

func TestClose_WaitsAQuarterOfASecondForASilentServer(t *testing.T) {
	t.Parallel()
	s, p := through(t, running(t))
	d := open(t, s)
	c, err := d.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.freeze()
	began := time.Now()
	err = d.Close(c)
	if took := time.Since(began); took < 200*time.Millisecond || took > 2*time.Second {
		t.Errorf("took %s", took)
	}
	if err == nil || !strings.Contains(err.Error(), "250ms") {
		t.Errorf("got %v", err)
	}
}

func TestClose_OfADeadConnectionIsNoError(t *testing.T) {
	t.Parallel()
	srv := running(t)
	for name, kill := range map[string]func(d pool.Driver, c driver.Conn, p *proxy) error{
		"terminated": func(d pool.Driver, c driver.Conn, p *proxy) error {
			pids, err := srv.Backends(t.Context(), t.Name()+"/terminated")
			return errors.Join(err, srv.Terminate(t.Context(), pids...))
		},
		"reset":  func(d pool.Driver, c driver.Conn, p *proxy) error { p.reset(); return nil },
		"killed": func(d pool.Driver, c driver.Conn, p *proxy) error { d.Kill(c); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p := through(t, srv)
			d := open(t, s)
			c, err := d.Connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := kill(d, c, p); err != nil {
				t.Fatal(err)
			}
			closed(t, d, c)
		})
	}
}

func TestKill_EndsTheCallThatAnotherGoroutineIsIn(t *testing.T) {
	t.Parallel()
	srv := running(t)
	d := open(t, settings(t, srv))
	c, err := d.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- tryExec(c, "SELECT pg_sleep(600)") }()
	awaitRunning(t, srv, "1", application(t))
	d.Kill(c)
	d.Kill(c)
	if err := <-ended; d.Classify(err) != pool.Lost {
		t.Errorf("got class %d of %v, want Lost", d.Classify(err), err)
	}
	if d.Peek(c) == nil {
		t.Error("Peek sees nothing")
	}
	closed(t, d, c)
	// nobody asked for it, but the statement does not outlive its reader either
	await(t, srv, "0", "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", application(t))
}

// Not parallel: it looks at the goroutines of the process.
func TestClose_WaitsForTheGoroutinesThatPgxLeaves(t *testing.T) {
	s, p := through(t, running(t))
	d := open(t, s)
	c, err := d.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := d.Ping(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("ping: %v", err)
	}
	if len(goroutines("asyncClose")) == 0 {
		t.Fatal("pgx closes in no goroutine any more: this test proves nothing")
	}
	began := time.Now()
	if err := d.Close(c); err == nil {
		t.Error("closed well through a frozen network")
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %s", took)
	}
	if len(goroutines("asyncClose")) != 0 {
		t.Error("a goroutine of pgx is left")
	}
}

// Not parallel: it looks at the goroutines of the process.
func TestStatements_CostNoGoroutineWithoutADoneChannel(t *testing.T) {
	srv := running(t)
	d := open(t, settings(t, srv))
	c := connect(t, d)
	for name, ctx := range map[string]context.Context{
		"background":     context.Background(),
		"without cancel": context.WithoutCancel(t.Context()),
	} {
		ended := make(chan error, 1)
		go func() {
			_, err := c.(driver.ExecerContext).ExecContext(ctx, "SELECT pg_sleep(600)", nil)
			ended <- err
		}()
		awaitRunning(t, srv, "1", application(t))
		if all := goroutines("jackc/pgx"); len(all) != 1 {
			t.Errorf("%s: %d goroutines are inside pgx, not only the one that calls:\n%s", name, len(all), strings.Join(all, "\n\n"))
		}
		if err := d.Cancel(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; d.Classify(err) != pool.Canceled {
			t.Errorf("got %v", err)
		}
	}
}

// goroutines returns the stacks that have the text in them.
func goroutines(text string) []string {
	buf := make([]byte, 1<<20)
	all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	return slices.DeleteFunc(all, func(stack string) bool { return !strings.Contains(stack, text) })
}
