package db_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/db/postgres/server"
)

// The scenarios F01 to F10 of FAULTS.md: a server that closes connections or dies
// while nobody waits for its answer.

// on are the settings of a server's own database.
func on(srv *server.Server) db.Settings {
	return db.Settings{
		Engine: "postgres", Name: "postgres", Host: srv.Host, Port: srv.Port, User: srv.User,
		ConnMaxAge: 600 * time.Second, MaxConnections: 5, Options: map[string]string{"sslmode": "disable"},
	}
}

// five are settings of five connections that are kept for ten minutes.
func five(settings db.Settings, checks bool) db.Settings {
	settings.ConnMaxAge, settings.MaxConnections, settings.ConnHealthChecks = 600*time.Second, 5, checks
	return settings
}

// together runs so many scopes that all hold a connection at the same time.
func together(t *testing.T, conns *db.Connections, n int) {
	t.Helper()
	var all, holding sync.WaitGroup
	holding.Add(n)
	for range n {
		all.Go(func() {
			err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
				err := exec(ctx, conn, "SELECT 1")
				holding.Done()
				holding.Wait()
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func killed(t *testing.T, settings db.Settings, want int) {
	t.Helper()
	expect(t, "killed", dbtest.Kill(t, settings), want)
	t.Logf("%s: %d sessions were ended", time.Now().Format(time.StampMilli), want)
}

// load are clients that send one statement after the other, each in a scope of its own.
type load struct {
	served, lost atomic.Int64
	longest      atomic.Int64 // nanoseconds that one has waited for its connection
	stop         func()
}

func underLoad(t *testing.T, conns *db.Connections, clients int) *load {
	t.Helper()
	l := &load{}
	over := make(chan struct{})
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
					began := time.Now()
					if err := conn.EnsureConnection(ctx); err != nil {
						return err
					}
					raise(&l.longest, time.Since(began))
					return exec(ctx, conn, "SELECT pg_sleep(0.002)")
				})
				switch {
				case err == nil:
					l.served.Add(1)
				case errors.Is(err, db.ErrConnectionLost):
					l.lost.Add(1)
				default:
					t.Errorf("neither served nor lost under way: %v", err)
				}
			}
		})
	}
	l.stop = sync.OnceFunc(func() {
		close(over)
		all.Wait()
	})
	t.Cleanup(l.stop)
	l.more(t, 200)
	return l
}

// raise keeps the longest of several times.
func raise(longest *atomic.Int64, took time.Duration) {
	for old := longest.Load(); int64(took) > old && !longest.CompareAndSwap(old, int64(took)); old = longest.Load() {
	}
}

// more waits until so many more have been served.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	before := l.served.Load()
	await(t, "served", func() bool { return l.served.Load() >= before+n })
}

// outage ends something and brings it back, and returns for how long it was away.
func outage(t *testing.T, down, up func() error) time.Duration {
	t.Helper()
	began := time.Now()
	if err := down(); err != nil {
		t.Fatal(err)
	}
	<-time.After(200 * time.Millisecond)
	if err := up(); err != nil {
		t.Fatal(err)
	}
	away := time.Since(began)
	t.Logf("%s: away for %s", began.Format(time.StampMilli), away)
	return away
}

// survived fails unless an outage cost nothing but time, and what was under way.
func (l *load) survived(t *testing.T, conns *db.Connections, away time.Duration) {
	t.Helper()
	l.more(t, 200)
	l.stop()
	longest := time.Duration(l.longest.Load())
	t.Logf("%d served, %d lost under way, the longest wait for a connection %s", l.served.Load(), l.lost.Load(), longest)
	if n := l.lost.Load(); n > 5 {
		t.Errorf("%d statements were lost, want at most the 5 that were under way", n)
	}
	if longest > away+5*time.Second {
		t.Errorf("somebody waited %s for a connection, want the outage of %s and a second", longest, away)
	}
	expect(t, "acquires that failed", stats(conns).Refused, 0)
	together(t, conns, 5) // all of them work
}

