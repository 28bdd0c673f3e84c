package migrate_test

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db/migrate"
)

// unused is a database that New must not touch: it cannot be opened.
func unused(t *testing.T) *sql.DB {
	t.Helper()
	return open(t, "sqlite", "file:"+filepath.Join(t.TempDir(), "no", "such", "folder.db")+"?mode=ro")
}

func newError(t *testing.T, dialect string, sources ...migrate.Source) error {
	t.Helper()
	m, err := migrate.New(unused(t), dialect, sources, migrate.Options{})
	if err == nil {
		t.Fatal("New found no mistake")
	}
	if m != nil {
		t.Error("New returned a Migrator and an error")
	}
	return err
}

func TestNew_DoesNotUseTheDatabase(t *testing.T) {
	t.Parallel()
	if _, err := migrate.New(unused(t), "sqlite", []migrate.Source{polls()}, migrate.Options{}); err != nil {
		t.Error(err)
	}
}

func TestNew_RefusesWhatItCannotWorkWith(t *testing.T) {
	t.Parallel()
	if _, err := migrate.New(nil, "sqlite", nil, migrate.Options{}); err == nil || !strings.Contains(err.Error(), "nil") {
		t.Errorf("nil database: %v", err)
	}
	if _, err := migrate.New(unused(t), "mysql", nil, migrate.Options{}); err == nil || !strings.Contains(err.Error(), `dialect "mysql" is unknown; say postgres or sqlite`) {
		t.Errorf("unknown dialect: %v", err)
	}
	asError(t, newError(t, "sqlite", polls(), polls()), `app "polls": the app has two sources`)
	asError(t, newError(t, "sqlite", polls(), migrate.Source{}), "source 1 has no app")
}

func TestNew_ReportsAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	err := newError(t, "sqlite",
		migrate.Source{App: "auth", FS: files("1_initial.sql", table("a"), "0002_user.sql", "CREATE TABLE b (id int);")},
		migrate.Source{App: "polls", FS: files("0001_initial.sql", "-- +goose Up\nSELECT 1\n")})
	for _, part := range []string{"auth/1_initial.sql: ", "auth/0002_user.sql: there is no Up section", "polls/0001_initial.sql:2: no semicolon"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in:\n%v", part, err)
		}
	}
}

func TestNew_RefusesNames(t *testing.T) {
	t.Parallel()
	for name, problem := range map[string]string{
		"initial.sql":               "does not begin with four digits",
		"1_initial.sql":             "does not begin with four digits",
		"00001_initial.sql":         "does not begin with four digits",
		"+001_initial.sql":          "does not begin with four digits",
		"0001.sql":                  "after the number come words",
		"0001_.sql":                 "after the number come words",
		"0001-initial.sql":          "does not begin with four digits",
		"0001_first table.sql":      "after the number come words",
		"0001_Initial.sql":          "after the number come words",
		"0001_initial.SQL":          ".sql in lower case",
		"0001_initial.mysql.sql":    `"mysql" is no engine: say postgres or sqlite`,
		"0001_initial.up.sql":       `"up" is no engine`,
		"0001_initial.postgres.Sql": ".sql in lower case",
		"0000_initial.sql":          "0000 is no number",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := asError(t, newError(t, "sqlite", migrate.Source{App: "polls", FS: files(name, table("a"))}), "polls/"+name+": ", problem, "; ")
			if e.App != "polls" || e.File != name {
				t.Errorf("App %q, File %q", e.App, e.File)
			}
		})
	}
}

