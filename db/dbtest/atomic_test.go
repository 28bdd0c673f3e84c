package dbtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres"
)

// fruits is a database with one table and one row.
func fruits() *dbtest.Template {
	return dbtest.NewTemplate(func(ctx context.Context, _ *db.Connections) error {
		for _, query := range []string{"CREATE TABLE fruit (name text PRIMARY KEY)", "INSERT INTO fruit VALUES ('apple')"} {
			if _, err := db.From(ctx).ExecContext(ctx, query); err != nil {
				return err
			}
		}
		return nil
	})
}

// wrapped runs a test in one transaction, on each engine.
func wrapped(t *testing.T, test func(t *testing.T, ctx context.Context, conns *db.Connections), change ...func(*db.Settings)) {
	t.Parallel()
	template := fruits()
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			settings := template.Database(t, engine)
			for _, c := range change {
				c(&settings)
			}
			dbtest.Goroutines(t)
			conns := dbtest.Open(t, settings)
			test(t, dbtest.Atomic(t, conns), conns)
		})
	}
}

func add(ctx context.Context, name string) error {
	_, err := db.From(ctx).ExecContext(ctx, "INSERT INTO fruit VALUES (?)", name)
	return err
}

func names(ctx context.Context, t *testing.T) string {
	t.Helper()
	var all []string
	if err := db.From(ctx).NewRaw("SELECT name FROM fruit ORDER BY name").Scan(ctx, &all); err != nil {
		t.Error(err)
	}
	return strings.Join(all, " ")
}

func TestAtomic_WhatEveryScopeDoesIsSeenAndGoneAfterwards(t *testing.T) {
	t.Parallel()
	template := fruits()
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			settings := template.Database(t, engine)
			conns := dbtest.Open(t, settings)
			t.Run("a test", func(t *testing.T) {
				ctx := dbtest.Atomic(t, conns)
				if err := add(ctx, "pear"); err != nil {
					t.Fatal(err)
				}
				for i, run := range []func() error{
					func() error {
						return conns.Run(t.Context(), "task", func(ctx context.Context) error { return add(ctx, "plum") })
					},
					func() error {
						return db.Run(ctx, "task", func(ctx context.Context) error {
							return db.Atomic(ctx, func(ctx context.Context) error { return add(ctx, "quince") })
						})
					},
				} {
					if err := run(); err != nil {
						t.Errorf("%d: %v", i, err)
					}
				}
				if got := names(ctx, t); got != "apple pear plum quince" {
					t.Errorf("%q", got)
				}
			})
			t.Run("the next test", func(t *testing.T) {
				if got := names(dbtest.Atomic(t, conns), t); got != "apple" {
					t.Errorf("%q", got)
				}
			})
			if err := conns.Run(t.Context(), "look", func(ctx context.Context) error {
				if got := names(ctx, t); got != "apple" {
					t.Errorf("in the database is %q", got)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
}

// The seed question: closing inside of a wrapped test is what it is in production.
func TestAtomic_GiveBackIsWhatItIsInProductionAndTheTransactionStays(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		closes := map[string]func() error{
			"CloseOldConnections": func() error { return db.CloseOldConnections(ctx) },
			"Release":             func() error { return db.Release(ctx) },
			"Close":               func() error { return db.From(ctx).Close() },
		}
		opened := int64(0)
		for name, c := range closes {
			if err := add(ctx, name); err != nil {
				t.Fatal(err)
			}
			if n := conns.Stats("default").InUse; n != 1 {
				t.Errorf("%d in use", n)
			}
			if err := c(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			opened++
			if s := conns.Stats("default"); s.InUse != 0 || s.Open != 0 || s.Opened != opened || s.Closed != opened {
				t.Errorf("%s: %+v", name, s)
			}
		}
		if got := names(ctx, t); got != "Close CloseOldConnections Release apple" {
			t.Errorf("%q", got)
		}
	})
}

func TestAtomic_KeptConnectionsAreKeptAndHealthIsChecked(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		for range 3 {
			if err := conns.Run(ctx, "task", func(ctx context.Context) error { return add(ctx, fmt.Sprint(time.Now().UnixNano())) }); err != nil {
				t.Fatal(err)
			}
		}
		if s := conns.Stats("default"); s.Opened != 1 || s.Leases != 3 || s.Idle != 1 || s.Pings == 0 {
			t.Errorf("%+v", s)
		}
	}, func(s *db.Settings) { s.ConnMaxAge, s.ConnHealthChecks = db.Forever, true })
}

func TestAtomic_AFailedStatementDoesNotCostTheTest(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		if err := add(ctx, "apple"); !errors.Is(err, db.ErrUnique) {
			t.Errorf("%v, want ErrUnique", err)
		}
		var name string
		if err := db.From(ctx).QueryRowContext(ctx, "SELECT nonsense FROM fruit").Scan(&name); !errors.Is(err, db.ErrProgramming) {
			t.Errorf("%v, want ErrProgramming", err)
		}
		err := db.Atomic(ctx, func(ctx context.Context) error {
			if err := add(ctx, "pear"); err != nil {
				return err
			}
			return add(ctx, "apple")
		})
		if !errors.Is(err, db.ErrUnique) {
			t.Errorf("%v, want ErrUnique", err)
		}
		err = db.Atomic(ctx, func(ctx context.Context) error {
			_ = add(ctx, "apple") // swallowed
			return nil
		})
		if !errors.Is(err, db.ErrTransactionAborted) {
			t.Errorf("%v, want ErrTransactionAborted", err)
		}
		if got := names(ctx, t); got != "apple" {
			t.Errorf("%q", got)
		}
	})
}

