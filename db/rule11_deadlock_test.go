package db_test

import (
	"context"
	"errors"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// patient are settings whose acquires do not give up during a test: what fails has
// seen a reason.
func patient(s db.Settings, connections int) db.Settings {
	s = kept(s)
	s.MaxConnections, s.AcquireTimeout = connections, time.Minute
	return s
}

func query(ctx context.Context) error {
	_, err := db.From(ctx).ExecContext(ctx, "SELECT 1")
	return err
}

// begun is a scope's function that takes a connection and goes on with fn.
func begun(fn func(ctx context.Context) error) func(ctx context.Context) error {
	return func(ctx context.Context) error { return errors.Join(query(ctx), fn(ctx)) }
}

func expectDeadlock(t *testing.T, err error) {
	t.Helper()
	expectError(t, "the scope inside", err, db.ErrSelfDeadlock)
	if errors.Is(err, db.ErrUnavailable) {
		t.Error("a mistake of the program is not ErrUnavailable, which answers 503")
	}
	refused, ok := errors.AsType[*db.AcquireError](err)
	if !ok {
		t.Fatalf("%v, want an AcquireError", err)
	}
	expect(t, "kind", string(refused.Kind), "self-deadlock")
	if refused.Waited > 10*time.Second {
		t.Errorf("it waited %s", refused.Waited)
	}
}

func TestF48_AScopeInsideOfTheOneThatHoldsFailsAtOnceWithBothPlaces(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		for _, ctx := range map[string]context.Context{"a context that ends": t.Context(), "one that does not": context.Background()} {
			conns := dbtest.Open(t, patient(settings, 1))
			err := conns.Run(ctx, "/outer", begun(func(ctx context.Context) error {
				err := db.Run(ctx, "inner", query)
				expectDeadlock(t, err)
				expectText(t, "the error", err.Error(), `"/outer"`, "db.Release", "MAX_CONNECTIONS", "context.WithoutCancel")
				const place = `db/rule11_deadlock_test\.go:\d+`
				if !regexp.MustCompile("took at " + place + " and waits at " + place + ", in Run, for this one, wanted at " + place).MatchString(err.Error()) {
					t.Errorf("the places are missing: %v", err)
				}
				if refused, ok := errors.AsType[*db.AcquireError](err); ok && refused.Waited > 200*time.Millisecond {
					t.Errorf("at once took %s", refused.Waited)
				}
				return query(ctx) // nothing has happened to the outer one
			}))
			if err != nil {
				t.Error(err)
			}
			expect(t, "waiting", stats(conns).Waiting, 0)
		}
	})
}

func TestRule11SelfDeadlock_AlsoInABlockOfPerStatementLeases(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings = patient(settings, 1)
		settings.ConnLease = db.LeaseTransaction
		conns := dbtest.Open(t, settings)
		err := conns.Run(t.Context(), "outer", begun(func(ctx context.Context) error {
			return db.Atomic(ctx, func(ctx context.Context) error {
				expectDeadlock(t, db.Run(ctx, "inner", query))
				return query(ctx)
			})
		}))
		if err != nil {
			t.Error(err)
		}
	})
}

func TestRule11SelfDeadlock_IsSeenAcrossScopesThatWaitForEachOthersConnections(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		const scopes = 3
		conns := dbtest.Open(t, patient(settings, scopes))
		var all, hold sync.WaitGroup
		hold.Add(scopes)
		errs := make(chan error, scopes)
		for range scopes {
			all.Go(func() {
				errs <- conns.Run(t.Context(), "outer", begun(func(ctx context.Context) error {
					hold.Done()
					hold.Wait() // now everybody has one, and wants another
					return db.Run(ctx, "inner", query)
				}))
			})
		}
		all.Wait()
		close(errs)
		failed := 0
		for err := range errs {
			if err != nil {
				expectDeadlock(t, err)
				failed++
			}
		}
		// The last one to wait gives up, and what it held serves the others.
		expect(t, "scopes that failed", failed, 1)
	})
}

