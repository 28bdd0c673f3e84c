package db_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/migrate"
	"github.com/goquintet/quintet/db/postgres"
)

// bouncing opens a database through a PgBouncer with so many server connections.
func bouncing(t *testing.T, connections string, change func(*db.Settings), options ...db.Options) *db.Connections {
	t.Helper()
	settings, _ := dbtest.Bouncer(t, kept(dbtest.Database(t, dbtest.Postgres)), connections)
	settings.AcquireTimeout = time.Minute
	if change != nil {
		change(&settings)
	}
	return dbtest.Open(t, settings, options...)
}

func TestPooler_ManyScopesShareFewSessions(t *testing.T) {
	t.Parallel()
	conns := bouncing(t, "2", func(s *db.Settings) { s.MaxConnections = 20 })
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return exec(ctx, conn, "CREATE TABLE accounts (id int PRIMARY KEY, n int NOT NULL)", "INSERT INTO accounts SELECT i, 100 FROM generate_series(1, 10) i")
	})
	var pids sync.Map
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for round := range 10 {
				err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
					return db.AtomicWith(ctx, db.AtomicOptions{Retry: 20}, func(ctx context.Context) error {
						from, to := 1+(i+round)%10, 1+(i*3+round*7)%10
						if err := exec(ctx, conn, fmt.Sprintf("UPDATE accounts SET n = n - 1 WHERE id = %d", from), fmt.Sprintf("UPDATE accounts SET n = n + 1 WHERE id = %d", to)); err != nil {
							return err
						}
						pid, err := one[int](ctx, conn, "SELECT pg_backend_pid()")
						pids.Store(pid, true)
						return err
					})
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	sessions := 0
	for range pids.Range {
		sessions++
	}
	if sessions > 2 {
		t.Errorf("%d sessions of the server, want 2 at most", sessions)
	}
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		sum, err := one[int](ctx, conn, "SELECT sum(n) FROM accounts WHERE n > ?", -1000)
		expect(t, "the sum", sum, 1000)
		return err
	})
}

func TestPooler_AScopeHoldsNothingBetweenItsTransactions(t *testing.T) {
	t.Parallel()
	conns := bouncing(t, "1", nil)
	s, _ := conns.Settings(db.DefaultAlias)
	expect(t, "CONN_LEASE", s.ConnLease, db.LeaseTransaction)
	scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
		for range 3 {
			if err := query(ctx); err != nil {
				return err
			}
			expect(t, "in use between statements", stats(conns).InUse, 0)
			if err := db.Run(ctx, "inner", query); err != nil { // one session serves both
				return err
			}
		}
		return nil
	})
}

func TestPooler_RefusesWhatNeedsASessionAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	conns := bouncing(t, "1", nil)
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		for query, hint := range map[string]string{
			"SET search_path TO x":                                "SET LOCAL",
			"SELECT 1; set role postgres":                         "SET LOCAL",
			"/* c */ LISTEN mail":                                 "Dedicated",
			"SELECT pg_advisory_lock(1)":                          "pg_advisory_xact_lock",
			"WITH x AS (SELECT pg_try_advisory_lock(1)) SELECT 1": "pg_advisory_xact_lock",
			"CREATE TEMP TABLE mine (n int)":                      "ON COMMIT DROP",
			"SELECT 1 INTO TEMPORARY mine":                        "ON COMMIT DROP",
			"PREPARE p AS SELECT 1":                               "as it is",
			"DECLARE c CURSOR WITH HOLD FOR SELECT 1":             "within the block",
			"RESET ALL": "leave it",
		} {
			for name, run := range map[string]func(context.Context) error{
				"outside": func(ctx context.Context) error { return exec(ctx, conn, query) },
				"in a block": func(ctx context.Context) error {
					return db.Atomic(ctx, func(ctx context.Context) error { return exec(ctx, conn, query) })
				},
			} {
				err := run(ctx)
				expectError(t, query+" "+name, err, db.ErrNeedsSession)
				if err != nil {
					expectText(t, query, err.Error(), hint, "POOLER")
				}
			}
		}
		_, err := conn.PrepareContext(ctx, "SELECT 1")
		expectError(t, "a prepared statement", err, db.ErrNeedsSession)
		_, err = conns.Dedicated(ctx, db.DefaultAlias, "listener")
		expectError(t, "a dedicated connection", err, db.ErrNeedsSession)

		// What a refused statement costs is nothing: not even the block.
		return db.Atomic(ctx, func(ctx context.Context) error {
			expectError(t, "LISTEN", exec(ctx, conn, "LISTEN mail"), db.ErrNeedsSession)
			return exec(ctx, conn,
				"SET LOCAL statement_timeout = '5s'", "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET CONSTRAINTS ALL IMMEDIATE",
				"SELECT pg_advisory_xact_lock(1)", "CREATE TEMP TABLE mine (n int) ON COMMIT DROP",
				"DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1", "SELECT 'LISTEN', 'pg_advisory_lock(1)' AS \"set\"", "DO $$ BEGIN END $$",
				"NOTIFY mail", "SELECT 1 AS temp")
		})
	})
}