func TestAtomic_BlocksAndTheirCallbacksAreWhatTheyAreInProduction(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		var ran []string
		note := func(what string) func(context.Context) error {
			return func(context.Context) error { ran = append(ran, what); return nil }
		}
		err := db.AtomicWith(ctx, db.AtomicOptions{Durable: true}, func(ctx context.Context) error {
			if err := db.Atomic(ctx, func(ctx context.Context) error {
				return errors.Join(add(ctx, "pear"), db.OnCommit(ctx, note("lost")), db.ErrRollback)
			}); err == nil {
				t.Error("ErrRollback joined to others is no error")
			}
			if err := db.Atomic(ctx, func(ctx context.Context) error {
				if err := add(ctx, "quince"); err != nil {
					return err
				}
				return db.OnCommit(ctx, note("kept"))
			}); err != nil {
				t.Error(err)
			}
			if len(ran) > 0 {
				t.Error("a callback ran before the commit")
			}
			return nil
		})
		if err != nil || strings.Join(ran, " ") != "kept" {
			t.Errorf("%v, callbacks %v", err, ran)
		}
		if got := names(ctx, t); got != "apple quince" {
			t.Errorf("%q", got)
		}
		tx, err := db.From(ctx).BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM fruit"); err != nil {
			t.Error(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
		if got := names(ctx, t); got != "apple quince" {
			t.Errorf("%q", got)
		}
	})
}

// Only PostgreSQL computes a row when it is read.
func TestAtomic_AnErrorBehindSomeRowsComesBehindThem(t *testing.T) {
	t.Parallel()
	ctx := dbtest.Atomic(t, dbtest.Open(t, fruits().Database(t, dbtest.Postgres)))
	rows, err := db.From(ctx).QueryContext(ctx, "SELECT 6 / (3 - n) FROM generate_series(1, 9) AS n")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rows.Next() {
		n++
	}
	if n != 2 || !errors.Is(rows.Err(), db.ErrData) {
		t.Errorf("%d rows, %v, want 2 and ErrData", n, rows.Err())
	}
	if got := names(ctx, t); got != "apple" {
		t.Errorf("%q", got)
	}
}

func TestAtomic_PreparedStatementsAndReadOnlyBlocks(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		stmt, err := db.From(ctx).PrepareContext(ctx, "SELECT count(*) FROM fruit")
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := stmt.QueryRowContext(ctx).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d, %v", n, err)
		}
		if err := stmt.Close(); err != nil {
			t.Error(err)
		}
		if err := add(ctx, "pear"); err != nil {
			t.Error(err)
		}
		readOnly := db.AtomicOptions{ReadOnly: true}
		if err := db.AtomicWith(ctx, readOnly, func(ctx context.Context) error { names(ctx, t); return nil }); err != nil {
			t.Error(err)
		}
		if err := db.AtomicWith(ctx, readOnly, func(ctx context.Context) error { return add(ctx, "plum") }); err == nil {
			t.Error("a block that was to read only has written")
		}
		if err := add(ctx, "quince"); err != nil {
			t.Error(err)
		}
		if got := names(ctx, t); got != "apple pear quince" {
			t.Errorf("%q", got)
		}
	})
}

// A session that one scope has left in disorder is in order for the next, as it is
// in production.
func TestAtomic_ASessionIsResetBetweenScopes(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, fruits().Database(t, dbtest.Postgres))
	ctx := dbtest.Atomic(t, conns)
	err := db.Run(ctx, "untidy", func(ctx context.Context) error {
		_, err := db.From(ctx).ExecContext(ctx, "SET statement_timeout = '7s'")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var timeout, name string
	if err := db.From(ctx).QueryRowContext(ctx, "SELECT current_setting('statement_timeout'), current_setting('application_name')").Scan(&timeout, &name); err != nil {
		t.Fatal(err)
	}
	if timeout != "0" || name != t.Name()[:min(63, len(t.Name()))] {
		t.Errorf("the timeout is %s, and the session is called %s", timeout, name)
	}
}

// The driver's own connection is that of the test.
func TestAtomic_RawIsInTheTransaction(t *testing.T) {
	t.Parallel()
	ctx := dbtest.Atomic(t, dbtest.Open(t, fruits().Database(t, dbtest.Postgres)))
	copied := func(ctx context.Context) error {
		return postgres.Raw(ctx, db.DefaultAlias, func(c *pgx.Conn) error {
			_, err := c.CopyFrom(ctx, pgx.Identifier{"fruit"}, []string{"name"}, pgx.CopyFromRows([][]any{{"pear"}, {"plum"}}))
			return err
		})
	}
	if err := copied(ctx); err != nil {
		t.Fatal(err)
	}
	if err := copied(ctx); !errors.Is(err, db.ErrUnique) { // and costs nothing but itself
		t.Errorf("%v, want ErrUnique", err)
	}
	err := db.Atomic(ctx, func(ctx context.Context) error {
		if _, err := db.From(ctx).ExecContext(ctx, "DELETE FROM fruit"); err != nil {
			return err
		}
		if err := copied(ctx); err != nil {
			return err
		}
		return db.ErrRollback
	})
	if err != nil {
		t.Error(err)
	}
	if got := names(ctx, t); got != "apple pear plum" {
		t.Errorf("%q", got)
	}
}
