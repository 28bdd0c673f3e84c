package db_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// fill opens that many connections and leaves them idle.
func fill(t *testing.T, conns *db.Connections, n int) {
	t.Helper()
	var all sync.WaitGroup
	var hold sync.WaitGroup
	hold.Add(n)
	for range n {
		all.Go(func() {
			err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
				defer hold.Wait()
				defer hold.Done()
				return exec(ctx, conn, "SELECT 1")
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	expect(t, "idle", stats(conns).Idle, n)
}

func TestRule3HealthChecks_AFrozenConnectionCostsTheDeadlineOfThePing(t *testing.T) {
	t.Parallel()
	settings := dbtest.Database(t, dbtest.Postgres)
	proxy, settings := dbtest.NewProxy(t, settings)
	settings.ConnMaxAge, settings.ConnHealthChecks = db.Forever, true
	conns := dbtest.Open(t, settings)
	fill(t, conns, 1)
	proxy.Freeze()
	within(t, 2*time.Second, "the statement", func() {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
	})
	expect(t, "found dead", stats(conns).Dead, 1)
}

func TestRule3HealthChecks_ManyFrozenConnectionsCostNoMoreThanTheAcquireTimeout(t *testing.T) {
	t.Parallel()
	settings := dbtest.Database(t, dbtest.Postgres)
	proxy, settings := dbtest.NewProxy(t, settings)
	settings.ConnMaxAge, settings.ConnHealthChecks, settings.MaxConnections = db.Forever, true, 6
	settings.AcquireTimeout = 2 * time.Second
	conns := dbtest.Open(t, settings)
	fill(t, conns, 6)
	proxy.Freeze()
	within(t, 2500*time.Millisecond, "the statement", func() {
		if err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") }); err != nil {
			expectError(t, "the statement", err, db.ErrUnavailable)
			expectText(t, "the error", err.Error(), "unreachable", "idle connections were dead")
		}
	})
}

func TestRule3HealthChecks_AStatementIsNeverSentTwice(t *testing.T) {
	t.Parallel()
	settings := dbtest.Database(t, dbtest.Postgres)
	conns := dbtest.Open(t, kept(settings))
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		if err := exec(ctx, conn, "CREATE TABLE sent (id integer)"); err != nil {
			return err
		}
		dbtest.Kill(t, settings)
		expectError(t, "the statement after the kill", exec(ctx, conn, "INSERT INTO sent VALUES (1)"), db.ErrConnectionLost)
		expectError(t, "the one after that", exec(ctx, conn, "INSERT INTO sent VALUES (1)"), db.ErrConnectionLost)
		return nil
	})
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		n, err := one[int](ctx, conn, "SELECT count(*) FROM sent")
		expect(t, "rows", n, 0)
		return err
	})
}
