package db_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// running is how many statements the server runs in the database of the settings.
func running(t *testing.T, settings db.Settings) int {
	t.Helper()
	rows, err := dbtest.Server(t).Query(t.Context(), "postgres",
		"SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND state = 'active'", settings.Name)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(rows[0][0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRule12Cancel_CostsNoConnectionAndLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		conns := dbtest.Open(t, onlyOne(settings))
		for range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- try(ctx, conns, func(ctx context.Context, conn *db.Conn) error {
					_, err := one[int](ctx, conn, endless)
					return err
				})
			}()
			awaitStatement(t, conns, "WITH RECURSIVE endless")
			cancel()
			within(t, time.Second, "the cancelled scope", func() { expectError(t, "its error", <-ended, context.Canceled) })
			if settings.Engine == dbtest.Postgres {
				expect(t, "statements running on the server", running(t, settings), 0)
			}
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
		}
		expect(t, "connections opened", stats(conns).Opened, 1)
		expect(t, "statements cancelled", stats(conns).Canceled, 5)
	})
}

func TestRule12Cancel_ADeadlineAndACauseAreTheError(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, onlyOne(settings))
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			soon, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			_, err := one[int](soon, conn, endless)
			expectError(t, "after a deadline", err, context.DeadlineExceeded)

			why := errors.New("the client has left")
			caused, stop := context.WithCancelCause(ctx)
			go func() {
				awaitStatement(t, conns, "WITH RECURSIVE endless")
				stop(why)
			}()
			_, err = one[int](caused, conn, endless)
			expectError(t, "after a cancel with a cause", err, why)
			expectError(t, "after a cancel with a cause", err, context.Canceled)

			// The scope itself goes on.
			return exec(ctx, conn, "SELECT 1")
		})
		expect(t, "connections opened", stats(conns).Opened, 1)
	})
}

func TestRule12Cancel_AnEndedContextSendsNothing(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, onlyOne(settings), db.Options{Debug: true})
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		err := try(gone, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
		expectError(t, "a scope whose client has left", err, context.Canceled)
		expect(t, "connections opened for it", stats(conns).Opened, 0)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			if err := exec(ctx, conn, "SELECT 1"); err != nil {
				return err
			}
			expectError(t, "a statement", exec(gone, conn, "SELECT 2"), context.Canceled)
			expect(t, "statements sent", len(conn.Queries()), 1)
			return nil
		})
	})
}

func TestRule12Cancel_RowsStopAndTheConnectionStays(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		conns := dbtest.Open(t, onlyOne(settings))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := try(ctx, conns, func(ctx context.Context, conn *db.Conn) error {
			rows, err := conn.QueryContext(ctx, manyRows)
			if err != nil {
				return err
			}
			defer rows.Close()
			n := 0
			for ; rows.Next(); n++ {
				if n == 10 {
					cancel()
				}
			}
			if n > 4_000_000 {
				t.Errorf("%d rows were read after the cancel", n)
			}
			return rows.Err()
		})
		expectError(t, "the rows", err, context.Canceled)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
		expect(t, "connections opened", stats(conns).Opened, 1)
	})
}

func TestRule12Cancel_ATransactionIsRolledBackAndTheConnectionStays(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		conns := dbtest.Open(t, onlyOne(settings))
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return exec(ctx, conn, "CREATE TABLE half (id integer)")
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := try(ctx, conns, func(ctx context.Context, conn *db.Conn) error {
			return conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				if err := exec(ctx, tx, "INSERT INTO half VALUES (1)"); err != nil {
					return err
				}
				cancel()
				return nil
			})
		})
		expectError(t, "the transaction", err, context.Canceled)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			n, err := one[int](ctx, conn, "SELECT count(*) FROM half")
			expect(t, "rows", n, 0)
			return err
		})
		expect(t, "connections opened", stats(conns).Opened, 1)
	})
}

