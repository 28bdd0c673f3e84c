package db_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"runtime"
	"testing"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/sqlite"
)

// bare is the same engine, with the same settings, under database/sql and bun alone.
func bare(tb testing.TB, settings db.Settings) *bun.DB {
	tb.Helper()
	var engine db.Engine = sqlite.Engine{}
	if settings.Engine == dbtest.Postgres {
		engine = postgres.Engine{}
	}
	d, err := engine.Open(db.DefaultAlias, settings.WithDefaults())
	if err != nil {
		tb.Fatal(err)
	}
	sqldb := sql.OpenDB(dials{d})
	sqldb.SetMaxOpenConns(settings.WithDefaults().MaxConnections)
	sqldb.SetMaxIdleConns(settings.WithDefaults().MaxConnections)
	tb.Cleanup(func() {
		if err := sqldb.Close(); err != nil {
			tb.Error(err)
		}
	})
	return bun.NewDB(sqldb, engine.Dialect())
}

type dials struct{ d pool.Driver }

func (c dials) Connect(ctx context.Context) (driver.Conn, error) { return c.d.Connect(ctx) }
func (dials) Driver() driver.Driver                              { return nil }

// engines runs fn for each engine, one after the other: numbers want the process
// for themselves.
func engines[T interface {
	testing.TB
	Run(name string, fn func(T)) bool
}](tb T, fn func(tb T, settings db.Settings)) {
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		tb.Run(engine, func(tb T) { fn(tb, kept(dbtest.Database(tb, engine))) })
	}
}

// find is what most requests do: one query with an argument.
func find(ctx context.Context, conn bun.IDB) error {
	var n int
	return conn.NewSelect().ColumnExpr("? + 1", 41).Scan(ctx, &n)
}

// oneQuery is a scope as a request has one, with a context that can end.
func oneQuery(ctx context.Context, conns *db.Connections) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx, sc := conns.NewScope(ctx, "/sales/")
	err := find(ctx, db.From(ctx))
	if endErr := sc.End(); err == nil {
		err = endErr
	}
	return err
}

func bareQuery(ctx context.Context, conn *bun.DB) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return find(ctx, conn)
}

// A request with one query, against the same on database/sql alone. Run with
// -count=10 and compare medians.
func BenchmarkOneQueryScope(b *testing.B) {
	engines(b, func(b *testing.B, settings db.Settings) {
		b.Run("scope", func(b *testing.B) {
			conns := dbtest.Open(b, settings)
			b.ReportAllocs()
			for b.Loop() {
				if err := oneQuery(b.Context(), conns); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("bare", func(b *testing.B) {
			conn := bare(b, settings)
			b.ReportAllocs()
			for b.Loop() {
				if err := bareQuery(b.Context(), conn); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// A statement of a scope that has its connection already.
func BenchmarkStatement(b *testing.B) {
	engines(b, func(b *testing.B, settings db.Settings) {
		b.Run("scope", func(b *testing.B) {
			conns := dbtest.Open(b, settings)
			b.ReportAllocs()
			scope(b, conns, func(ctx context.Context, conn *db.Conn) error {
				for b.Loop() {
					if err := find(ctx, conn); err != nil {
						return err
					}
				}
				return nil
			})
		})
		b.Run("bare", func(b *testing.B) {
			conn := bare(b, settings)
			b.ReportAllocs()
			for b.Loop() {
				if err := find(b.Context(), conn); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// Not parallel: it counts what the process allocates. A scope costs less than the
// watchers that a bare query has of its context.
func TestCost_AOneQueryScopeAllocatesNoMoreThanABareQuery(t *testing.T) {
	engines(t, func(t *testing.T, settings db.Settings) {
		conns, conn := dbtest.Open(t, settings), bare(t, settings)
		measure := func(run func() error) float64 {
			return testing.AllocsPerRun(200, func() {
				if err := run(); err != nil {
					t.Error(err)
				}
			})
		}
		ours := measure(func() error { return oneQuery(t.Context(), conns) })
		theirs := measure(func() error { return bareQuery(t.Context(), conn) })
		t.Logf("%g allocations, %g without", ours, theirs)
		if ours > theirs {
			t.Errorf("%g allocations, want at most %g", ours, theirs)
		}
	})
}

// Not parallel: it counts the goroutines of the process.
func TestCost_AStatementAndItsRowsNeedNoGoroutineOfOurs(t *testing.T) {
	engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ctx, sc := conns.NewScope(ctx, "/rows")
		defer sc.End()
		conn := db.From(ctx)
		if err := exec(ctx, conn, "SELECT 1"); err != nil { // the connection has its own
			t.Fatal(err)
		}
		own, stop := context.WithCancel(ctx)
		defer stop()
		for name, ctx := range map[string]context.Context{"the scope's": ctx, "one of its own": own} {
			before := runtime.NumGoroutine()
			rows, err := conn.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
			if err != nil {
				t.Fatal(err)
			}
			if !rows.Next() {
				t.Fatal(rows.Err())
			}
			inside := runtime.NumGoroutine()
			if err := rows.Close(); err != nil {
				t.Fatal(err)
			}
			if inside > before {
				t.Errorf("with %s context: %d goroutines while rows are open, and %d before", name, inside, before)
			}
			expectCalm(t, before)
		}
	})
}

// expectCalm waits until no more goroutines are left than there were.
func expectCalm(t *testing.T, before int) {
	t.Helper()
	await(t, "as many goroutines as before", func() bool { return runtime.NumGoroutine() <= before })
}
