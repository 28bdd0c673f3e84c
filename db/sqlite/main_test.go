package sqlite_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/db/sqlite"
)

// file are the settings of a database file of this test.
func file(tb testing.TB) db.Settings {
	return db.Settings{Engine: "sqlite", Name: filepath.Join(tb.TempDir(), "app.db"), Options: map[string]string{}}
}

func inMemory() db.Settings {
	return db.Settings{Engine: "sqlite", Name: ":memory:", Options: map[string]string{}}
}

func open(tb testing.TB, s db.Settings) pool.Driver {
	tb.Helper()
	d, err := sqlite.Engine{}.Open("default", s)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// connect opens a connection that ends with the test.
func connect(tb testing.TB, d pool.Driver) driver.Conn {
	tb.Helper()
	c, err := d.Connect(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := d.Close(c); err != nil {
			tb.Error(err)
		}
	})
	return c
}

func exec(tb testing.TB, c driver.Conn, query string) {
	tb.Helper()
	if err := tryExec(tb.Context(), c, query); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
}

func tryExec(ctx context.Context, c driver.Conn, query string) error {
	_, err := c.(driver.ExecerContext).ExecContext(ctx, query, nil)
	return err
}

// text is every first column, with commas.
func text(tb testing.TB, c driver.Conn, query string) string {
	tb.Helper()
	rows, err := c.(driver.QueryerContext).QueryContext(tb.Context(), query, nil)
	if err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	values := make([]driver.Value, len(rows.Columns()))
	var all string
	for {
		err := rows.Next(values)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			tb.Fatalf("%s: %v", query, err)
		}
		if all != "" {
			all += ","
		}
		all += fmt.Sprint(values[0])
	}
	if err := rows.Close(); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	return all
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
func (connector) Driver() driver.Driver                              { return nil }
