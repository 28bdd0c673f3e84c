package db_test

import (
	"context"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

func TestIterateSnapshot_SeesOneMoment(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			n := 0
			for row, err := range db.Iterate[sale](ctx, conn.NewSelect(), db.IterateOptions{Mode: db.ModeSnapshot, BatchSize: 10}) {
				if err != nil {
					return err
				}
				if row.Number >= soldRows {
					t.Errorf("row %d was written meanwhile", row.Number)
				}
				if n++; n != 15 {
					continue
				}
				scope(t, conns, func(ctx context.Context, other *db.Conn) error {
					return exec(ctx, other, "INSERT INTO sales (region, number, amount) VALUES (100, 1000, 0)", "DELETE FROM sales WHERE number = 99")
				})
			}
			expect(t, "rows", n, soldRows)
			return nil
		})
	})
}

func TestIterateSnapshot_HoldsOneConnectionAndSaysSoByName(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		withSales(t, settings)
		settings = onlyOne(settings)
		settings.HoldIdleWarn = time.Millisecond
		var log logs
		conns := dbtest.Open(t, settings, db.Options{Logger: log.logger()})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			sc := db.ScopeOf(ctx)
			if err := sc.RespondReleased(); err != nil { // a stream begins
				return err
			}
			before := stats(conns).Leases
			for _, err := range db.Iterate[sale](ctx, conn.NewSelect(), db.IterateOptions{Mode: db.ModeSnapshot, BatchSize: 30}) {
				if err != nil {
					return err
				}
				if err := sc.Held(); err != nil {
					t.Fatalf("a stream may not yield: %v", err)
				}
				holders := conns.Holders()
				if len(holders) != 1 || !holders[0].Kept || !holders[0].InAtomicBlock || !holders[0].Streaming {
					t.Fatalf("holders: %+v", holders)
				}
				expectText(t, "its place", holders[0].At, "iterate_snapshot_test.go:")
				expectError(t, "another statement of the scope", exec(ctx, conn, "SELECT 1"), db.ErrOutsideBlock)
				expectError(t, "a release", db.Release(ctx), db.ErrInAtomicBlock)
			}
			expect(t, "leases for all of it", stats(conns).Leases-before, 1)
			expect(t, "in use afterwards", stats(conns).InUse, 0)
			expect(t, "kept by name afterwards", sc.Kept(), false)
			return exec(ctx, conn, "DELETE FROM sales")
		})
		expect(t, "what is logged of an idle holder", log.find("held idle", "iterate_snapshot_test.go"), "")
	})
}

func TestIterateSnapshot_OfABlockSeesWhatThatHasWrittenAndLetsItQuery(t *testing.T) {
	t.Parallel()
	conns := withSales(t, onlyOne(dbtest.Database(t, dbtest.Postgres)))
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		err := db.Atomic(ctx, func(ctx context.Context) error {
			if err := exec(ctx, conn, "DELETE FROM sales WHERE region = 3"); err != nil {
				return err
			}
			o := db.IterateOptions{Mode: db.ModeSnapshot, BatchSize: 20}
			for row, err := range db.Iterate[sale](ctx, conn.NewSelect().Order("number"), o) {
				if err != nil {
					return err
				}
				if row.Number >= 10 {
					break // the block goes on
				}
				for inner, err := range db.Iterate[region](ctx, conn.NewSelect().Where("id = ?", row.Region), o) { // another cursor
					if err != nil {
						return err
					}
					if err := exec(ctx, conn, "UPDATE sales SET amount = -1 WHERE region = "+inner.Name[len("region "):]); err != nil {
						return err
					}
				}
			}
			n, err := one[int](ctx, conn, "SELECT count(*) FROM pg_cursors WHERE name LIKE 'quintet%'")
			expect(t, "cursors that are left", n, 0)
			// The block is the code's own, which has not said that a stream may hold it.
			expectError(t, "a yield", db.ScopeOf(ctx).Held(), db.ErrHeldAcrossYield)
			return err
		})
		if err != nil {
			return err
		}
		n, err := one[int](ctx, conn, "SELECT count(*) FROM sales WHERE amount = -1")
		expect(t, "rows that the loop has written", n, soldRows-10)
		return err
	})
}

func TestIterateSnapshot_OnSQLiteTheBlockOfALoopWaitsForItsRows(t *testing.T) {
	t.Parallel()
	conns := withSales(t, dbtest.Database(t, dbtest.SQLite), db.Options{Debug: true}) // which tells at once
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return db.Atomic(ctx, func(ctx context.Context) error {
			if err := exec(ctx, conn, "DELETE FROM sales WHERE region = 3"); err != nil {
				return err
			}
			n := 0
			for _, err := range db.Iterate[sale](ctx, conn.NewSelect(), db.IterateOptions{Mode: db.ModeSnapshot, BatchSize: 30}) {
				if err != nil {
					return err
				}
				if n++; n == 1 {
					expectError(t, "a statement in the loop", exec(ctx, conn, "SELECT 1"), db.ErrBusy)
				}
			}
			expect(t, "rows", n, soldRows-10)
			return exec(ctx, conn, "SELECT 1")
		})
	})
}

func TestIterateSnapshot_EndsWithItsConnection(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		withSales(t, settings)
		settings.HoldLimit = 100 * time.Millisecond
		conns := dbtest.Open(t, onlyOne(settings))
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			var last error
			for _, err := range db.Iterate[sale](ctx, conn.NewSelect(), db.IterateOptions{Mode: db.ModeSnapshot, BatchSize: 5}) {
				await(t, "taken away", func() bool { return stats(conns).InUse == 0 })
				last = err
			}
			expectError(t, "the last error", last, db.ErrHoldLimit)
			return db.Release(ctx)
		})
	})
}

func TestIterateSnapshot_IsReadOnly(t *testing.T) {
	t.Parallel()
	conns := withSales(t, dbtest.Database(t, dbtest.Postgres))
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		_, err := collect[sale](ctx, conn.NewSelect().ColumnExpr("nextval('counted') AS number"), db.IterateOptions{Mode: db.ModeSnapshot})
		expectError(t, "a sequence that does not exist", err, db.ErrProgramming)
		if err := exec(ctx, conn, "CREATE SEQUENCE counted"); err != nil {
			return err
		}
		_, err = collect[sale](ctx, conn.NewSelect().ColumnExpr("nextval('counted') AS number"), db.IterateOptions{Mode: db.ModeSnapshot})
		if err == nil {
			t.Error("a sequence moved")
			return nil
		}
		expectText(t, "the error", err.Error(), "read-only transaction")
		return nil
	})
}
