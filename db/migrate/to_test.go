package migrate_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/goquintet/quintet/db/migrate"
)

// Django: tests/migrations/test_commands.py, MigrateTests.test_migrate.
func TestTo_MigrateForwardsAndBackwards(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		m := newMigrator(t, db, e.dialect, polls(), migrate.Source{App: "auth", FS: files("0001_initial.sql", table("account"))})
		var events []string
		to := func(target string) migrate.Result {
			t.Helper()
			result, err := m.To(t.Context(), "polls", target, func(event migrate.Event) {
				if event.Done {
					events = append(events, fmt.Sprintf("%s %t", event.Name, event.Backwards))
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			return result
		}
		wantNames(t, "to 0002", to("0002").Applied, "polls.0001_initial", "polls.0002_choice")
		wantShown(t, m, "polls.0001_initial [X]", "polls.0002_choice [X]", "polls.0003_vote [ ]", "auth.0001_initial [ ]")
		if hasTable(t, db, e.dialect, "vote") || !hasTable(t, db, e.dialect, "choice") {
			t.Error("the tables are not those of 0002")
		}
		wantNames(t, "to the newest", to("").Applied, "polls.0003_vote")
		events = nil
		back := to("0001_initial")
		wantNames(t, "back to 0001", back.Unapplied, "polls.0003_vote", "polls.0002_choice")
		wantNames(t, "applied on the way back", back.Applied)
		if want := []string{"0003_vote true", "0002_choice true"}; !slices.Equal(events, want) {
			t.Errorf("events %q, want %q", events, want)
		}
		if hasTable(t, db, e.dialect, "vote") || hasTable(t, db, e.dialect, "choice") {
			t.Error("the tables are still there")
		}
		if again := to("0001"); len(again.Applied)+len(again.Unapplied) != 0 {
			t.Errorf("at the target already: %+v", again)
		}
		wantNames(t, "to zero", to(migrate.Zero).Unapplied, "polls.0001_initial")
		if again := to(migrate.Zero); len(again.Unapplied) != 0 {
			t.Errorf("at zero already: %+v", again)
		}
		wantShown(t, m, "polls.0001_initial [ ]", "polls.0002_choice [ ]", "polls.0003_vote [ ]", "auth.0001_initial [ ]")
	})
}

// Django: MigrateTests.test_ambiguous_prefix.
func TestTo_AmbiguousPrefix(t *testing.T) {
	t.Parallel()
	m := newMigrator(t, unused(t), "sqlite", polls())
	_, err := m.To(t.Context(), "polls", "000", nil)
	if !errors.Is(err, migrate.ErrAmbiguous) {
		t.Errorf("error %v", err)
	}
	asError(t, err, "polls.000: ambiguous migration: 0001_initial, 0002_choice, 0003_vote begin so; write more of the name")
}

func TestTo_AFullNameIsNeverAmbiguous(t *testing.T) {
	t.Parallel()
	m := newMigrator(t, onSQLite(t).open(t), "sqlite", migrate.Source{App: "polls", FS: files("0001_a.sql", table("a"), "0002_a.sql", table("b"), "0003_ab.sql", table("c"))})
	for target, want := range map[string]string{"0003_ab": "0003_ab", "0003": "0003_ab"} {
		if _, err := m.To(t.Context(), "polls", target, nil); err != nil {
			t.Errorf("%s, for %s: %v", target, want, err)
		}
	}
}

// Django: AppLabelErrorTests.test_migrate_nonexistent_app_label.
func TestTo_NonexistentAppLabel(t *testing.T) {
	t.Parallel()
	m := newMigrator(t, unused(t), "sqlite", polls(), migrate.Source{App: "auth"})
	_, err := m.To(t.Context(), "pols", "", nil)
	if !errors.Is(err, migrate.ErrUnknownApp) {
		t.Errorf("error %v", err)
	}
	asError(t, err, `app "pols": unknown app; did you mean "polls"? the apps are polls, auth`)
	_, err = m.To(t.Context(), "warehouse", "", nil)
	if e := asError(t, err); e.Hint != "the apps are polls, auth" {
		t.Errorf("hint %q", e.Hint)
	}
}

func TestTo_UnknownMigration(t *testing.T) {
	t.Parallel()
	m := newMigrator(t, unused(t), "sqlite", polls(), migrate.Source{App: "auth"})
	_, err := m.To(t.Context(), "polls", "0002_chioce", nil)
	if !errors.Is(err, migrate.ErrUnknownMigration) {
		t.Errorf("error %v", err)
	}
	asError(t, err, `polls.0002_chioce: unknown migration; did you mean "0002_choice"? the migrations are 0001_initial, 0002_choice, 0003_vote`)
	_, err = m.To(t.Context(), "auth", "0001", nil)
	asError(t, err, "auth.0001: unknown migration; there are no migrations")
}

func TestTo_IrreversibleIsRefusedBeforeAnythingRuns(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		m := newMigrator(t, e.open(t), e.dialect, migrate.Source{App: "polls", FS: files(
			"0001_initial.sql", table("question"),
			"0002_data.sql", "-- +goose Up\nINSERT INTO question VALUES (1);\n",
			"0003_nothing_to_undo.sql", "-- +goose Up\nINSERT INTO question VALUES (2);\n-- +goose Down\n")})
		mustUp(t, m)
		result, err := m.To(t.Context(), "polls", "0001", func(event migrate.Event) { t.Errorf("event %+v", event) })
		if !errors.Is(err, migrate.ErrIrreversible) || len(result.Unapplied) != 0 {
			t.Errorf("%+v, %v", result, err)
		}
		asError(t, err, "polls/0002_data.sql: irreversible migration: it has no Down section; write a line -- +goose Down")
		result, err = m.To(t.Context(), "polls", "0002", nil)
		if err != nil {
			t.Fatal(err)
		}
		wantNames(t, "with an empty Down", result.Unapplied, "polls.0003_nothing_to_undo")
	})
}

