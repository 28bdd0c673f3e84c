package migrate_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/goquintet/quintet/db/migrate"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/signals/signalstest"
)

func TestBus_HearsOfEachRunOnce(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		bus := new(signals.Bus)
		started, finished := signalstest.Record(t, &bus.MigrateStarted), signalstest.Record(t, &bus.MigrateFinished)
		m := newWith(t, e.open(t), e.dialect, migrate.Options{Alias: "archive", Bus: bus}, polls())
		all := []string{"polls.0001_initial", "polls.0002_choice", "polls.0003_vote"}
		back := []string{"polls.0003_vote", "polls.0002_choice"}
		mustUp(t, m)
		mustUp(t, m) // nothing to do
		if _, err := m.To(t.Context(), "polls", "0001", nil); err != nil {
			t.Fatal(err)
		}
		for i, want := range []struct {
			backwards bool
			names     []string
		}{{false, all}, {false, nil}, {true, back}} {
			s, f := started.Wait(i + 1)[i], finished.Wait(i + 1)[i]
			if s.Alias != "archive" || s.Backwards != want.backwards || !slices.Equal(s.Pending, want.names) {
				t.Errorf("started %d: %+v, want %+v", i, s, want)
			}
			if f.Alias != "archive" || f.Backwards != want.backwards || !slices.Equal(f.Applied, want.names) || f.Err != nil || f.Duration <= 0 {
				t.Errorf("finished %d: %+v, want %+v", i, f, want)
			}
		}
		if len(started.Events()) != 3 || len(finished.Events()) != 3 {
			t.Errorf("%d started, %d finished, want 3 each", len(started.Events()), len(finished.Events()))
		}
	})
}

func TestBus_TheAliasIsDefaultUnlessItIsNamed(t *testing.T) {
	t.Parallel()
	bus := new(signals.Bus)
	started := signalstest.Record(t, &bus.MigrateStarted)
	mustUp(t, newWith(t, onSQLite(t).open(t), "sqlite", migrate.Options{Bus: bus}, polls()))
	if alias := started.Wait(1)[0].Alias; alias != "default" {
		t.Errorf("alias %q", alias)
	}
}

func TestBus_MigrateFinishedSaysWhatFailed(t *testing.T) {
	t.Parallel()
	bus := new(signals.Bus)
	finished := signalstest.Record(t, &bus.MigrateFinished)
	m := newWith(t, onSQLite(t).open(t), "sqlite", migrate.Options{Bus: bus}, migrate.Source{App: "polls", FS: files(
		"0001_initial.sql", table("question"), "0002_broken.sql", "-- +goose Up\nSELECT nowhere;\n")})
	_, err := m.Up(t.Context(), nil)
	failure := asError(t, err)
	event := finished.Wait(1)[0]
	if !errors.Is(event.Err, failure) || !slices.Equal(event.Applied, []string{"polls.0001_initial"}) {
		t.Errorf("%+v", event)
	}
}

func TestBus_NoConnectionIsHeldWhileReceiversRun(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		db.SetMaxOpenConns(1)
		bus := new(signals.Bus)
		ask := func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			return db.PingContext(ctx)
		}
		bus.MigrateStarted.Connect(func(ctx context.Context, _ signals.MigrateStarted) error { return ask(ctx) })
		bus.MigrateFinished.Connect(func(ctx context.Context, _ signals.MigrateFinished) error { return ask(ctx) })
		mustUp(t, newWith(t, db, e.dialect, migrate.Options{Bus: bus}, polls()))
	})
}

func TestBus_AnErrorOfMigrateStartedStopsTheRunBeforeAnythingHasHappened(t *testing.T) {
	t.Parallel()
	bus := new(signals.Bus)
	refusal := errors.New("not on a Friday")
	bus.MigrateStarted.Connect(func(context.Context, signals.MigrateStarted) error { return refusal })
	finished := signalstest.Record(t, &bus.MigrateFinished)
	m := newWith(t, onSQLite(t).open(t), "sqlite", migrate.Options{Bus: bus}, polls())
	if _, err := m.Up(t.Context(), nil); !errors.Is(err, refusal) {
		t.Errorf("error %v", err)
	}
	wantShown(t, m, "polls.0001_initial [ ]", "polls.0002_choice [ ]", "polls.0003_vote [ ]")
	if event := finished.Wait(1)[0]; !errors.Is(event.Err, refusal) || event.Applied != nil {
		t.Errorf("finished with %+v", event)
	}
}

func TestBus_AnErrorOfMigrateFinishedIsReturned(t *testing.T) {
	t.Parallel()
	bus := new(signals.Bus)
	complaint := errors.New("no permissions for the new tables")
	bus.MigrateFinished.Connect(func(context.Context, signals.MigrateFinished) error { return complaint })
	m := newWith(t, onSQLite(t).open(t), "sqlite", migrate.Options{Bus: bus}, polls())
	result, err := m.Up(t.Context(), nil)
	if !errors.Is(err, complaint) || len(result.Applied) != 3 {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestBus_MigrateFinishedReachesReceiversOfACancelledRun(t *testing.T) {
	t.Parallel()
	bus := new(signals.Bus)
	var finished error
	bus.MigrateFinished.Connect(func(ctx context.Context, _ signals.MigrateFinished) error {
		finished = ctx.Err()
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	bus.MigrateStarted.Connect(func(context.Context, signals.MigrateStarted) error { cancel(); return nil })
	if _, err := newWith(t, onSQLite(t).open(t), "sqlite", migrate.Options{Bus: bus}, polls()).Up(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if finished != nil {
		t.Errorf("the receiver's context: %v", finished)
	}
}

func TestBus_HearsNothingOfARunThatIsRefused(t *testing.T) {
	t.Parallel()
	bus := new(signals.Bus)
	started := signalstest.Record(t, &bus.MigrateStarted)
	m := newWith(t, onSQLite(t).open(t), "sqlite", migrate.Options{Bus: bus}, polls())
	if _, err := m.To(t.Context(), "polls", "9999", nil); !errors.Is(err, migrate.ErrUnknownMigration) {
		t.Errorf("error %v", err)
	}
	if events := started.Events(); len(events) != 0 {
		t.Errorf("%+v", events)
	}
}
