package db_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// However many requests are cancelled in mid-statement: that costs no connection worth
// mentioning, hits no other statement, and the server is done with all of them.
//
// QUINTET_CANCELS=10000 runs the whole count.
func TestRule12Cancel_AStormOfThemHitsNothingElse(t *testing.T) {
	t.Parallel()
	dbtest.Goroutines(t)
	n := int64(number(t, "QUINTET_CANCELS", 500))
	const most = 10
	settings := kept(dbtest.Database(t, dbtest.Postgres))
	settings.MaxConnections, settings.AcquireTimeout = most, time.Minute
	conns := dbtest.Open(t, settings)
	began := time.Now()
	var all sync.WaitGroup
	var others atomic.Int64
	for range most {
		all.Go(func() {
			for stats(conns).Canceled < n {
				cancelled(t, conns)
			}
		})
	}
	for range most {
		all.Go(func() {
			for i := others.Add(1); i <= n || stats(conns).Canceled < n; i = others.Add(1) {
				uncancelled(t, conns, i)
			}
		})
	}
	all.Wait()
	took, ended := time.Since(began), time.Now()
	await(t, "no statement on the server", func() bool { return running(t, settings) == 0 })
	if late := time.Since(ended); late > 5*time.Second { // a second, on a machine that does nothing else
		t.Errorf("the server was done with the last statement after %s", late)
	}
	s := stats(conns)
	t.Logf("%d cancelled in mid-statement and %d others in %s: %d connections opened, %d closed", s.Canceled, others.Load(), took.Round(time.Millisecond), s.Opened, s.Closed)
	if again := s.Opened - most; again > n/100 {
		t.Errorf("%d connections were opened again, want at most %d", again, n/100)
	}
}

// cancelled is a request whose client leaves while its statement runs, which would take
// an hour.
func cancelled(t *testing.T, conns *db.Connections) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	err := try(ctx, conns, func(ctx context.Context, conn *db.Conn) error {
		if err := conn.EnsureConnection(ctx); err != nil {
			return err
		}
		timer := time.AfterFunc(rand.N(3*time.Millisecond), leave)
		defer timer.Stop()
		return exec(ctx, conn, "SELECT pg_sleep(3600)")
	})
	expectError(t, "a request whose client has left", err, context.Canceled)
}

// uncancelled is a request that takes as long as the others are cancelled in.
func uncancelled(t *testing.T, conns *db.Connections, n int64) {
	t.Helper()
	err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
		for range 2 {
			got, err := one[int64](ctx, conn, "SELECT "+strconv.FormatInt(n, 10)+" FROM pg_sleep(0.0005)")
			if err != nil {
				return err
			}
			expect(t, "the answer", got, n)
		}
		return nil
	})
	if err != nil {
		t.Errorf("a request that nobody has cancelled: %v", err)
	}
}
