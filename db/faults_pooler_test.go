package db_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres/server"
)

// What FAULTS.md has under "Others": a PgBouncer that is full, or whose server is away.

// ownBouncer is a PgBouncer with settings of the test's own.
func ownBouncer(t *testing.T, parameters map[string]string) db.Settings {
	t.Helper()
	settings, _ := dbtest.Bouncer(t, five(dbtest.Database(t, dbtest.Postgres), false), "1") // skips where there is none
	b, err := server.StartBouncer(t.Context(), dbtest.Server(t), server.BouncerOptions{Settings: parameters})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	settings.Host, settings.Port = b.Host, b.Port
	return settings
}

func TestPooler_ThatTakesNoMoreClientsIsWaitedForAndNamed(t *testing.T) {
	t.Parallel()
	settings := ownBouncer(t, map[string]string{"max_client_conn": "2", "default_pool_size": "2"})
	others := dbtest.Open(t, settings)
	over := make(chan struct{})
	var both, holding sync.WaitGroup
	holding.Add(2)
	for range 2 {
		both.Go(func() {
			err := try(t.Context(), others, func(ctx context.Context, _ *db.Conn) error {
				return db.Atomic(ctx, func(ctx context.Context) error {
					err := query(ctx)
					holding.Done()
					<-over
					return err
				})
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	holding.Wait()
	settings.AcquireTimeout = time.Second
	refused := refusal(t, t.Context(), dbtest.Open(t, settings))
	expect(t, "kind", string(refused.Kind), "unreachable")
	expectText(t, "the error", refused.Error(), "no more connections allowed", "attempts in")

	settings.AcquireTimeout = time.Minute
	conns := dbtest.Open(t, settings)
	served := make(chan error, 1)
	go func() {
		served <- try(t.Context(), conns, func(ctx context.Context, _ *db.Conn) error { return query(ctx) })
	}()
	await(t, "somebody waits", func() bool { return stats(conns).Waiting == 1 })
	close(over)
	both.Wait()
	if err := others.Invalidate(db.DefaultAlias); err != nil { // it leaves
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	expect(t, "acquires that failed", stats(conns).Refused, 0)
}

func TestPooler_ThatHasNoSessionInTimeCostsItsStatementAlone(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, ownBouncer(t, map[string]string{"default_pool_size": "1", "query_wait_timeout": "1"}))
	scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
		return db.Atomic(ctx, func(ctx context.Context) error {
			if err := query(ctx); err != nil { // now it has the only session
				return err
			}
			err := conns.Run(context.WithoutCancel(ctx), "other", query)
			expectError(t, "a statement that waits behind PgBouncer", err, db.ErrConnectionLost)
			if err != nil {
				expectText(t, "the error", err.Error(), "query_wait_timeout")
			}
			return query(ctx) // the block goes on
		})
	})
	scope(t, conns, func(ctx context.Context, _ *db.Conn) error { return query(ctx) })
}

func TestPooler_SessionsThatAreEndedBehindItFailNobody(t *testing.T) {
	t.Parallel()
	settings := ownBouncer(t, map[string]string{"default_pool_size": "5"})
	conns := dbtest.Open(t, settings)
	together(t, conns, 5)
	killed(t, settings, len(dbtest.Backends(t, settings)))
	for range 5 {
		together(t, conns, 5)
	}
	expect(t, "acquires that failed", stats(conns).Refused, 0)
	expect(t, "connections opened", stats(conns).Opened, 5)
}
