package migrate_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/db/migrate"
)

func TestUp_AppliesEveryAppInTheOrderOfTheSources(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		m := newMigrator(t, db, e.dialect, polls(), migrate.Source{App: "auth", FS: files("0001_initial.sql", table("account"))})
		var events []string
		result, err := m.Up(t.Context(), func(event migrate.Event) {
			if event.Err != nil || event.Backwards || event.Done != (event.Duration > 0) {
				t.Errorf("event %+v", event)
			}
			events = append(events, fmt.Sprintf("%s.%s %t", event.App, event.Name, event.Done))
		})
		if err != nil {
			t.Fatal(err)
		}
		order := []string{"polls.0001_initial", "polls.0002_choice", "polls.0003_vote", "auth.0001_initial"}
		wantNames(t, "applied", result.Applied, order...)
		wantNames(t, "unapplied", result.Unapplied)
		if result.Duration <= 0 {
			t.Errorf("duration %s", result.Duration)
		}
		var want []string
		for _, name := range order {
			want = append(want, name+" false", name+" true")
		}
		if !slices.Equal(events, want) {
			t.Errorf("events %q, want %q", events, want)
		}
		for _, name := range []string{"question", "choice", "vote", "account"} {
			if !hasTable(t, db, e.dialect, name) {
				t.Errorf("there is no table %s", name)
			}
		}
		if n := query[int](t, db, "SELECT count(*) FROM quintet_migrations WHERE app = 'polls' AND name LIKE '000%'"); n != 3 {
			t.Errorf("%d rows for polls, want 3", n)
		}
	})
}

func TestUp_WithNothingPendingDoesNothing(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		m := newMigrator(t, e.open(t), e.dialect, polls())
		mustUp(t, m)
		result, err := m.Up(t.Context(), func(event migrate.Event) { t.Errorf("event %+v", event) })
		if err != nil || len(result.Applied) != 0 {
			t.Errorf("%v, %v", result, err)
		}
	})
}

func TestUp_AFailingFileLeavesNothingAndStaysPending(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		broken := "-- +goose Up\n\n-- the first\nCREATE TABLE choice (id bigint);\n\nINSERT INTO\n  nowhere VALUES (1);\nCREATE TABLE never (id bigint);\n"
		m := newMigrator(t, db, e.dialect, migrate.Source{App: "polls", FS: files(
			"0001_initial.sql", table("question"), "0002_choice.sql", broken, "0003_vote.sql", table("vote"))})
		var last migrate.Event
		result, err := m.Up(t.Context(), func(event migrate.Event) { last = event })
		failure := asError(t, err, "polls/0002_choice.sql:6: ", "nowhere", "; nothing of the file was kept: correct it and migrate again")
		if failure.Name != "0002_choice" || failure.Line != 6 {
			t.Errorf("%+v", failure)
		}
		wantNames(t, "applied", result.Applied, "polls.0001_initial")
		if !last.Done || last.Name != "0002_choice" || !errors.Is(last.Err, failure) {
			t.Errorf("the last event is %+v", last)
		}
		wantShown(t, m, "polls.0001_initial [X]", "polls.0002_choice [ ]", "polls.0003_vote [ ]")
		if hasTable(t, db, e.dialect, "choice") {
			t.Error("the failed file has left its table")
		}

		repaired := newMigrator(t, db, e.dialect, polls())
		wantNames(t, "applied by the next Up", mustUp(t, repaired).Applied, "polls.0002_choice", "polls.0003_vote")
	})
}

func TestUp_TheErrorUnwrapsToThatOfTheDriver(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		m := newMigrator(t, e.open(t), e.dialect, migrate.Source{App: "polls", FS: files("0001_initial.sql", "-- +goose Up\nSELECT * FROM nowhere;\n")})
		_, err := m.Up(t.Context(), nil)
		_, isPostgres := errors.AsType[interface {
			error
			SQLState() string
		}](err)
		_, isSQLite := errors.AsType[interface {
			error
			Code() int
		}](err)
		if isPostgres != (e.dialect == "postgres") || isSQLite != (e.dialect == "sqlite") {
			t.Errorf("%v: of PostgreSQL %t, of SQLite %t", err, isPostgres, isSQLite)
		}
	})
}