func TestTo_AMigrationWhoseFileIsGoneCannotBeTakenBack(t *testing.T) {
	t.Parallel()
	db := onSQLite(t).open(t)
	mustUp(t, newMigrator(t, db, "sqlite", polls()))
	m := newMigrator(t, db, "sqlite", migrate.Source{App: "polls", FS: files("0001_initial.sql", table("question"), "0003_vote.sql", table("vote"))})
	if _, err := m.To(t.Context(), "polls", migrate.Zero, nil); !errors.Is(err, migrate.ErrIrreversible) {
		t.Errorf("error %v", err)
	} else {
		asError(t, err, "polls.0002_choice: irreversible migration: its file is gone; bring the file back")
	}
	wantShown(t, m, "polls.0001_initial [X]", "polls.0002_choice [X] missing", "polls.0003_vote [X]")
}

func TestTo_AFailingDownIsKept(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		m := newMigrator(t, db, e.dialect, migrate.Source{App: "polls", FS: files(
			"0001_initial.sql", table("question"),
			"0002_choice.sql", "-- +goose Up\nCREATE TABLE choice (id int);\n\n-- +goose Down\nDROP TABLE choice;\nDROP TABLE nowhere;\n",
			"0003_vote.sql", table("vote"))})
		mustUp(t, m)
		result, err := m.To(t.Context(), "polls", migrate.Zero, nil)
		asError(t, err, "polls/0002_choice.sql:6: ", "nowhere")
		wantNames(t, "unapplied", result.Unapplied, "polls.0003_vote")
		wantShown(t, m, "polls.0001_initial [X]", "polls.0002_choice [X]", "polls.0003_vote [ ]")
		if !hasTable(t, db, e.dialect, "choice") {
			t.Error("half of the Down section was kept")
		}
	})
}