func TestRule11SelfDeadlock_AGoroutineThatIsWaitedForIsFoundOnceItsParentDoesNothingElse(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, patient(settings, 1))
		err := conns.Run(t.Context(), "outer", begun(func(ctx context.Context) error {
			inner := make(chan error)
			go func() { inner <- db.Run(ctx, "inner", query) }()
			expectDeadlock(t, <-inner)
			return nil
		}))
		if err != nil {
			t.Error(err)
		}
	})
}

func TestRule11SelfDeadlock_IsNoneWhereTheConnectionWillComeBack(t *testing.T) {
	t.Parallel()
	// Each returns once the scope inside has been served.
	cases := map[string]struct {
		connections int
		run         func(t *testing.T, ctx context.Context, conns *db.Connections) error
	}{
		"the parent has given its connection back": {1, func(t *testing.T, ctx context.Context, _ *db.Connections) error {
			return errors.Join(query(ctx), db.Release(ctx), db.Run(ctx, "inner", query))
		}},
		"the parent holds none yet": {1, func(_ *testing.T, ctx context.Context, _ *db.Connections) error {
			return db.Run(ctx, "inner", query)
		}},
		"there is another connection": {2, func(_ *testing.T, ctx context.Context, _ *db.Connections) error {
			return errors.Join(query(ctx), db.Run(ctx, "inner", query))
		}},
		"somebody else has the other one and does not wait": {2, func(t *testing.T, ctx context.Context, conns *db.Connections) error {
			giveBack := hold(t, conns, 1)
			defer giveBack()
			return errors.Join(query(ctx), db.Run(ctx, "inner", func(ctx context.Context) error {
				time.AfterFunc(2*time.Second/5, giveBack) // longer than a holder may be idle
				return query(ctx)
			}))
		}},
		"a goroutine that nobody waits for": {1, func(t *testing.T, ctx context.Context, _ *db.Connections) error {
			if err := query(ctx); err != nil {
				return err
			}
			inner := make(chan error, 1)
			t.Cleanup(func() {
				if err := <-inner; err != nil {
					t.Error(err)
				}
			})
			waits := make(chan struct{})
			go func() {
				inner <- db.Run(context.WithoutCancel(ctx), "inner", func(ctx context.Context) error {
					close(waits)
					return query(ctx)
				})
			}()
			<-waits
			timer := time.NewTimer(2 * time.Second / 5)
			defer timer.Stop()
			<-timer.C
			return nil
		}},
		"a goroutine beside a parent that runs statements": {1, func(_ *testing.T, ctx context.Context, _ *db.Connections) error {
			if err := query(ctx); err != nil {
				return err
			}
			inner := make(chan error, 1)
			go func() { inner <- db.Run(ctx, "inner", query) }()
			for began := time.Now(); time.Since(began) < 2*time.Second/5; {
				if err := query(ctx); err != nil {
					return err
				}
			}
			return errors.Join(db.Release(ctx), <-inner)
		}},
	}
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				conns := dbtest.Open(t, patient(settings, c.connections))
				err := conns.Run(t.Context(), "outer", func(ctx context.Context) error { return c.run(t, ctx, conns) })
				if err != nil {
					t.Error(err)
				}
			})
		}
	})
}

func TestRule11SelfDeadlock_IsAboutOneAlias(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.OpenAll(t, map[string]db.Settings{"default": patient(settings, 1), "other": patient(settings, 1)})
		other := func(ctx context.Context) error { return exec(ctx, db.Using(ctx, "other"), "SELECT 1") }
		err := conns.Run(t.Context(), "outer", begun(func(ctx context.Context) error {
			return db.Run(ctx, "inner", func(ctx context.Context) error {
				if err := other(ctx); err != nil {
					return err
				}
				expectDeadlock(t, db.Run(ctx, "innermost", query))
				expectDeadlock(t, db.Run(ctx, "innermost", other))
				return nil
			})
		}))
		if err != nil {
			t.Error(err)
		}
	})
}