func TestPooler_WaysOutWorkInTransactions(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"exec", "simple_protocol"} {
		conns := bouncing(t, "1", func(s *db.Settings) { s.Options["exec_mode"] = mode })
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			if err := exec(ctx, conn, "CREATE TABLE numbers (n int)"); err != nil {
				return err
			}
			if err := errors.Join(numbers(ctx), db.Atomic(ctx, numbers)); err != nil {
				return err
			}
			n, err := one[int](ctx, conn, "SELECT count(*) FROM numbers")
			expect(t, "rows", n, 2000)
			return errors.Join(err, postgres.Raw(ctx, db.DefaultAlias, func(c *pgx.Conn) error {
				return c.QueryRow(ctx, "SELECT $1::int + 1", 41).Scan(&n)
			}))
		})
		sqldb := sqlDB(t, conns)
		var n int
		if err := sqldb.QueryRowContext(t.Context(), "SELECT count(*) FROM numbers WHERE n < $1", 10).Scan(&n); err != nil {
			t.Fatal(err)
		}
		expect(t, "rows that a *sql.DB sees", n, 20)
	}
}

func TestPooler_ARestartCostsNoRequest(t *testing.T) {
	t.Parallel()
	settings, bouncer := dbtest.Bouncer(t, kept(dbtest.Database(t, dbtest.Postgres)), "2")
	conns := dbtest.Open(t, settings)
	for range 3 {
		scope(t, conns, func(ctx context.Context, _ *db.Conn) error { return query(ctx) })
		bouncer.Down()
		served := make(chan error)
		go func() {
			served <- try(t.Context(), conns, func(ctx context.Context, _ *db.Conn) error { return query(ctx) })
		}()
		await(t, "somebody who waits", func() bool { return stats(conns).Waiting == 1 })
		if err := bouncer.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

func TestPooler_ACancelledStatementStops(t *testing.T) {
	t.Parallel()
	conns := bouncing(t, "1", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := try(ctx, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT pg_sleep(60)") })
	expectError(t, "the statement", err, context.DeadlineExceeded)
	// The only session is free again.
	scope(t, conns, func(ctx context.Context, _ *db.Conn) error { return query(ctx) })
}

func TestPooler_ContradictionsAreMistakesInTheSettings(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		change func(*db.Settings)
		key    string
		text   []string
	}{
		"a lease for a request":  {func(s *db.Settings) { s.ConnLease = db.LeaseRequest }, "CONN_LEASE", []string{"transaction"}},
		"a reset":                {func(s *db.Settings) { s.ConnReset = db.ResetAlways }, "CONN_RESET", []string{"somebody else"}},
		"statements that stay":   {func(s *db.Settings) { s.Options["exec_mode"] = "cache_statement" }, "OPTIONS.exec_mode", []string{"exec or simple_protocol"}},
		"a startup parameter":    {func(s *db.Settings) { s.Options["search_path"] = "shop" }, "OPTIONS.search_path", []string{"ALTER ROLE ... SET search_path"}},
		"a role":                 {func(s *db.Settings) { s.Options["assume_role"] = "shop" }, "OPTIONS.assume_role", []string{"SET LOCAL ROLE"}},
		"another engine's alias": {func(s *db.Settings) { s.Engine = "sqlite" }, "POOLER", []string{"not before sqlite"}},
	} {
		s := db.Settings{Engine: "postgres", Name: "x", Pooler: db.PoolerPgBouncer, Options: map[string]string{"application_name": "shop"}}
		row.change(&s)
		_, err := db.Open(map[string]db.Settings{"default": s}, db.Options{Engines: []db.Engine{postgres.Engine{}}})
		if err == nil {
			t.Errorf("%s is no mistake", name)
			continue
		}
		expectText(t, name, err.Error(), append(row.text, "DATABASES.default."+row.key)...)
		expect(t, name+": lines", strings.Count(err.Error(), "\n") > 1, false)
	}
}

func TestPooler_MigrationsSayThatTheyWantTheServerItself(t *testing.T) {
	t.Parallel()
	sqldb := sqlDB(t, bouncing(t, "1", nil))
	files := fstest.MapFS{"0001_polls.sql": {Data: []byte("-- +goose Up\nCREATE TABLE polls (id int);\n")}}
	m, err := migrate.New(sqldb, "postgres", []migrate.Source{{App: "polls", FS: files}}, migrate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Up(t.Context(), nil)
	expectError(t, "Up", err, db.ErrNeedsSession)
	expectText(t, "the error", err.Error(), "an alias that leads to the server itself")
}
