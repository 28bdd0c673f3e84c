package db_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// touch leases a connection of the alias.
func touch(ctx context.Context, alias string) error {
	_, err := db.Using(ctx, alias).ExecContext(ctx, "SELECT 1")
	return err
}

// A circle through two databases: one scope holds the only connection to the first and
// waits for a task that wants the second, another one the other way round. One of them
// is told, and then the other one can go on.
func TestRule11Queue_ACircleThroughTwoAliasesIsASelfDeadlock(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		conns := dbtest.OpenAll(t, map[string]db.Settings{"default": patient(settings, 1), "second": patient(settings, 1), "third": patient(settings, 1)})
		holding := make(chan struct{}, 2)
		both := make(chan struct{})
		errs := make([]error, 2)
		var all sync.WaitGroup
		for i, aliases := range [][2]string{{"default", "second"}, {"second", "default"}} {
			all.Go(func() {
				errs[i] = conns.Run(t.Context(), "/outer", func(ctx context.Context) error {
					if err := touch(ctx, aliases[0]); err != nil {
						return err
					}
					holding <- struct{}{}
					<-both
					return db.Run(ctx, "task", func(ctx context.Context) error { return touch(ctx, aliases[1]) })
				})
			})
		}
		<-holding
		<-holding
		close(both)
		all.Wait()
		told := errors.Join(errs...)
		if told == nil {
			t.Fatal("nobody was told")
		}
		for _, err := range errs {
			if err != nil {
				expectDeadlock(t, err)
				expectText(t, "the error", err.Error(), `holds the connection to "`, "wait for one to", `"/outer"`, "rule11_circle_test.go:")
			}
		}
		// Nothing is left of it.
		for _, alias := range []string{"default", "second", "third"} {
			if err := conns.Run(t.Context(), "afterwards", func(ctx context.Context) error { return touch(ctx, alias) }); err != nil {
				t.Errorf("%s: %v", alias, err)
			}
			expect(t, "in use of "+alias, conns.Stats(alias).InUse, 0)
		}
	})
}

// One connection more, of somebody who waits for nobody, and there is no circle: the
// task is served when that one comes back.
func TestRule11Queue_WhoWaitsForNobodyBreaksTheCircle(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		conns := dbtest.OpenAll(t, map[string]db.Settings{"default": patient(settings, 1), "second": patient(settings, 2)})
		free, sc := conns.NewScope(t.Context(), "free")
		if err := touch(free, "second"); err != nil {
			t.Fatal(err)
		}
		holding, both := make(chan struct{}, 2), make(chan struct{})
		var all sync.WaitGroup
		for _, aliases := range [][2]string{{"default", "second"}, {"second", "default"}} {
			all.Go(func() {
				err := conns.Run(t.Context(), "/outer", func(ctx context.Context) error {
					if err := touch(ctx, aliases[0]); err != nil {
						return err
					}
					holding <- struct{}{}
					<-both
					return db.Run(ctx, "task", func(ctx context.Context) error { return touch(ctx, aliases[1]) })
				})
				if err != nil {
					t.Errorf("from %s to %s: %v", aliases[0], aliases[1], err)
				}
			})
		}
		<-holding
		<-holding
		close(both)
		await(t, "waiting for both", func() bool { return conns.Stats("default").Waiting+conns.Stats("second").Waiting == 2 })
		if err := sc.End(); err != nil {
			t.Error(err)
		}
		all.Wait()
	})
}
