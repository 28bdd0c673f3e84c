package migrate_test

import (
	"errors"
	"testing"
	"time"

	"github.com/goquintet/quintet/db/migrate"
)

// Django: tests/migrations/test_commands.py, MigrateTests.test_showmigrations_list.
func TestStatus_ShowmigrationsList(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		m := newMigrator(t, db, e.dialect, polls(), migrate.Source{App: "auth", FS: files("0001_initial.sql", table("account"))})
		wantShown(t, m, "polls.0001_initial [ ]", "polls.0002_choice [ ]", "polls.0003_vote [ ]", "auth.0001_initial [ ]")
		before := time.Now().Add(-time.Minute)
		if _, err := m.To(t.Context(), "polls", "0002", nil); err != nil {
			t.Fatal(err)
		}
		wantShown(t, m, "polls.0001_initial [X]", "polls.0002_choice [X]", "polls.0003_vote [ ]", "auth.0001_initial [ ]")
		all, err := m.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		applied := *all[0].Applied
		if applied.Location() != time.UTC || applied.Before(before) || applied.After(time.Now().Add(time.Minute)) {
			t.Errorf("applied at %s", applied)
		}
	})
}

func TestStatus_OnlyReads(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		m := newMigrator(t, db, e.dialect, polls())
		wantShown(t, m, "polls.0001_initial [ ]", "polls.0002_choice [ ]", "polls.0003_vote [ ]")
		pending, err := m.Pending(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantNames(t, "pending", pending, "polls.0001_initial", "polls.0002_choice", "polls.0003_vote")
		if hasTable(t, db, e.dialect, "quintet_migrations") {
			t.Error("the table was created")
		}
	})
}

func TestStatus_ShowsAppliedMigrationsWhoseFileOrAppIsGone(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		mustUp(t, newMigrator(t, db, e.dialect, polls(), migrate.Source{App: "zoo", FS: files("0001_initial.sql", table("animal"))},
			migrate.Source{App: "auth", FS: files("0001_initial.sql", table("account"))}))
		m := newMigrator(t, db, e.dialect, migrate.Source{App: "polls", FS: files(
			"0001_initial.sql", table("question"), "0003_vote.sql", table("vote"), "0004_more.sql", table("more"))})
		wantShown(t, m, "polls.0001_initial [X]", "polls.0002_choice [X] missing", "polls.0003_vote [X]", "polls.0004_more [ ]",
			"auth.0001_initial [X] missing", "zoo.0001_initial [X] missing")
		wantNames(t, "applied all the same", mustUp(t, m).Applied, "polls.0004_more")
	})
}

func TestPending_IsEmptyWhenAllIsApplied(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		m := newMigrator(t, e.open(t), e.dialect, polls())
		mustUp(t, m)
		if pending, err := m.Pending(t.Context()); err != nil || pending != nil {
			t.Errorf("%v, %v", pending, err)
		}
	})
}

// Django: MigrateTests.test_migrate_inconsistent_history.
func TestUp_MigrateInconsistentHistory(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		mustUp(t, newMigrator(t, db, e.dialect, migrate.Source{App: "polls", FS: files("0001_initial.sql", table("question"), "0003_vote.sql", table("vote"))}))
		m := newMigrator(t, db, e.dialect, polls())
		for what, call := range map[string]func() error{
			"Up":      func() error { _, err := m.Up(t.Context(), nil); return err },
			"To":      func() error { _, err := m.To(t.Context(), "polls", "0002", nil); return err },
			"Pending": func() error { _, err := m.Pending(t.Context()); return err },
		} {
			err := call()
			if !errors.Is(err, migrate.ErrInconsistentHistory) {
				t.Errorf("%s: %v", what, err)
				continue
			}
			asError(t, err, "polls/0002_choice.sql: inconsistent history: it is pending, and the newer 0003_vote is applied; give the file a number after the newest one")
		}
		wantShown(t, m, "polls.0001_initial [X]", "polls.0002_choice [ ]", "polls.0003_vote [X]")
		if _, err := m.To(t.Context(), "polls", "0001", nil); err != nil {
			t.Errorf("going back is the way out: %v", err)
		}
		mustUp(t, m)
	})
}

func TestUp_ARenamedFileIsNotRunAgain(t *testing.T) {
	t.Parallel()
	db := onSQLite(t).open(t)
	mustUp(t, newMigrator(t, db, "sqlite", polls()))
	m := newMigrator(t, db, "sqlite", migrate.Source{App: "polls", FS: files(
		"0001_initial.sql", table("question"), "0002_choices.sql", table("choice"), "0003_vote.sql", table("vote"))})
	_, err := m.Up(t.Context(), nil)
	if !errors.Is(err, migrate.ErrInconsistentHistory) {
		t.Errorf("error %v", err)
	}
	asError(t, err, "polls/0002_choices.sql: inconsistent history: it is pending, and with its number 0002_choice is applied, whose file is gone; rename the file back, or correct the name in the table quintet_migrations")
}