func TestF01_SessionsThatAreEndedFailNobodyWithHealthChecks(t *testing.T) {
	t.Parallel()
	settings := five(dbtest.Database(t, dbtest.Postgres), true)
	conns := dbtest.Open(t, settings)
	together(t, conns, 5)
	killed(t, settings, 5)
	for range 10 {
		together(t, conns, 5)
	}
	expect(t, "connections opened again", stats(conns).Opened-5, 5)
	expect(t, "found dead", stats(conns).Dead, 5)
	expect(t, "closed", stats(conns).Closed, 5)
}

func TestF02_SessionsThatAreEndedFailNobodyWithThePeekAlone(t *testing.T) {
	t.Parallel()
	settings := five(dbtest.Database(t, dbtest.Postgres), false)
	conns := dbtest.Open(t, settings)
	together(t, conns, 5)
	killed(t, settings, 5)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT pg_sleep(0.001)") }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	s := stats(conns)
	expect(t, "found dead", s.Dead, 5)
	expect(t, "pings", s.Pings, 0)
	if again := s.Opened - 5; again > 5 {
		t.Errorf("%d connections were opened again, want 5 at most", again)
	}
}

// blind is a driver that sees nothing without a round trip.
type blind struct{ pool.Driver }

func (blind) Peek(driver.Conn) error { return nil }

func TestF03_WithoutThePeekADeadConnectionFailsOneRequest(t *testing.T) {
	t.Parallel()
	settings := five(dbtest.Database(t, dbtest.Postgres), false)
	conns := dbtest.Open(t, settings)
	restore := conns.Intercept(func(_ string, _ db.Settings, d pool.Driver) pool.Driver { return blind{d} })
	t.Cleanup(func() {
		if err := restore(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	together(t, conns, 5)
	killed(t, settings, 5)
	failed := 0
	for range 50 {
		err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
		if err != nil {
			failed++
			expectError(t, "the statement", err, db.ErrConnectionLost)
		}
	}
	t.Logf("%d of 50 failed", failed)
	if failed < 1 || failed > 5 {
		t.Errorf("%d failed, want one for each dead connection at most, and one at least: nothing is sent twice", failed)
	}
	together(t, conns, 5)
}

func TestF05_ARestartUnderLoadCostsOnlyTheStatementsThatWereUnderWay(t *testing.T) {
	t.Parallel()
	srv := ownServer(t, nil)
	settings := on(srv)
	settings.AcquireTimeout = time.Minute // a busy machine starts it in its own time
	conns := dbtest.Open(t, settings)
	l := underLoad(t, conns, 40)
	away := outage(t,
		func() error { return srv.Down(t.Context(), server.Fast) },
		func() error { return srv.Up(t.Context()) })
	l.survived(t, conns, away)
}

func TestF07_AServerThatStartsUpIsWaitedFor(t *testing.T) {
	t.Parallel()
	srv := ownServer(t, map[string]string{"wal_level": "replica"})
	settings := on(srv)
	settings.AcquireTimeout = time.Minute
	conns := dbtest.Open(t, settings)
	if err := srv.Standby(t.Context(), false); err != nil { // it answers 57P03
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") }); err != nil {
				t.Error(err)
			}
		})
	}
	await(t, "all wait", func() bool { return stats(conns).Waiting == 20 })
	began := time.Now()
	<-time.After(time.Second)
	expect(t, "still waiting", stats(conns).Waiting, 20)
	if err := srv.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	t.Logf("%s: it started up for %s", began.Format(time.StampMilli), time.Since(began))
	expect(t, "acquires that failed", stats(conns).Refused, 0)
}

func TestF10_ARestartOfPgBouncerCostsOnlyTheStatementsThatWereUnderWay(t *testing.T) {
	t.Parallel()
	settings, bouncer := dbtest.Bouncer(t, five(dbtest.Database(t, dbtest.Postgres), false), "5")
	settings.AcquireTimeout = time.Minute
	conns := dbtest.Open(t, settings)
	l := underLoad(t, conns, 20)
	away := outage(t, func() error { bouncer.Down(); return nil }, func() error { return bouncer.Up(t.Context()) })
	l.survived(t, conns, away)
}