func TestNew_RefusesTextsAndNamesTheLine(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text    string
		line    int
		problem string
	}{
		"empty":                  {"", 0, "there is no Up section"},
		"no section":             {"CREATE TABLE a (id int);\n", 0, "there is no Up section"},
		"only Down":              {"-- +goose Down\nDROP TABLE a;\n", 1, "the Down section comes before an Up section"},
		"two Ups":                {"-- +goose Up\nSELECT 1;\n-- +goose Up\nSELECT 2;\n", 3, "a second Up section, after that of line 1"},
		"two Downs":              {"-- +goose Up\n-- +goose Down\n-- +goose Down\n", 3, "a second Down section, after that of line 2"},
		"misspelt":               {"-- +goose Up\n-- +goose Dwon\n", 2, `"-- +goose Dwon" is unknown`},
		"indented":               {"  -- +goose Up\nSELECT 1;\n", 1, "is indented"},
		"byte order mark":        {"\ufeff-- +goose Up\nSELECT 1;\n", 1, "byte order mark"},
		"no semicolon":           {"-- +goose Up\nSELECT 1;\n\nSELECT 1\n", 4, `no semicolon ends the statement "SELECT 1"`},
		"no semicolon in Down":   {"-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 1\n", 4, `no semicolon ends the statement "SELECT 1"`},
		"no semicolon, CRLF":     {"-- +goose Up\r\nSELECT 1;\r\nSELECT\r\n2\r\n", 3, `no semicolon ends the statement "SELECT ..."`},
		"StatementBegin open":    {"-- +goose Up\nSELECT 1;\n-- +goose StatementBegin\nSELECT 1;\n", 3, "nothing ends this StatementBegin"},
		"text before Up":         {"-- polls\nSELECT 1;\n-- +goose Up\nSELECT 1;\n", 2, "something comes before the Up section of line 3"},
		"StatementEnd alone":     {"-- +goose Up\n-- +goose StatementEnd\n", 0, "goose cannot read it: '-- +goose StatementEnd' must be"},
		"a line of 5 MB":         {"-- +goose Up\nSELECT '" + strings.Repeat("x", 5<<20) + "';\n", 0, "goose cannot read it: bufio.Scanner: token too long"},
		"BEGIN":                  {"-- +goose Up\nBEGIN;\nSELECT 1;\nCOMMIT;\n", 2, `"BEGIN;" inside the transaction of the file`},
		"COMMIT in Down":         {"-- +goose Up\nSELECT 1;\n-- +goose Down\n-- COMMIT;\ncommit work;\n", 5, `"commit work;" inside the transaction`},
		"START TRANSACTION":      {"-- +goose Up\nStart  Transaction ;\n", 2, "inside the transaction"},
		"ROLLBACK":               {"-- +goose Up\nROLLBACK;\n", 2, "inside the transaction"},
		"a trigger cut in two":   {"-- +goose Up\nCREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM b;\nEND;\n", 4, "write StatementBegin and StatementEnd"},
		"PRAGMA foreign_keys":    {"-- +goose Up\nPRAGMA foreign_keys = OFF;\nDROP TABLE a;\n", 2, "rows may go with a dropped table"},
		"a transaction not over": {"-- +goose NO TRANSACTION\n-- +goose Up\nBEGIN;\nSELECT 1;\n", 3, "nothing ends this transaction"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := newError(t, "sqlite", migrate.Source{App: "polls", FS: files("0001_initial.sql", test.text)})
			e := asError(t, err, "polls/0001_initial.sql", test.problem)
			if e.Line != test.line {
				t.Errorf("line %d, want %d: %v", e.Line, test.line, e)
			}
			if e.App != "polls" || e.Name != "0001_initial" || e.Hint == "" {
				t.Errorf("App %q, Name %q, Hint %q", e.App, e.Name, e.Hint)
			}
			if len(e.Error()) > 1000 {
				t.Errorf("the message has %d bytes", len(e.Error()))
			}
		})
	}
}

func TestNew_AcceptsTexts(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"Up without statements": "-- +goose Up\n",
		"lower case":            "-- +goose up\nSELECT 1;\n-- +goose down\n",
		"comments":              "-- polls, 2026\n\n-- +goose Up\n-- SELECT 1\nSELECT 1; -- one\n",
		"ROLLBACK TO":           "-- +goose Up\nSAVEPOINT a;\nROLLBACK TO SAVEPOINT a;\n",
		"own transaction":       "-- +goose NO TRANSACTION\n-- +goose Up\nPRAGMA foreign_keys = OFF;\nBEGIN;\nSELECT 1;\nCOMMIT;\nPRAGMA foreign_keys = ON;\n",
		"transaction as one":    "-- +goose NO TRANSACTION\n-- +goose Up\n-- +goose StatementBegin\nBEGIN;\nSELECT 1;\nCOMMIT;\n-- +goose StatementEnd\n",
		"pragma check":          "-- +goose Up\nPRAGMA foreign_key_check;\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newMigrator(t, unused(t), "sqlite", migrate.Source{App: "polls", FS: files("0001_initial.sql", text)})
		})
	}
}

func TestNew_TwoFilesWithOneNumberAreAMistake(t *testing.T) {
	t.Parallel()
	asError(t, newError(t, "sqlite", migrate.Source{App: "polls", FS: files("0001_a.sql", table("a"), "0001_b.sql", table("b"))}),
		`polls/0001_b.sql: number 0001 is taken by "0001_a.sql"; give one of them the next free number`)
	asError(t, newError(t, "sqlite", migrate.Source{App: "polls", FS: files("0001_a.sql", table("a"), "0001_b.postgres.sql", table("b"))}),
		`polls/0001_b.postgres.sql: number 0001 is taken by "0001_a.sql"`)
}

func TestNew_AFileForOneEngineReplacesTheOneForAll(t *testing.T) {
	t.Parallel()
	source := migrate.Source{App: "polls", FS: files(
		"0001_initial.sql", table("for_all"),
		"0001_initial.postgres.sql", table("for_postgres"),
		"0002_both.postgres.sql", table("shared"),
		"0002_both.sqlite.sql", table("shared"))}
	want := map[string]string{"sqlite": "for_all", "postgres": "for_postgres"}
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		m := newMigrator(t, db, e.dialect, source)
		wantNames(t, "applied", mustUp(t, m).Applied, "polls.0001_initial", "polls.0002_both")
		for _, name := range want {
			if got := hasTable(t, db, e.dialect, name); got != (name == want[e.dialect]) {
				t.Errorf("table %s: %v", name, got)
			}
		}
		wantShown(t, m, "polls.0001_initial [X]", "polls.0002_both [X]")
	})
}