func TestUp_KeepsLiterals(t *testing.T) {
	t.Parallel()
	literals := []string{"blank\n\n\nlines", "semi;colons; here;too", "  indented\n\ttabs  \n", "it''s -- no comment", "long " + strings.Repeat("0123456789", 7000)}
	text := "-- +goose Up\nCREATE TABLE note (id int, body text);\n"
	for i, literal := range literals {
		text += fmt.Sprintf("INSERT INTO note VALUES (%d, '%s');\n", i, literal)
	}
	block := "a line that ends;\nand another;\n"
	text += "-- +goose StatementBegin\nINSERT INTO note VALUES (99, '" + block + "');\n-- +goose StatementEnd\n"
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		mustUp(t, newMigrator(t, db, e.dialect, migrate.Source{App: "notes", FS: files("0001_initial.sql", text)}))
		for i, literal := range literals {
			want := strings.ReplaceAll(literal, "''", "'")
			if got := query[string](t, db, fmt.Sprintf("SELECT body FROM note WHERE id = %d", i)); got != want {
				t.Errorf("literal %d: got %.80q, want %.80q", i, got, want)
			}
		}
		if got := query[string](t, db, "SELECT body FROM note WHERE id = 99"); got != block {
			t.Errorf("in a block: got %q, want %q", got, block)
		}
	})
}

func TestUp_FunctionsAndTriggersStandInABlock(t *testing.T) {
	t.Parallel()
	tables := "CREATE TABLE vote (id int);\nCREATE TABLE log (id int);\n"
	const begin, end = "-- +goose StatementBegin\n", "-- +goose StatementEnd\n"
	source := migrate.Source{App: "polls", FS: files(
		"0001_trigger.sqlite.sql", "-- +goose Up\n"+tables+begin+
			"CREATE TRIGGER voted AFTER INSERT ON vote BEGIN\n  INSERT INTO log VALUES (1);\n  INSERT INTO log VALUES (2);\nEND;\n"+end,
		"0001_trigger.postgres.sql", "-- +goose Up\n"+tables+begin+
			"CREATE FUNCTION voted() RETURNS trigger LANGUAGE plpgsql AS $$\nDECLARE n int;\nBEGIN\n  INSERT INTO log VALUES (1);\n  INSERT INTO log VALUES (2);\n  RETURN NULL;\nEND\n$$;\n"+end+
			"CREATE TRIGGER voted AFTER INSERT ON vote EXECUTE FUNCTION voted();\n")}
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		mustUp(t, newMigrator(t, db, e.dialect, source))
		exec(t, db, "INSERT INTO vote VALUES (7)")
		if n := query[int](t, db, "SELECT count(*) FROM log"); n != 2 {
			t.Errorf("the trigger has written %d rows, want 2", n)
		}
	})
}

func TestUp_AStatementThatWasCutInTwoIsSuspected(t *testing.T) {
	t.Parallel()
	source := migrate.Source{App: "polls", FS: files(
		"0001_cut.sqlite.sql", "-- +goose Up\nCREATE TABLE vote (id int);\nCREATE TRIGGER voted AFTER INSERT ON vote BEGIN DELETE FROM vote;\nDELETE FROM vote; END;\n",
		"0001_cut.postgres.sql", "-- +goose Up\nCREATE TABLE vote (id int);\nCREATE FUNCTION voted() RETURNS int LANGUAGE sql AS $$\n  SELECT 1;\n  SELECT 2;\n$$;\n",
	)}
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		m := newMigrator(t, db, e.dialect, source)
		_, err := m.Up(t.Context(), nil)
		asError(t, err, "polls/0001_cut."+e.dialect+".sql:3: ", "write StatementBegin and StatementEnd around it")
	})
}

func TestUp_TheRowIsWrittenInTheTransactionOfTheFile(t *testing.T) {
	t.Parallel()
	// The table that the row goes to refuses it: then the file must not stay either.
	refuse := map[string]string{
		"sqlite":   "CREATE TRIGGER refuse BEFORE INSERT ON quintet_migrations WHEN NEW.name = '0002_choice' BEGIN SELECT RAISE(ABORT, 'refused'); END",
		"postgres": "ALTER TABLE quintet_migrations ADD CONSTRAINT refused CHECK (name <> '0002_choice')",
	}
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		m := newMigrator(t, db, e.dialect, polls())
		if _, err := m.To(t.Context(), "polls", "0001", nil); err != nil {
			t.Fatal(err)
		}
		exec(t, db, refuse[e.dialect])
		_, err := m.Up(t.Context(), nil)
		if failure := asError(t, err, "refused"); failure.Line != 0 {
			t.Errorf("line %d is not to blame", failure.Line)
		}
		if hasTable(t, db, e.dialect, "choice") {
			t.Error("the file was kept without its row")
		}
	})
}

