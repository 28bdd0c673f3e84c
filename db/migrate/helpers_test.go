package migrate_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/goquintet/quintet/db/migrate"
	"github.com/goquintet/quintet/db/postgres/server"
)

// private is the server of this test process, started by the first test that
// wants one.
var private = sync.OnceValues(func() (*server.Server, error) {
	if srv, found, err := server.FromEnv(); found || err != nil {
		return srv, err
	}
	return server.Start(context.Background(), server.Options{})
})

var started atomic.Bool

func TestMain(m *testing.M) {
	code := m.Run()
	if started.Load() {
		if srv, err := private(); err == nil {
			if err := srv.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
	}
	os.Exit(code)
}

// engine is one private, empty database.
type engine struct {
	dialect string
	open    func(t *testing.T) *sql.DB // another pool on the same database
}

// eachEngine runs a test on SQLite and on PostgreSQL.
func eachEngine(t *testing.T, test func(t *testing.T, e engine)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, onSQLite(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, onPostgres(t))
	})
}

func onSQLite(t *testing.T) engine {
	dsn := "file:" + filepath.Join(t.TempDir(), "site.db") + "?_busy_timeout=5000&_journal_mode=WAL&_foreign_keys=1"
	return engine{"sqlite", func(t *testing.T) *sql.DB { return open(t, "sqlite", dsn) }}
}

var databases atomic.Int64

func onPostgres(t *testing.T) engine {
	started.Store(true)
	srv, err := private()
	if errors.Is(err, server.ErrNotInstalled) && !strings.Contains(os.Getenv("QUINTET_REQUIRE"), "postgres") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("migrate_%d_%d", os.Getpid(), databases.Add(1))
	if err := srv.CreateDatabase(t.Context(), name, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.DropDatabase(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	dsn := fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=disable", srv.Host, srv.Port, srv.User, name)
	return engine{"postgres", func(t *testing.T) *sql.DB { return open(t, "pgx", dsn) }}
}

func open(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// files is an app's folder: names and texts.
func files(pairs ...string) fs.FS {
	fsys := fstest.MapFS{}
	for pair := range slices.Chunk(pairs, 2) {
		fsys[pair[0]] = &fstest.MapFile{Data: []byte(pair[1])}
	}
	return fsys
}

// table is a file that makes a table and drops it again.
func table(name string) string {
	return fmt.Sprintf("-- +goose Up\nCREATE TABLE %s (id bigint PRIMARY KEY);\n-- +goose Down\nDROP TABLE %s;\n", name, name)
}

func polls() migrate.Source {
	return migrate.Source{App: "polls", FS: files(
		"0001_initial.sql", table("question"),
		"0002_choice.sql", table("choice"),
		"0003_vote.sql", table("vote"),
	)}
}

func newMigrator(t *testing.T, db *sql.DB, dialect string, sources ...migrate.Source) *migrate.Migrator {
	t.Helper()
	return newWith(t, db, dialect, migrate.Options{}, sources...)
}

func newWith(t *testing.T, db *sql.DB, dialect string, opts migrate.Options, sources ...migrate.Source) *migrate.Migrator {
	t.Helper()
	m, err := migrate.New(db, dialect, sources, opts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustUp(t *testing.T, m *migrate.Migrator) migrate.Result {
	t.Helper()
	result, err := m.Up(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// shown is showmigrations in short: "polls.0001_initial [X]".
func shown(t *testing.T, m *migrate.Migrator) []string {
	t.Helper()
	all, err := m.Status(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, s := range all {
		mark := " [ ]"
		if s.Applied != nil {
			mark = " [X]"
		}
		if s.Missing {
			mark += " missing"
		}
		lines = append(lines, s.App+"."+s.Name+mark)
	}
	return lines
}

func wantShown(t *testing.T, m *migrate.Migrator, want ...string) {
	t.Helper()
	if got := shown(t, m); !slices.Equal(got, want) {
		t.Errorf("showmigrations:\n got %q\nwant %q", got, want)
	}
}

func names(migrations []migrate.Migration) []string {
	var all []string
	for _, m := range migrations {
		all = append(all, m.String())
	}
	return all
}

func wantNames(t *testing.T, what string, got []migrate.Migration, want ...string) {
	t.Helper()
	if !slices.Equal(names(got), want) {
		t.Errorf("%s: got %q, want %q", what, names(got), want)
	}
}

func query[T any](t *testing.T, db *sql.DB, text string) T {
	t.Helper()
	var value T
	if err := db.QueryRowContext(context.WithoutCancel(t.Context()), text).Scan(&value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return value
}

func exec(t *testing.T, db *sql.DB, text string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// hasTable asks the database itself.
func hasTable(t *testing.T, db *sql.DB, dialect, name string) bool {
	t.Helper()
	if dialect == "postgres" {
		return query[bool](t, db, "SELECT to_regclass('"+name+"') IS NOT NULL")
	}
	return query[bool](t, db, "SELECT count(*) > 0 FROM sqlite_master WHERE name = '"+name+"'")
}

// asError finds the *migrate.Error and checks what it says.
func asError(t *testing.T, err error, parts ...string) *migrate.Error {
	t.Helper()
	e, ok := errors.AsType[*migrate.Error](err)
	if !ok {
		t.Fatalf("error %v is no *migrate.Error", err)
	}
	for _, part := range parts {
		if !strings.Contains(e.Error(), part) {
			t.Errorf("error %q does not say %q", e, part)
		}
	}
	return e
}

func contains(err error, part string) bool { return strings.Contains(err.Error(), part) }
