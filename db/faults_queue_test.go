package db_test

import (
	"context"
	"database/sql/driver"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/pool"
)

// The scenarios F47 and F50 of FAULTS.md; those beside them are about acquiring.

func TestF47_ARequestThatAsksAgainGetsTheLeaseThatItHas(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, onlyOne(settings))
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			if err := conn.EnsureConnection(ctx); err != nil {
				return err
			}
			if db.Using(ctx, db.DefaultAlias) != conn {
				t.Error("the alias has two connection objects in one scope")
			}
			return db.Atomic(ctx, func(ctx context.Context) error {
				return db.Atomic(ctx, func(ctx context.Context) error { return exec(ctx, db.From(ctx), "SELECT 1") })
			})
		})
		s := stats(conns)
		expect(t, "leases", s.Leases, 1)
		expect(t, "waited: for its connection to be opened, and no more", s.Waited, 1)
	})
}

// distant is a driver whose server is far away: connecting takes long, and a statement
// does not.
type distant struct {
	pool.Driver
	connect time.Duration
}

func (d distant) Connect(ctx context.Context) (driver.Conn, error) {
	select {
	case <-time.After(d.connect):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return d.Driver.Connect(ctx)
}

func TestF50_ABurstIsServedByWhatComesBack(t *testing.T) {
	t.Parallel()
	settings := dbtest.Database(t, dbtest.Postgres)
	settings.ConnMaxAge, settings.MaxConnections, settings.AcquireTimeout = 600*time.Second, 50, time.Minute
	conns := dbtest.Open(t, settings)
	const connect = 150 * time.Millisecond
	restore := conns.Intercept(func(_ string, _ db.Settings, d pool.Driver) pool.Driver { return distant{d, connect} })
	t.Cleanup(func() {
		if err := restore(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	together(t, conns, 5)
	began := time.Now()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT pg_sleep(0.002)") }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	await(t, "nobody connects", func() bool { return stats(conns).Connecting == 0 })
	open := stats(conns).Open
	t.Logf("50 callers were served in %s by %d connections", took, open)
	// One connects at a time, and a busy machine takes its time.
	if most := max(7, 6+int(took/connect)); open > most {
		t.Errorf("%d connections are open, want %d at most", open, most)
	}
}