func TestUp_AFileWithoutTransaction(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		m := newMigrator(t, db, e.dialect, migrate.Source{App: "polls", FS: files(
			"0001_initial.sql", table("question"),
			"0002_index.postgres.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY ix ON question (id);\n-- +goose Down\nDROP INDEX CONCURRENTLY ix;\n",
			"0002_index.sqlite.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nVACUUM;\nCREATE INDEX ix ON question (id);\n-- +goose Down\nDROP INDEX ix;\nVACUUM;\n")})
		mustUp(t, m)
		if !hasTable(t, db, e.dialect, "ix") {
			t.Error("there is no index")
		}
		if _, err := m.To(t.Context(), "polls", "0001", nil); err != nil {
			t.Fatal(err)
		}
		if hasTable(t, db, e.dialect, "ix") {
			t.Error("the index is still there")
		}
	})
}

func TestUp_AFileWithoutTransactionKeepsWhatRanBeforeItFailed(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		db.SetMaxOpenConns(1)
		m := newMigrator(t, db, e.dialect, migrate.Source{App: "polls", FS: files(
			"0001_initial.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE TABLE kept (id int);\nBEGIN;\nCREATE TABLE begun (id int);\nINSERT INTO nowhere VALUES (1);\nCOMMIT;\n")})
		_, err := m.Up(t.Context(), nil)
		asError(t, err, "polls/0001_initial.sql:6: ", "runs without a transaction, what came before in it stays: put it right by hand")
		wantShown(t, m, "polls.0001_initial [ ]")
		if !hasTable(t, db, e.dialect, "kept") {
			t.Error("what ran before is gone")
		}
		// The transaction that the file had begun must not be the next one's.
		if hasTable(t, db, e.dialect, "begun") {
			t.Error("the transaction of the file is still open")
		}
		exec(t, db, "CREATE TABLE free (id int)")
	})
}

func TestUp_OneConnectionIsEnough(t *testing.T) {
	t.Parallel()
	cycle := func(t *testing.T, db *sql.DB, dialect string) {
		t.Helper()
		db.SetMaxOpenConns(1)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		m := newMigrator(t, db, dialect, polls(), migrate.Source{App: "auth", FS: files("0001_initial.sql",
			"-- +goose NO TRANSACTION\n-- +goose Up\nCREATE TABLE account (id int);\n-- +goose Down\nDROP TABLE account;\n")})
		if _, err := m.Up(ctx, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := m.To(ctx, "polls", "0001", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := m.To(ctx, "auth", migrate.Zero, nil); err != nil {
			t.Fatal(err)
		}
		wantShown(t, m, "polls.0001_initial [X]", "polls.0002_choice [ ]", "polls.0003_vote [ ]", "auth.0001_initial [ ]")
		if stats := db.Stats(); stats.InUse != 0 || stats.OpenConnections > 1 {
			t.Errorf("after the runs: %d in use, %d open", stats.InUse, stats.OpenConnections)
		}
	}
	eachEngine(t, func(t *testing.T, e engine) { cycle(t, e.open(t), e.dialect) })
	t.Run("sqlite in memory", func(t *testing.T) {
		t.Parallel()
		cycle(t, open(t, "sqlite", ":memory:"), "sqlite")
	})
}

func TestUp_EndsWithItsContextAndLeavesTheRestPending(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		m := newMigrator(t, db, e.dialect, migrate.Source{App: "polls", FS: files(
			"0001_initial.sql", table("question"),
			"0002_long.postgres.sql", "-- +goose Up\nCREATE TABLE long (id int);\nSELECT pg_sleep(60);\n",
			"0002_long.sqlite.sql", "-- +goose Up\nCREATE TABLE long (id int);\nINSERT INTO long WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT i FROM n;\n")})
		why := errors.New("the deploy was stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		result, err := m.Up(ctx, func(event migrate.Event) {
			if event.Name == "0002_long" && !event.Done {
				time.AfterFunc(50*time.Millisecond, func() { cancel(why) }) // into the long statement
			}
		})
		cancel(nil)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
			t.Errorf("error %v", err)
		}
		asError(t, err, "polls/0002_long.", "nothing of the file was kept")
		wantNames(t, "applied", result.Applied, "polls.0001_initial")
		wantShown(t, m, "polls.0001_initial [X]", "polls.0002_long [ ]")
		if hasTable(t, db, e.dialect, "long") {
			t.Error("the cancelled file has left its table")
		}
		if stats := db.Stats(); stats.InUse != 0 {
			t.Errorf("%d connections in use", stats.InUse)
		}
	})
}

