package db_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/signals/signalstest"
)

func TestRun_IsAScopeWithAConnectionOfItsOwn(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings)
		failure := errors.New("failed")
		err := conns.Run(t.Context(), "outer", func(ctx context.Context) error {
			if err := exec(ctx, db.From(ctx), "SELECT 1"); err != nil {
				return err
			}
			err := db.Run(ctx, "nightly", func(ctx context.Context) error {
				if err := exec(ctx, db.From(ctx), "SELECT 2"); err != nil {
					return err
				}
				expect(t, "in use", stats(conns).InUse, 2)
				return failure
			})
			expect(t, "Run returns what the function returns, as it is", err, failure)
			expect(t, "in use after it", stats(conns).InUse, 1)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestRun_APanicEndsTheScopeAndGoesOn(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, onlyOne(settings), db.Options{Logger: new(logs).logger()})
		func() {
			defer func() { expect(t, "recovered", recover(), "oops") }()
			_ = conns.Run(t.Context(), "panics", func(ctx context.Context) error {
				if _, err := db.From(ctx).BeginTx(ctx, nil); err != nil {
					t.Error(err)
				}
				panic("oops")
			})
		}()
		expect(t, "in use", stats(conns).InUse, 0)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
	})
}

// A task that outlives its request says so with context.WithoutCancel.
func TestRun_ATaskCanOutliveItsRequest(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		conns := dbtest.Open(t, settings)
		request, leave := context.WithCancel(t.Context())
		gone, done := make(chan struct{}), make(chan error, 1)
		if err := conns.Run(request, "/order", func(ctx context.Context) error {
			go func() {
				done <- db.Run(context.WithoutCancel(ctx), "mail", func(ctx context.Context) error {
					<-gone
					return exec(ctx, db.From(ctx), "SELECT 1")
				})
			}()
			return exec(ctx, db.From(ctx), "SELECT 1")
		}); err != nil {
			t.Error(err)
		}
		leave()
		close(gone)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestSignals_TellOfEachConnectionAndEachLease(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		var bus signals.Bus
		var log logs
		created := signalstest.Record(t, &bus.ConnectionCreated)
		released := signalstest.Record(t, &bus.ConnectionReleased)
		bus.ConnectionReleased.Connect(func(context.Context, signals.ConnectionReleased) error { return errors.New("receiver is ill") })
		conns := dbtest.Open(t, kept(settings), db.Options{Bus: &bus, Logger: log.logger()})
		for range 2 {
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
				return errors.Join(exec(ctx, conn, "SELECT 1", "SELECT 2"), db.Release(ctx), exec(ctx, conn, "SELECT 3"))
			})
		}
		if events := created.Events(); len(events) != 1 || events[0].Alias != "default" || events[0].Engine != settings.Engine || events[0].Duration <= 0 {
			t.Errorf("created: %+v, want one", events)
		}
		events := released.Events()
		if len(events) != 4 {
			t.Fatalf("released: %+v, want four", events)
		}
		for i, want := range []signals.ConnectionReleased{{Reason: "released", Queries: 2}, {Reason: "scope ended", Queries: 1}} {
			expect(t, "alias", events[i].Alias, "default")
			expect(t, "holder", events[i].Holder, "test")
			expect(t, "reason", events[i].Reason, want.Reason)
			expect(t, "queries", events[i].Queries, want.Queries)
			if events[i].Held <= 0 || events[i].Idle > events[i].Held {
				t.Errorf("held %s, idle %s", events[i].Held, events[i].Idle)
			}
		}
		if log.find("receiver failed", "receiver is ill") == "" {
			t.Errorf("the receiver's error is lost:\n%s", &log)
		}
	})
}

// An alias that is slow to close keeps no other one open.
func TestClose_ClosesAllAliasesAtOnce(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.OpenAll(t, map[string]db.Settings{"a": settings, "default": settings})
		ctx, sc := conns.NewScope(t.Context(), "/slow")
		if err := exec(ctx, db.Using(ctx, "a"), "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		limit, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		closed := make(chan error, 1)
		go func() { closed <- conns.Close(limit) }()
		await(t, "the other alias closed", func() bool {
			err := conns.Run(t.Context(), "late", func(ctx context.Context) error { return db.From(ctx).EnsureConnection(ctx) })
			return errors.Is(err, db.ErrClosed)
		})
		if err := errors.Join(sc.End(), <-closed); err != nil {
			t.Error(err)
		}
	})
}
