package db_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// releaseLimit is how long the end of a scope may take whatever it has left open.
const releaseLimit = 250 * time.Millisecond

// leaks are what scopes forget, and what Leaked counts for each.
var leaks = map[string]func(ctx context.Context, conn *db.Conn) error{
	"rows": func(ctx context.Context, conn *db.Conn) error {
		rows, err := conn.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
		if err == nil && !rows.Next() {
			err = rows.Err()
		}
		return err
	},
	"rows of a big result": func(ctx context.Context, conn *db.Conn) error {
		rows, err := conn.QueryContext(ctx, manyRows)
		if err == nil && !rows.Next() {
			err = rows.Err()
		}
		return err
	},
	"a row that is never scanned": func(ctx context.Context, conn *db.Conn) error {
		conn.QueryRowContext(ctx, "SELECT 1")
		return nil
	},
	"a transaction": func(ctx context.Context, conn *db.Conn) error {
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		return exec(ctx, tx, "INSERT INTO leak VALUES (1)")
	},
	"a transaction with rows": func(ctx context.Context, conn *db.Conn) error {
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if err := exec(ctx, tx, "INSERT INTO leak VALUES (1)"); err != nil {
			return err
		}
		_, err = tx.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
		return err
	},
	"a prepared statement": func(ctx context.Context, conn *db.Conn) error {
		_, err := conn.PrepareContext(ctx, "SELECT 1")
		return err
	},
	"a prepared statement with rows": func(ctx context.Context, conn *db.Conn) error {
		stmt, err := conn.PrepareContext(ctx, "SELECT 1 UNION ALL SELECT 2")
		if err != nil {
			return err
		}
		_, err = stmt.QueryContext(ctx)
		return err
	},
}

func TestRule6Release_ALeakEndsInTimeAndTheConnectionServesTheNext(t *testing.T) {
	t.Parallel()
	for name, leak := range leaks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
				dbtest.Goroutines(t)
				var log logs
				conns := dbtest.Open(t, onlyOne(settings), db.Options{Logger: log.logger()})
				scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
					return exec(ctx, conn, "CREATE TABLE leak (id integer)")
				})
				ctx, sc := conns.NewScope(t.Context(), "/leaky")
				if err := leak(ctx, db.From(ctx)); err != nil {
					t.Fatal(err)
				}
				var err error
				within(t, releaseLimit, "End", func() { err = sc.End() })
				if err != nil && !errors.Is(err, db.ErrInAtomicBlock) {
					t.Errorf("End: %v", err)
				}
				scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
					n, err := one[int](ctx, conn, "SELECT count(*) FROM leak")
					expect(t, "rows left behind", n, 0)
					return err
				})
				s := stats(conns)
				expect(t, "connections opened", s.Opened, 1+s.Quarantined)
				if name != "rows of a big result" { // which a busy machine may not read to its end in time
					expect(t, "quarantined", s.Quarantined, 0)
				}
				if s.Leaked == 0 {
					t.Error("the leak is not counted")
				}
				if log.find("released with something open", "/leaky", "rule6_release_test.go:") == "" {
					t.Errorf("the place is not logged:\n%s", &log)
				}
			})
		})
	}
}

func TestF20_AGoroutineThatGoesOnReadingGetsErrReleased(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		conns := dbtest.Open(t, onlyOne(settings), db.Options{Logger: new(logs).logger()})
		ctx, sc := conns.NewScope(t.Context(), "/leaky")
		rows, err := db.From(ctx).QueryContext(ctx, manyRows)
		if err != nil {
			t.Fatal(err)
		}
		reading, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			for n := 0; rows.Next(); n++ {
				if n == 100 {
					close(reading)
				}
				if _, err := rows.Columns(); err != nil {
					break
				}
			}
			ended <- rows.Err()
		}()
		<-reading
		within(t, releaseLimit, "End", func() { err = sc.End() })
		if err != nil {
			t.Error(err)
		}
		expectError(t, "the rows", <-ended, db.ErrReleased)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
		expect(t, "quarantined", stats(conns).Quarantined, 0)
		expect(t, "connections opened", stats(conns).Opened, 1)
	})
}

func TestRule6Release_WhatIsKeptBeyondItNamesBothPlaces(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, onlyOne(settings), db.Options{Logger: new(logs).logger()})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			rows, err := conn.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
			if err != nil {
				return err
			}
			if err := db.Release(ctx); err != nil {
				return err
			}
			if rows.Next() {
				t.Error("released rows have a row")
			}
			err = rows.Err()
			expectError(t, "the rows", err, db.ErrReleased)
			expectError(t, "the rows", err, sql.ErrConnDone)
			released, ok := errors.AsType[*db.ReleasedError](err)
			if !ok {
				t.Fatalf("%T, want a ReleasedError", err)
			}
			expectText(t, "the place it was taken", released.Opened, "rule6_release_test.go:")
			expectText(t, "the place it was released", released.Released, "rule6_release_test.go:")
			expectText(t, "the error", err.Error(), released.Opened, released.Released)

			// The connection of the scope is as good as new.
			return exec(ctx, conn, "SELECT 1")
		})
	})
}

func TestRule6Release_APreparedStatementDoesNotRunOnTheNextLease(t *testing.T) {
	t.Parallel()
	for name, age := range map[string]time.Duration{"of a kept connection": db.Forever, "of a closed connection": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
				settings.ConnMaxAge, settings.MaxConnections = age, 1
				conns := dbtest.Open(t, settings, db.Options{Logger: new(logs).logger()})
				var stmt *sql.Stmt
				scope(t, conns, func(ctx context.Context, conn *db.Conn) (err error) {
					stmt, err = conn.PrepareContext(ctx, "SELECT 1")
					return err
				})
				scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
					if err := exec(ctx, conn, "SELECT 2"); err != nil {
						return err
					}
					err := stmt.QueryRowContext(ctx).Scan(new(int))
					expectError(t, "the statement of the scope before", err, db.ErrReleased)
					expectText(t, "the error", err.Error(), "rule6_release_test.go:")
					return nil
				})
				if err := stmt.Close(); err != nil {
					t.Errorf("closing it: %v", err)
				}
			})
		})
	}
}