func TestUp_AContextThatHasEndedRunsNothing(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		m := newMigrator(t, e.open(t), e.dialect, polls())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.Up(ctx, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		wantShown(t, m, "polls.0001_initial [ ]", "polls.0002_choice [ ]", "polls.0003_vote [ ]")
	})
}

func TestUp_AnUnreachableDatabaseIsAnError(t *testing.T) {
	t.Parallel()
	m := newMigrator(t, unused(t), "sqlite", polls())
	if _, err := m.Up(t.Context(), nil); err == nil || !strings.HasPrefix(err.Error(), "migrate: ") {
		t.Errorf("Up: %v", err)
	}
	if _, err := m.Status(t.Context()); err == nil {
		t.Error("Status found no error")
	}
}

func TestUp_ALostConnectionIsAnErrorAndIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	e := onPostgres(t)
	db := e.open(t)
	db.SetMaxOpenConns(1)
	m := newMigrator(t, db, e.dialect, migrate.Source{App: "polls", FS: files(
		"0001_initial.sql", table("question"),
		"0002_cut_off.sql", "-- +goose Up\nCREATE TABLE choice (id int);\nSELECT pg_terminate_backend(pg_backend_pid());\n")})
	_, err := m.Up(t.Context(), nil)
	asError(t, err, "polls/0002_cut_off.sql:3: ", "the connection was lost: see with showmigrations")
	wantShown(t, m, "polls.0001_initial [X]", "polls.0002_cut_off [ ]")
	// The server says goodbye before it gives up what the session had.
	for began := time.Now(); advisoryLocks(t, db) != 0; {
		if time.Since(began) > 10*time.Second {
			t.Fatal("its advisory lock is left")
		}
	}
}

func TestUp_AFileMaySetTheSearchPath(t *testing.T) {
	t.Parallel()
	e := onPostgres(t)
	db := e.open(t)
	// What pg_dump writes at the top.
	m := newMigrator(t, db, e.dialect, migrate.Source{App: "polls", FS: files(
		"0001_dump.sql", "-- +goose Up\nSELECT pg_catalog.set_config('search_path', '', false);\nCREATE TABLE public.question (id int);\n",
		"0002_choice.sql", "-- +goose Up\nCREATE TABLE public.choice (id int);\n")})
	mustUp(t, m)
	if n := query[int](t, e.open(t), "SELECT count(*) FROM public.quintet_migrations"); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}

func TestUp_TheTableIsTheOneThatTheSearchPathLeadsTo(t *testing.T) {
	t.Parallel()
	e := onPostgres(t)
	db := e.open(t)
	db.SetMaxOpenConns(1)
	exec(t, db, `CREATE SCHEMA "Tenant One"`)
	exec(t, db, `SET search_path = "Tenant One", public`)
	m := newMigrator(t, db, e.dialect, polls())
	mustUp(t, m)
	if n := query[int](t, db, `SELECT count(*) FROM "Tenant One".quintet_migrations`); n != 3 {
		t.Errorf("%d rows in the first schema, want 3", n)
	}
	exec(t, db, `CREATE SCHEMA closer`)
	exec(t, db, `SET search_path = closer, "Tenant One"`)
	if pending, err := m.Pending(t.Context()); err != nil || len(pending) != 0 {
		t.Errorf("a table further down the path is not seen: %v, %v", pending, err)
	}
	exec(t, db, `SET search_path = nowhere`)
	if _, err := m.Up(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "the search_path leads to no schema") {
		t.Errorf("error %v", err)
	}
}

func TestUp_APanicInProgressGivesTheLockAndTheConnectionBack(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		db.SetMaxOpenConns(1)
		m := newMigrator(t, db, e.dialect, polls())
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_, _ = m.Up(t.Context(), func(event migrate.Event) { panic("printing failed") })
		}()
		wantNames(t, "applied afterwards", mustUp(t, m).Applied, "polls.0001_initial", "polls.0002_choice", "polls.0003_vote")
	})
}
