package dbtest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
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
		return onServer(t)
	}
	t.Fatalf("dbtest: engine %q is unknown; say %q or %q", engine, SQLite, Postgres)
	return db.Settings{}
}

// engines are those that Open builds in.
func engines() []db.Engine { return []db.Engine{sqlite.Engine{}, postgres.Engine{}} }

// onServer makes an empty database on the server.
func onServer(t testing.TB) db.Settings {
	t.Helper()
	srv := Server(t)
	name, create := reserve(t, srv)
	if err := create(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	return settingsOf(srv, name)
}

// reserve chooses the name of a database that create makes, as a copy of template
// unless that is empty. When the test ends, it is gone.
func reserve(t testing.TB, srv *server.Server) (name string, create func(ctx context.Context, template string) error) {
	name = shared.name("test")
	var made atomic.Bool
	t.Cleanup(func() {
		if !made.Load() {
			return
		}
		ctx, cancel := cleanup()
		defer cancel()
		if err := srv.DropDatabase(ctx, name); err != nil {
			t.Error(err)
		}
	})
	return name, func(ctx context.Context, template string) error {
		made.Store(true)
		return srv.CreateDatabase(ctx, name, template)
	}
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