func TestNew_AMigrationNeedsAFileForTheEngine(t *testing.T) {
	t.Parallel()
	source := migrate.Source{App: "polls", FS: files("0001_search.postgres.sql", table("a"))}
	asError(t, newError(t, "sqlite", source), "polls/0001_search.postgres.sql: there is no file for sqlite beside it; add 0001_search.sql, or 0001_search.sqlite.sql")
	newMigrator(t, unused(t), "postgres", source)
}

func TestNew_ChecksTheFilesForTheOtherEngineToo(t *testing.T) {
	t.Parallel()
	asError(t, newError(t, "sqlite", migrate.Source{App: "polls", FS: files(
		"0001_initial.sql", table("a"), "0001_initial.postgres.sql", "CREATE TABLE a (id int);")}),
		"polls/0001_initial.postgres.sql: there is no Up section")
}

func TestNew_AnAppWithoutMigrationsIsFine(t *testing.T) {
	t.Parallel()
	db := onSQLite(t).open(t)
	m := newMigrator(t, db, "sqlite", migrate.Source{App: "pages"}, migrate.Source{App: "about", FS: files()},
		migrate.Source{App: "docs", FS: files("README.md", "no SQL", ".0001_old.sql", "hidden", "migrations/.gitkeep", "")})
	if result := mustUp(t, m); len(result.Applied) != 0 {
		t.Errorf("applied %v", result.Applied)
	}
	wantShown(t, m)
	if hasTable(t, db, "sqlite", "quintet_migrations") {
		t.Error("the table was created although no migration ran")
	}
}

func TestNew_FindsTheFilesAtTheRootOrInTheFolderMigrations(t *testing.T) {
	t.Parallel()
	db := unused(t)
	embedded := files("migrations/0001_initial.sql", table("a"), "migrations/README.md", "")
	sub, err := fs.Sub(embedded, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	for _, fsys := range []fs.FS{embedded, sub} {
		if _, err := newMigrator(t, db, "sqlite", migrate.Source{App: "polls", FS: fsys}).To(t.Context(), "polls", "0002", nil); !errors.Is(err, migrate.ErrUnknownMigration) {
			t.Error(err)
		}
	}
	asError(t, newError(t, "sqlite", migrate.Source{App: "polls", FS: files("sql/0001_initial.sql", table("a"))}),
		`app "polls": its SQL files are in the folder "sql"; call the folder "migrations", or hand over fs.Sub(fsys, "sql")`)
	asError(t, newError(t, "sqlite", migrate.Source{App: "polls", FS: files("0001_a.sql", table("a"), "migrations/0002_b.sql", table("b"))}),
		`there are SQL files at the root and in "migrations"`)
	e := asError(t, newError(t, "sqlite", migrate.Source{App: "polls", FS: os.DirFS(filepath.Join(t.TempDir(), "gone"))}), `app "polls": its files cannot be listed`)
	if !errors.Is(e, fs.ErrNotExist) {
		t.Errorf("%v does not unwrap to fs.ErrNotExist", e)
	}
}

func TestNew_WhatItHasReadIsWhatRuns(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "0001_initial.sql")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(table("before"))
	db := onSQLite(t).open(t)
	m := newMigrator(t, db, "sqlite", migrate.Source{App: "polls", FS: os.DirFS(folder)})
	write(table("afterwards"))
	mustUp(t, m)
	if !hasTable(t, db, "sqlite", "before") || hasTable(t, db, "sqlite", "afterwards") {
		t.Error("the file that ran is not the one that New checked")
	}
}

func FuzzNew(f *testing.F) {
	for _, text := range []string{table("a"), "-- +goose Up\nSELECT 'a;\nb';\n", "-- +goose Up\n-- +goose StatementBegin\nx;\ny;\n-- +goose StatementEnd\n", "-- +goose NO TRANSACTION\n-- +goose Up\nBEGIN;\nCOMMIT;\n"} {
		f.Add(text)
	}
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := db.Close(); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, text string) {
		_, err := migrate.New(db, "sqlite", []migrate.Source{{App: "polls", FS: files("0001_initial.sql", text)}}, migrate.Options{})
		if err == nil {
			return
		}
		e, ok := errors.AsType[*migrate.Error](err)
		if !ok || e.App != "polls" || e.File != "0001_initial.sql" {
			t.Fatalf("%v (%T)", err, err)
		}
		if lines := strings.Count(text, "\n") + 1; e.Line < 0 || e.Line > lines {
			t.Fatal(fmt.Errorf("line %d of %d: %w", e.Line, lines, err))
		}
	})
}
