package db_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres"
)

func raw(ctx context.Context, fn func(*pgx.Conn) error) error {
	return postgres.Raw(ctx, db.DefaultAlias, fn)
}

// pgxExec is a Raw that runs statements by pgx.
func pgxExec(ctx context.Context, queries ...string) error {
	return raw(ctx, func(c *pgx.Conn) error {
		for _, query := range queries {
			if _, err := c.Exec(ctx, query); err != nil {
				return fmt.Errorf("%s: %w", query, err)
			}
		}
		return nil
	})
}

func numbers(ctx context.Context) error {
	return raw(ctx, func(c *pgx.Conn) error {
		_, err := c.CopyFrom(ctx, pgx.Identifier{"numbers"}, []string{"n"}, pgx.CopyFromSlice(1000, func(i int) ([]any, error) { return []any{i}, nil }))
		return err
	})
}

func TestRaw_CopiesInTheBlockOfItsContext(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, onlyOne(dbtest.Database(t, dbtest.Postgres)))
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		if err := exec(ctx, conn, "CREATE TABLE numbers (n int)"); err != nil {
			return err
		}
		count := func(want int) {
			t.Helper()
			got, err := one[int](ctx, conn, "SELECT count(*) FROM numbers")
			if err != nil {
				t.Fatal(err)
			}
			expect(t, "rows", got, want)
		}
		err := db.Atomic(ctx, func(block context.Context) error {
			if err := numbers(block); err != nil {
				return err
			}
			expectError(t, "a Raw beside the block", numbers(ctx), db.ErrOutsideBlock)
			return db.ErrRollback
		})
		if err != nil {
			return err
		}
		count(0)
		if err := numbers(ctx); err != nil {
			return err
		}
		count(1000)
		err = db.Atomic(ctx, func(ctx context.Context) error {
			err := pgxExec(ctx, "SELECT 1/0")
			expectError(t, "a Raw that fails", err, db.ErrData)
			return nil
		})
		expectError(t, "the block", err, db.ErrTransactionAborted)
		return nil
	})
}

func TestRaw_SendsABatch(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, onlyOne(dbtest.Database(t, dbtest.Postgres)))
	scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
		return raw(ctx, func(c *pgx.Conn) error {
			var batch pgx.Batch
			sum := 0
			for i := range 10 {
				batch.Queue("SELECT $1::int", i).QueryRow(func(row pgx.Row) error {
					var n int
					err := row.Scan(&n)
					sum += n
					return err
				})
			}
			err := c.SendBatch(ctx, &batch).Close()
			expect(t, "the sum", sum, 45)
			return err
		})
	})
}

func TestRaw_ACancelledOneKeepsTheConnectionAndStopsTheServer(t *testing.T) {
	t.Parallel()
	settings := onlyOne(dbtest.Database(t, dbtest.Postgres))
	conns := dbtest.Open(t, settings)
	pid := backend(t, conns)
	for _, how := range []string{"the function's context", "a context that the function does not use"} {
		ctx, cancel := context.WithCancel(t.Context())
		err := try(ctx, conns, func(ctx context.Context, _ *db.Conn) error {
			return raw(ctx, func(c *pgx.Conn) error {
				time.AfterFunc(20*time.Millisecond, cancel)
				if how != "the function's context" {
					ctx = context.WithoutCancel(ctx) //nolint:fatcontext // on purpose
				}
				_, err := c.Exec(ctx, "SELECT pg_sleep(60)")
				return err
			})
		})
		expectError(t, how, err, context.Canceled)
		expect(t, "the backend after "+how, backend(t, conns), pid)
	}
	// A deadline of the function's own is an error like another.
	err := try(t.Context(), conns, func(ctx context.Context, _ *db.Conn) error {
		return raw(ctx, func(c *pgx.Conn) error {
			ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			_, err := c.Exec(ctx, "SELECT pg_sleep(60)")
			return err
		})
	})
	if err == nil {
		t.Error("a deadline in Raw is no error")
	}
	expect(t, "the backend", backend(t, conns), pid)
}

func TestRaw_AStatementInsideOfItIsBusyAndSaysWhere(t *testing.T) {
	t.Parallel()
	for _, debug := range []bool{false, true} {
		conns := dbtest.Open(t, onlyOne(dbtest.Database(t, dbtest.Postgres)), db.Options{Debug: debug})
		scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
			return raw(ctx, func(*pgx.Conn) error {
				began := time.Now()
				err := query(ctx)
				expectError(t, "a statement", err, db.ErrBusy)
				expectText(t, "the error", err.Error(), "the driver's own connection", "raw_test.go:")
				if took := time.Since(began); debug && took > time.Second/2 {
					t.Errorf("with Debug it took %s", took)
				}
				return nil
			})
		})
	}
}

func TestRaw_APanicGoesOnAndCostsTheConnectionOnly(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, onlyOne(dbtest.Database(t, dbtest.Postgres)))
	pid := backend(t, conns)
	func() {
		defer func() { expect(t, "what was recovered", recover(), any("ouch")) }()
		_ = try(t.Context(), conns, func(ctx context.Context, _ *db.Conn) error {
			return raw(ctx, func(*pgx.Conn) error { panic("ouch") })
		})
	}()
	if backend(t, conns) == pid {
		t.Error("nobody knows what the panic has left on the connection, and it was kept")
	}
}

func TestRaw_AReleaseCutsItOff(t *testing.T) {
	t.Parallel()
	dbtest.Goroutines(t)
	conns := dbtest.Open(t, onlyOne(dbtest.Database(t, dbtest.Postgres)), db.Options{Logger: new(logs).logger()})
	scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
		sleeps, over := make(chan struct{}), make(chan error)
		go func() {
			over <- raw(ctx, func(c *pgx.Conn) error {
				close(sleeps)
				_, err := c.Exec(ctx, "SELECT pg_sleep(60)")
				return err
			})
		}()
		<-sleeps
		within(t, 300*time.Millisecond, "the release", func() {
			if err := db.Release(ctx); err != nil {
				t.Error(err)
			}
		})
		expectError(t, "the Raw", <-over, db.ErrReleased)
		return query(ctx)
	})
}

func TestRaw_AnotherEngineSaysSo(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, onlyOne(dbtest.Database(t, dbtest.SQLite)))
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		err := raw(ctx, func(*pgx.Conn) error { return errors.New("never") })
		if err == nil {
			t.Fatal("Raw of SQLite by pgx works")
		}
		expectText(t, "the error", err.Error(), `"default"`, "is not PostgreSQL")
		return conn.Raw(ctx, func(driverConn any) error {
			if driverConn == nil {
				t.Error("no connection")
			}
			return nil
		})
	})
	expectError(t, "without a scope", raw(t.Context(), func(*pgx.Conn) error { return nil }), db.ErrNoScope)
}