func TestRule12Cancel_ATransactionOfAnEndedContextNeverBegins(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, onlyOne(settings), db.Options{Debug: true})
		ctx, cancel := context.WithCancel(t.Context())
		scope := func(ctx context.Context, conn *db.Conn) error {
			if err := conn.EnsureConnection(ctx); err != nil {
				return err
			}
			cancel()
			err := conn.RunInTx(ctx, nil, func(context.Context, bun.Tx) error {
				t.Error("it began")
				return nil
			})
			expectError(t, "RunInTx", err, context.Canceled)
			_, err = conn.BeginTx(ctx, nil)
			expectError(t, "BeginTx", err, context.Canceled)
			expect(t, "statements sent", len(conn.Queries()), 0)
			return nil
		}
		if err := try(ctx, conns, scope); err != nil {
			t.Error(err)
		}
	})
}

// SQLite begins with taking the lock for writing, and waits for it up to five
// seconds.
func TestRule12Cancel_AWaitForTheLockOfATransactionEndsWithItsContext(t *testing.T) {
	t.Parallel()
	dbtest.Goroutines(t)
	conns := dbtest.Open(t, kept(dbtest.Database(t, dbtest.SQLite)))
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			if err := exec(ctx, tx, "CREATE TABLE locked (id integer)"); err != nil {
				return err
			}
			soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			within(t, time.Second, "the other transaction", func() {
				err := try(soon, conns, func(ctx context.Context, conn *db.Conn) error {
					return conn.RunInTx(ctx, nil, func(context.Context, bun.Tx) error {
						t.Error("it began in spite of the lock")
						return nil
					})
				})
				expectError(t, "the other transaction", err, context.DeadlineExceeded)
			})
			return nil
		})
	})
}

func TestRule12Cancel_AStatementThatOutlivesTheClientRuns(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, onlyOne(settings))
		ctx, cancel := context.WithCancel(t.Context())
		scope := func(ctx context.Context, conn *db.Conn) error {
			if err := exec(ctx, conn, "SELECT 1"); err != nil {
				return err
			}
			cancel()
			expectError(t, "with the client's context", exec(ctx, conn, "SELECT 2"), context.Canceled)
			return exec(context.WithoutCancel(ctx), conn, "SELECT 3")
		}
		if err := try(ctx, conns, scope); err != nil {
			t.Error(err)
		}
	})
}

// PgBouncer's test (#717): however many cancel, no statement but the cancelled ones
// is hit.
func TestRule12Cancel_NeverHitsTheNextStatement(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		settings.MaxConnections = 4
		conns := dbtest.Open(t, kept(settings))
		var all sync.WaitGroup
		for n := range 100 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n%20)*500*time.Microsecond)
				defer cancel()
				_ = try(ctx, conns, func(ctx context.Context, conn *db.Conn) error { // ends or is cancelled
					_, err := one[int](ctx, conn, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT count(*) FROM n")
					return err
				})
			})
			all.Go(func() {
				err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
					got, err := one[int](ctx, conn, "SELECT "+strconv.Itoa(n))
					if err == nil && got != n {
						t.Errorf("the answer to another statement: %d, want %d", got, n)
					}
					return err
				})
				if err != nil {
					t.Errorf("somebody else's statement: %v", err)
				}
			})
		}
		all.Wait()
		s := stats(conns)
		if s.Opened > 4 || s.Closed > 0 {
			t.Errorf("cancelling cost connections: %d opened, %d closed", s.Opened, s.Closed)
		}
	})
}

func TestRule12Cancel_AServerThatDoesNotAnswerIsGivenUp(t *testing.T) {
	t.Parallel()
	dbtest.Goroutines(t)
	proxy, settings := dbtest.NewProxy(t, dbtest.Database(t, dbtest.Postgres))
	conns := dbtest.Open(t, onlyOne(settings))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- try(ctx, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT pg_sleep(0.1)") })
	}()
	awaitStatement(t, conns, "SELECT pg_sleep")
	proxy.Freeze()
	cancel()
	within(t, 3*time.Second, "the cancelled scope", func() { expectError(t, "its error", <-ended, context.Canceled) })
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
	expect(t, "connections opened", stats(conns).Opened, 2)
}
