package postgres_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/postgres/server"
)

// shared is the server of this test process, and missing says why there is none.
var (
	shared  *server.Server
	missing error
)

func TestMain(m *testing.M) {
	code, err := runWithServer(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runWithServer(m *testing.M) (code int, err error) {
	srv, found, err := server.FromEnv()
	if err == nil && !found {
		srv, err = server.Start(context.Background(), server.Options{})
	}
	switch {
	case errors.Is(err, server.ErrNotInstalled):
		missing = err
		return m.Run(), nil
	case err != nil:
		return 1, err
	}
	shared = srv
	defer func() { err = errors.Join(err, srv.Stop()) }()
	return m.Run(), nil
}

// running returns the server of this process. A machine without PostgreSQL skips the
// test, or fails it where PostgreSQL is required.
func running(tb testing.TB) *server.Server {
	tb.Helper()
	required := strings.Contains(os.Getenv("QUINTET_REQUIRE"), "postgres")
	switch {
	case missing != nil && required:
		tb.Fatal(missing)
	case missing != nil:
		tb.Skip(missing)
	}
	return shared
}

// settings are those of an alias on srv. The application_name is the test's own, so
// that it can count its sessions.
func settings(tb testing.TB, srv *server.Server) db.Settings {
	return db.Settings{
		Engine: "postgres", Name: "postgres", Host: srv.Host, Port: srv.Port, User: srv.User,
		Options: map[string]string{"application_name": application(tb)},
	}
}

// dbSettings are for what needs no server.
func dbSettings() db.Settings { return db.Settings{Name: "postgres"} }

// database makes a database for one test.
func database(tb testing.TB, srv *server.Server) string {
	tb.Helper()
	name := strings.ToLower(application(tb))
	if err := srv.CreateDatabase(tb.Context(), name, ""); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := srv.DropDatabase(context.Background(), name); err != nil {
			tb.Error(err)
		}
	})
	return name
}

// application is a name for the sessions of one test; PostgreSQL cuts it at 63 bytes.
func application(tb testing.TB) string {
	name := tb.Name()
	return name[max(0, len(name)-60):]
}

func open(tb testing.TB, s db.Settings) pool.Driver {
	tb.Helper()
	d, err := postgres.Engine{}.Open("default", s)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// connect opens a connection that ends with the test.
func connect(tb testing.TB, d pool.Driver) driver.Conn {
	tb.Helper()
	c, err := d.Connect(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closed(tb, d, c) })
	return c
}

// closed closes a connection and reports whether the server was as quick as Close
// expects it to be; on a busy machine it may not be.
func closed(tb testing.TB, d pool.Driver, c driver.Conn) (gone bool) {
	tb.Helper()
	err := d.Close(c)
	if err != nil && !strings.Contains(err.Error(), "250ms") {
		tb.Error(err)
	}
	return err == nil
}

// exec runs a statement as the pool does: with a context that has no Done channel.
func exec(tb testing.TB, c driver.Conn, query string) {
	tb.Helper()
	if err := tryExec(c, query); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
}

func tryExec(c driver.Conn, query string) error {
	_, err := c.(driver.ExecerContext).ExecContext(context.Background(), query, nil)
	return err
}

// text is the first column of the first row.
func text(tb testing.TB, c driver.Conn, query string) string {
	tb.Helper()
	value, err := first(c, query)
	if err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	return value
}

// first is the first value of the first row.
func first(c driver.Conn, query string) (value string, err error) {
	rows, err := c.(driver.QueryerContext).QueryContext(context.Background(), query, nil)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(values); err != nil {
		return "", err
	}
	return fmt.Sprint(values[0]), nil
}

func backend(tb testing.TB, c driver.Conn) string {
	tb.Helper()
	return text(tb, c, "SELECT pg_backend_pid()")
}

// sqlDB is what stands on the engine's connections.
func sqlDB(tb testing.TB, d pool.Driver) *sql.DB {
	db := sql.OpenDB(connector{d})
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

type connector struct{ d pool.Driver }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) { return c.d.Connect(ctx) }

func (connector) Driver() driver.Driver { return nil }

// terminate ends the sessions of this test on the server.
func terminate(t *testing.T, srv *server.Server) {
	t.Helper()
	pids, err := srv.Backends(t.Context(), application(t))
	if err != nil || len(pids) == 0 {
		t.Fatalf("%v, %v", pids, err)
	}
	if err := srv.Terminate(t.Context(), pids...); err != nil {
		t.Fatal(err)
	}
}
