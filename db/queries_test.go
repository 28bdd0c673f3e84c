package db_test

import (
	"context"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// Django: backends.tests.LastExecutedQueryTest.
// test_last_executed_query_without_previous_query and test_debug_sql (CN-024, CN-025).
func TestQueries_HaveTheTextTheTimeAndThePlace(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings, db.Options{Debug: true})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			if queries := conn.Queries(); queries != nil {
				t.Errorf("before any statement: %v", queries)
			}
			if _, err := one[int](ctx, conn, "SELECT ? + 1", 41); err != nil {
				return err
			}
			if err := exec(ctx, conn, "SELECT * FROM nowhere"); err == nil {
				t.Error("no error")
			}
			queries := conn.Queries()
			if len(queries) != 2 {
				t.Fatalf("%d statements, want 2: %v", len(queries), queries)
			}
			expect(t, "the text, with its arguments", queries[0].SQL, "SELECT 41 + 1")
			expect(t, "the error of one that worked", queries[0].Err, nil)
			expectText(t, "the place", queries[0].At, "helpers_test.go:")
			if queries[0].Duration <= 0 {
				t.Errorf("it took %s", queries[0].Duration)
			}
			if queries[1].Err == nil || !strings.Contains(queries[1].Err.Error(), "nowhere") {
				t.Errorf("the error of one that failed: %v", queries[1].Err)
			}
			return nil
		})
	})
}

// Django: backends.tests.BackendTestCase.test_queries (CN-036). An INSERT of several
// rows is one statement here and needs no "2 times".
func TestQueries_AreACopyAndResetEmptiesThem(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.OpenAll(t, map[string]db.Settings{"default": settings, "other": settings}, db.Options{Debug: true})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			other := db.Using(ctx, "other")
			for _, c := range []*db.Conn{conn, other} {
				if err := exec(ctx, c, "SELECT 1"); err != nil {
					return err
				}
			}
			first := conn.Queries()
			first[0].SQL = "changed"
			expect(t, "the log after its copy was changed", conn.Queries()[0].SQL, "SELECT 1")

			db.ResetQueries(ctx)
			expect(t, "after a reset", len(conn.Queries()), 0)
			expect(t, "of the other alias after a reset", len(other.Queries()), 0)
			if err := exec(ctx, conn, "SELECT 2"); err != nil {
				return err
			}
			expect(t, "after a reset and a statement", len(conn.Queries()), 1)
			expect(t, "of the other alias", len(other.Queries()), 0)
			return nil
		})
	})
}

func TestQueries_AreThoseOfOneScopeAlsoBeyondItsLeases(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings.ConnLease = db.LeaseTransaction
		conns := dbtest.Open(t, kept(settings), db.Options{Debug: true})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			if err := exec(ctx, conn, "SELECT 1", "SELECT 2"); err != nil {
				return err
			}
			if err := db.Release(ctx); err != nil {
				return err
			}
			expect(t, "statements of two leases", len(conn.Queries()), 2)
			return nil
		})
		scope(t, conns, func(_ context.Context, conn *db.Conn) error {
			expect(t, "statements of the next scope", len(conn.Queries()), 0)
			return nil
		})
	})
}

func TestQueries_HaveWhatPreparedStatementsAndTransactionsSend(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings, db.Options{Debug: true})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			stmt, err := conn.PrepareContext(ctx, "SELECT 7")
			if err != nil {
				return err
			}
			for range 2 {
				if err := stmt.QueryRowContext(ctx).Scan(new(int)); err != nil {
					return err
				}
			}
			if err := stmt.Close(); err != nil {
				return err
			}
			rolledBack := context.Canceled
			err = conn.RunInTx(ctx, nil, func(context.Context, bun.Tx) error { return rolledBack })
			expectError(t, "the transaction", err, rolledBack)
			var texts []string
			for _, q := range conn.Queries() {
				texts = append(texts, q.SQL)
			}
			expect(t, "statements", strings.Join(texts, "; "), "SELECT 7; SELECT 7; BEGIN; ROLLBACK")
			return nil
		})
	})
}

// Django: backends.tests.BackendTestCase.test_queries_limit (CN-037). Reading a
// full log does not warn: what it keeps is documented.
func TestQueries_KeepTheNewest9000(t *testing.T) {
	t.Parallel()
	const limit, more = 9000, 3
	conns := dbtest.Open(t, db.Settings{Engine: dbtest.SQLite, Name: ":memory:"}, db.Options{Debug: true})
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		for n := range limit + more {
			if _, err := conn.ExecContext(ctx, "SELECT ?", n); err != nil {
				return err
			}
		}
		queries := conn.Queries()
		if len(queries) != limit {
			t.Fatalf("%d statements, want %d", len(queries), limit)
		}
		expect(t, "the oldest", queries[0].SQL, "SELECT 3")
		expect(t, "the newest", queries[limit-1].SQL, "SELECT 9002")
		return nil
	})
}

// Django: backends.base.test_base.DatabaseWrapperLoggingTests.test_no_logs_without_debug
// (CN-009).
func TestQueries_AreNotKeptWithoutDebug(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		var log logs
		conns := dbtest.Open(t, settings, db.Options{Logger: log.logger()})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			if err := exec(ctx, conn, "SELECT 'unlogged'"); err != nil {
				return err
			}
			err := conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return exec(ctx, tx, "SELECT 'unlogged'") })
			if queries := conn.Queries(); queries != nil {
				t.Errorf("queries: %v", queries)
			}
			return err
		})
		if entry := log.find("unlogged"); entry != "" {
			t.Errorf("logged: %s", entry)
		}
	})
}
