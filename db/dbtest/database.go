package dbtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/postgres/server"
	"github.com/goquintet/quintet/db/sqlite"
)

// The engines that tests run on, as ENGINE in the settings names them.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// RequireKey is the variable that lists, separated by commas, the engines without
// which tests fail instead of being skipped.
const RequireKey = "QUINTET_REQUIRE"

// Engines runs a subtest for each engine, parallel to others, with a private empty
// database each.
func Engines(t *testing.T, run func(t *testing.T, settings db.Settings)) {
	t.Helper()
	for _, engine := range []string{SQLite, Postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			run(t, Database(t, engine))
		})
	}
}

// Database returns the settings of a private, empty database, which is gone when
// the test has ended. It skips the test where PostgreSQL is missing.
func Database(t testing.TB, engine string) db.Settings {
	t.Helper()
	switch engine {
	case SQLite:
		return db.Settings{Engine: SQLite, Name: filepath.Join(t.TempDir(), "test.sqlite3")}
	case Postgres:
		return onServer(t, "")
	}
	t.Fatalf("dbtest: engine %q is unknown; say %q or %q", engine, SQLite, Postgres)
	return db.Settings{}
}

// engines are those that Open builds in.
func engines() []db.Engine { return []db.Engine{sqlite.Engine{}, postgres.Engine{}} }

// onServer makes a database on the server, as a copy of template unless that is
// empty.
func onServer(t testing.TB, template string) db.Settings {
	t.Helper()
	srv := Server(t)
	name := shared.name("test")
	if err := srv.CreateDatabase(t.Context(), name, template); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := cleanup()
		defer cancel()
		if err := srv.DropDatabase(ctx, name); err != nil {
			t.Error(err)
		}
	})
	return settingsOf(srv, name)
}

func settingsOf(srv *server.Server, name string) db.Settings {
	return db.Settings{
		Engine: Postgres, Name: name, Host: srv.Host, Port: srv.Port, User: srv.User,
		Options: map[string]string{"sslmode": "disable"},
	}
}

func required(engine string) bool {
	return slices.Contains(strings.Split(os.Getenv(RequireKey), ","), engine)
}
