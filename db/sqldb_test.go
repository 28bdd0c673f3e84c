package db_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// sqlDB is a *sql.DB over the default alias that is closed with the test.
func sqlDB(t *testing.T, conns *db.Connections) *sql.DB {
	t.Helper()
	sqldb := conns.SQLDB(db.DefaultAlias)
	t.Cleanup(func() {
		if err := sqldb.Close(); err != nil {
			t.Error(err)
		}
	})
	return sqldb
}

func TestSQLDB_PreparesStatements(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		conns := dbtest.Open(t, onlyOne(settings))
		sqldb, ctx := sqlDB(t, conns), t.Context()
		stmt, err := sqldb.PrepareContext(ctx, "SELECT 42")
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "in use between its uses", stats(conns).InUse, 0)
		for range 3 {
			var n int
			if err := stmt.QueryRowContext(ctx).Scan(&n); err != nil {
				t.Fatal(err)
			}
			expect(t, "the answer", n, 42)
		}
		if err := stmt.Close(); err != nil {
			t.Error(err)
		}
		expect(t, "leaked", stats(conns).Leaked, 0)
	})
}

func TestSQLDB_StandsInTheSameQueue(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings = onlyOne(settings)
		settings.AcquireTimeout = time.Second
		conns := dbtest.Open(t, settings)
		sqldb := sqlDB(t, conns)
		giveBack := hold(t, conns, 1)
		expectError(t, "with everything in use", sqldb.PingContext(t.Context()), db.ErrUnavailable)
		giveBack()
		if err := sqldb.PingContext(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestSQLDB_IsCancelledAndCutOffLikeAScope(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		conns := dbtest.Open(t, onlyOne(settings), db.Options{Logger: new(logs).logger()})
		sqldb := sqlDB(t, conns)
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() { failed <- sqldb.QueryRowContext(ctx, endless).Scan(new(int)) }()
		awaitStatement(t, conns, endless[:20])
		cancel()
		expectError(t, "a cancelled statement", <-failed, context.Canceled)
		expect(t, "connections opened", stats(conns).Opened, 1)

		rows, err := sqldb.QueryContext(t.Context(), "SELECT 1 UNION ALL SELECT 2")
		if err != nil {
			t.Fatal(err)
		}
		gone, stop := context.WithCancel(t.Context())
		stop()
		if err := conns.Close(gone); err == nil {
			t.Error("Close says nothing about the rows that it cut off")
		} else {
			expectText(t, "Close", err.Error(), "sql.DB")
		}
		if rows.Next() {
			t.Error("rows go on after Close")
		}
		expectError(t, "the rows", rows.Err(), db.ErrReleased)
		expectError(t, "a statement after Close", sqldb.PingContext(t.Context()), db.ErrClosed)
	})
}
