//go:build unix

package db_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres/server"
)

// What FAULTS.md has under "Others": a server that does not end in order.

// postmaster is the process that starts all others of the server.
func postmaster(t *testing.T, srv *server.Server) int {
	t.Helper()
	rows, err := srv.Query(t.Context(), "postgres", "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(rows[0][0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func send(t *testing.T, signal syscall.Signal, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%v to %d: %v", signal, pid, err)
		}
	}
	happened(t, signal.String())
}

func TestCrash_CostsOnlyTheStatementsThatWereUnderWay(t *testing.T) {
	t.Parallel()
	srv := ownServer(t, nil)
	settings := on(srv)
	settings.AcquireTimeout = time.Minute
	up := func() (err error) {
		for range 100 { // until the last child of a killed one has let go of the memory that they share
			if err = srv.Up(t.Context()); err == nil || !strings.Contains(srv.Log(), "shared memory block") {
				break
			}
		}
		return err
	}
	for name, crash := range map[string]func(t *testing.T) time.Duration{
		"of the server": func(t *testing.T) time.Duration {
			return outage(t, func() error { return srv.Down(t.Context(), server.Immediate) }, up)
		},
		// It takes all others with it: the server recovers, and refuses meanwhile.
		"of one session": func(t *testing.T) time.Duration {
			pids, err := srv.Backends(t.Context(), "quintet")
			if err != nil || len(pids) == 0 {
				t.Fatalf("the sessions are %v, %v", pids, err)
			}
			began := time.Now()
			send(t, syscall.SIGKILL, pids[0])
			await(t, "recovered", func() bool {
				now, err := srv.Backends(t.Context(), "quintet")
				return err == nil && !slices.Contains(now, pids[0])
			})
			return time.Since(began)
		},
		// Its children notice by and by.
		"of the first process": func(t *testing.T) time.Duration {
			pid := postmaster(t, srv)
			return outage(t, func() error { send(t, syscall.SIGKILL, pid); return nil }, up)
		},
	} {
		t.Run(name, func(t *testing.T) {
			conns := dbtest.Open(t, settings)
			l := underLoad(t, conns, 20)
			l.survived(t, conns, crash(t))
		})
	}
}

// A server that is stopped is neither gone nor refuses: it is silent, on every
// connection and to every new one. Whoever waits is served when it goes on.
func TestFreeze_OfTheServerCostsNothingButTime(t *testing.T) {
	t.Parallel()
	srv := ownServer(t, nil)
	for name, checks := range map[string]bool{"with health checks": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			settings := on(srv)
			settings.AcquireTimeout, settings.ConnHealthChecks = time.Minute, checks
			conns := dbtest.Open(t, settings)
			l := underLoad(t, conns, 20)
			pids, err := srv.Backends(t.Context(), "quintet")
			if err != nil {
				t.Fatal(err)
			}
			pids = append([]int{postmaster(t, srv)}, pids...)
			goOn := func() { send(t, syscall.SIGCONT, pids...) }
			defer goOn() // or nobody could stop it
			away := outage(t,
				func() error { send(t, syscall.SIGSTOP, pids...); <-time.After(1500 * time.Millisecond); return nil },
				func() error { goOn(); return nil })
			l.survived(t, conns, away)
			expect(t, "lost", l.lost.Load(), 0)
		})
	}
}

// A database that is dropped under its users is named, at once: it will not come back
// by waiting.
func TestDrop_OfTheDatabaseIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	settings := five(dbtest.Database(t, dbtest.Postgres), false)
	settings.AcquireTimeout = time.Minute
	conns := dbtest.Open(t, settings)
	together(t, conns, 5)
	if err := dbtest.Server(t).DropDatabase(t.Context(), settings.Name); err != nil {
		t.Fatal(err)
	}
	happened(t, "the database is dropped")
	refused := refusal(t, t.Context(), conns)
	expect(t, "kind", string(refused.Kind), "unreachable")
	expectText(t, "the error", refused.Error(), "3D000", settings.Name)
	if refused.Waited > 20*time.Second {
		t.Errorf("it waited %s for what will not pass", refused.Waited)
	}
}

func TestKill_WhileRowsAreReadIsNeverTheirEnd(t *testing.T) {
	t.Parallel()
	settings := onlyOne(dbtest.Database(t, dbtest.Postgres))
	conns := dbtest.Open(t, settings)
	err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
		rows, err := conn.QueryContext(ctx, manyRows)
		if err != nil {
			return err
		}
		defer rows.Close()
		n := 0
		for rows.Next() {
			if n++; n == 1000 {
				dbtest.Kill(t, settings)
			}
		}
		happened(t, "the session was ended at row 1000, and the rows at "+strconv.Itoa(n))
		return rows.Err()
	})
	expectError(t, "the rows", err, db.ErrConnectionLost)
	scope(t, conns, func(ctx context.Context, _ *db.Conn) error { return query(ctx) })
}