// A release that comes while the answer is under way must find the rows that it
// brings.
func TestRule6Release_RowsThatArriveDuringItAreClosedToo(t *testing.T) {
	t.Parallel()
	settings := onlyOne(dbtest.Database(t, dbtest.Postgres))
	conns := dbtest.Open(t, settings, db.Options{Logger: new(logs).logger()})
	// On a busy machine a server may need longer than a release waits to take note of a
	// cancel. Rows that nobody closes would be found each time.
	for range 5 {
		before := stats(conns).Quarantined
		releaseWhileRowsArrive(t, conns)
		if stats(conns).Quarantined == before {
			return
		}
	}
	t.Errorf("connections were quarantined each time: %d", stats(conns).Quarantined)
}

func releaseWhileRowsArrive(t *testing.T, conns *db.Connections) {
	t.Helper()
	for delay := range 40 {
		ctx, sc := conns.NewScope(t.Context(), "/late")
		if err := exec(ctx, db.From(ctx), "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		var late sync.WaitGroup
		late.Go(func() {
			rows, err := db.From(ctx).QueryContext(ctx, "SELECT pg_sleep(0.0005) UNION ALL SELECT NULL")
			if err == nil { // and it never reads nor closes them
				_ = rows
			}
		})
		<-time.After(time.Duration(delay) * 50 * time.Microsecond)
		within(t, releaseLimit, "End", func() {
			if err := sc.End(); err != nil {
				t.Error(err)
			}
		})
		late.Wait()
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			n, err := one[int](ctx, conn, "SELECT 3")
			expect(t, "the next scope", n, 3)
			return err
		})
	}
}

func TestRule6Release_AFrozenSocketIsQuarantined(t *testing.T) {
	t.Parallel()
	for name, leak := range map[string]func(ctx context.Context, conn *db.Conn) error{
		"with rows open":            leaks["rows of a big result"],
		"with a transaction":        leaks["a transaction"],
		"with a prepared statement": leaks["a prepared statement"],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Goroutines(t)
			proxy, settings := dbtest.NewProxy(t, dbtest.Database(t, dbtest.Postgres))
			var log logs
			conns := dbtest.Open(t, onlyOne(settings), db.Options{Logger: log.logger()})
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
				return exec(ctx, conn, "CREATE TABLE leak (id integer)")
			})
			ctx, sc := conns.NewScope(t.Context(), "/frozen")
			if err := leak(ctx, db.From(ctx)); err != nil {
				t.Fatal(err)
			}
			proxy.Freeze()
			within(t, releaseLimit, "End", func() {
				if err := sc.End(); err != nil && !errors.Is(err, db.ErrInAtomicBlock) {
					t.Error(err)
				}
			})
			expect(t, "quarantined", stats(conns).Quarantined, 1)
			expect(t, "open: the permit is free", stats(conns).Open, 0)
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
			if log.find("quarantined", "/frozen") == "" {
				t.Errorf("it is not logged:\n%s", &log)
			}
		})
	}
}

func TestRule6Release_AStatementThatAnotherGoroutineRunsIsCancelled(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		conns := dbtest.Open(t, onlyOne(settings), db.Options{Logger: new(logs).logger()})
		ctx, sc := conns.NewScope(t.Context(), "/busy")
		ended := make(chan error, 1)
		go func() {
			_, err := one[int](ctx, db.From(ctx), endless)
			ended <- err
		}()
		awaitStatement(t, conns, "WITH RECURSIVE endless")
		within(t, releaseLimit, "End", func() {
			if err := sc.End(); err != nil {
				t.Error(err)
			}
		})
		expectError(t, "the statement", <-ended, db.ErrReleased)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
		expect(t, "connections opened", stats(conns).Opened, 1)
	})
}

func TestRule6Release_FromManyGoroutinesAtOnce(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		settings.MaxConnections = 2
		conns := dbtest.Open(t, kept(settings), db.Options{Logger: new(logs).logger()})
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 10 {
					ctx, sc := conns.NewScope(t.Context(), "/many")
					var inner sync.WaitGroup
					for n := range 4 {
						inner.Go(func() { meddle(ctx, n) })
					}
					inner.Wait()
					_ = sc.End() // a transaction may be open
				}
			})
		}
		all.Wait()
		expect(t, "in use", stats(conns).InUse, 0)
		expect(t, "quarantined", stats(conns).Quarantined, 0)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			n, err := one[int](ctx, conn, "SELECT 5")
			expect(t, "the connection afterwards", n, 5)
			return err
		})
	})
}

// meddle is one of the goroutines that share a scope and do not care for each
// other.
func meddle(ctx context.Context, n int) {
	conn := db.From(ctx)
	switch n {
	case 0:
		if rows, err := conn.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2"); err == nil && rows.Next() {
			_ = db.CloseOldConnections(ctx)
			_ = rows.Close()
		}
	case 1:
		_ = conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return exec(ctx, tx, "SELECT 1") })
	case 2:
		if stmt, err := conn.PrepareContext(ctx, "SELECT 1"); err == nil {
			_ = stmt.QueryRowContext(ctx).Scan(new(int))
			_ = stmt.Close()
		}
	case 3:
		_ = db.Release(ctx)
		_ = exec(ctx, conn, "SELECT 1")
	}
}
