package db_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/signals/signalstest"
)

type whose struct{}

func TestOnQuery_HearsOfEveryStatementWithTheValuesOfItsScope(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		var heard []string
		var mu sync.Mutex
		conns := dbtest.Open(t, settings, db.Options{OnQuery: func(ctx context.Context, alias string, q db.Query) {
			mu.Lock()
			defer mu.Unlock()
			failed := ""
			if q.Err != nil {
				failed = " failed"
			}
			heard = append(heard, ctx.Value(whose{}).(string)+" "+alias+" "+q.SQL+failed)
			expectText(t, "the place", q.At, "_test.go:")
		}})
		err := conns.Run(context.WithValue(t.Context(), whose{}, "mine"), "test", func(ctx context.Context) error {
			err := db.Atomic(ctx, func(ctx context.Context) error { return exec(ctx, db.From(ctx), "SELECT 1") })
			if exec(ctx, db.From(ctx), "SELECT nonsense") == nil {
				t.Error("no error")
			}
			if len(db.From(ctx).Queries()) != 0 {
				t.Error("the scope keeps a log without debugging")
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		expect(t, "heard", strings.Join(heard, "; "), "mine default BEGIN; mine default SELECT 1; mine default COMMIT; mine default SELECT nonsense failed")
	})
}

func TestHolders_AreWhatTheScopeOfTheContextHolds(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings)
		expect(t, "without a scope", len(db.Holders(t.Context())), 0)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			expect(t, "before a statement", len(db.Holders(ctx)), 0)
			if err := exec(ctx, conn, "SELECT 1"); err != nil {
				return err
			}
			if held := db.Holders(ctx); len(held) != 1 || held[0].LastStatement != "SELECT ?" {
				t.Errorf("held %v", held)
			}
			err := db.Run(ctx, "child", func(inner context.Context) error {
				expect(t, "another scope", len(db.Holders(inner)), 0)
				return nil
			})
			err = errors.Join(err, db.Release(ctx))
			expect(t, "after the release", len(db.Holders(ctx)), 0)
			return err
		})
	})
}

func TestScope_KnowsItsParentAndWhetherThatWaits(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, dbtest.Database(t, dbtest.SQLite))
	if db.ScopeOf(t.Context()) != nil {
		t.Error("a context without a scope has one")
	}
	scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
		own := db.ScopeOf(ctx)
		if parent, _ := own.Parent(); parent != nil {
			t.Errorf("a scope of its own has the parent %v", parent)
		}
		return errors.Join(
			db.Run(ctx, "child", func(ctx context.Context) error {
				if parent, waits := db.ScopeOf(ctx).Parent(); parent != own || !waits {
					t.Errorf("parent %v, waits %v", parent, waits)
				}
				return nil
			}),
			db.Run(context.WithoutCancel(ctx), "cut off", func(ctx context.Context) error {
				if parent, waits := db.ScopeOf(ctx).Parent(); parent != own || waits {
					t.Errorf("parent %v, waits %v", parent, waits)
				}
				return nil
			}))
	})
}

func TestConnectionReleased_NamesWhatWasLeftOpenAndKnowsTheHoldersValues(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		var bus signals.Bus
		released := signalstest.Record(t, &bus.ConnectionReleased)
		bus.ConnectionReleased.Connect(func(ctx context.Context, _ signals.ConnectionReleased) error {
			expect(t, "the value", ctx.Value(whose{}) == "mine", true)
			// It leases nothing in the name of the one that has just released.
			return errors.Join(db.From(ctx).EnsureConnection(ctx), db.CloseOldConnections(ctx))
		})
		conns := dbtest.Open(t, settings, db.Options{Bus: &bus})
		err := conns.Run(context.WithValue(t.Context(), whose{}, "mine"), "test", func(ctx context.Context) error {
			if err := errors.Join(exec(ctx, db.From(ctx), "SELECT 1"), db.Release(ctx)); err != nil {
				return err
			}
			_, err := db.From(ctx).QueryContext(ctx, "SELECT 2")
			return err
		})
		if err != nil {
			t.Error(err)
		}
		events := released.Wait(2)
		expect(t, "of the first", events[0].LeftOpen, "")
		expectText(t, "of the second", events[1].LeftOpen, `the rows of "SELECT ?" at db/observed_test.go:`)
	})
}

func TestCallbackFinished_TellsWhatRanAfterACommit(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		var bus signals.Bus
		finished := signalstest.Record(t, &bus.CallbackFinished)
		conns := dbtest.Open(t, settings, db.Options{Bus: &bus})
		ill := errors.New("ill")
		scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
			err := db.Atomic(ctx, func(ctx context.Context) error {
				err := db.OnCommit(ctx, func(context.Context) error { return ill })
				expect(t, "before the commit", len(finished.Events()), 0)
				return errors.Join(err, db.Atomic(ctx, func(ctx context.Context) error {
					if err := db.OnCommit(ctx, func(context.Context) error { return nil }); err != nil {
						t.Error(err)
					}
					return db.ErrRollback
				}))
			})
			expectError(t, "the block", err, db.ErrOnCommit)
			return db.OnCommit(ctx, func(context.Context) error { return nil }) // at once
		})
		events := finished.Events()
		if len(events) != 2 || events[0].Alias != "default" || !errors.Is(events[0].Err, ill) || events[1].Err != nil {
			t.Fatalf("%+v, want the one that was committed and the one outside", events)
		}
		expectText(t, "the place", events[0].At, "db/observed_test.go:")
	})
}

// What is put between a pool and its engine is gone afterwards.
func TestIntercept_IsBetweenThePoolAndTheEngineUntilItIsTakenBack(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings)
		counted := &counting{}
		restore := conns.Intercept(func(alias string, s db.Settings, d pool.Driver) pool.Driver {
			expect(t, "alias and engine", alias+" "+s.Engine, "default "+settings.Engine)
			counted.Driver = d
			return counted
		})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
		expect(t, "asked", counted.begun, 0)
		scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
			return db.Atomic(ctx, func(context.Context) error { return nil })
		})
		expect(t, "asked", counted.begun, 1)
		if err := restore(t.Context()); err != nil {
			t.Error(err)
		}
		scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
			return db.Atomic(ctx, func(context.Context) error { return nil })
		})
		expect(t, "asked afterwards", counted.begun, 1)
	})
}

// counting is a driver that counts the transactions.
type counting struct {
	pool.Driver
	begun int
}

func (c *counting) Begin(o pool.TxOptions) (string, error) {
	c.begun++
	return c.Driver.Begin(o)
}
