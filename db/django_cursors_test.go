package db_test

import (
	"context"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// Tests of Django's server-side cursors: backends.postgresql.test_server_side_cursors.

// cursors counts the cursors of Iterate that are open on the connection of ctx.
func cursors(ctx context.Context, conn *db.Conn) (int, error) {
	return one[int](ctx, conn, "SELECT count(*) FROM pg_cursors WHERE name LIKE 'quintet%'")
}

func TestServerSideCursorsPostgres_ServerSideCursorManyCursors(t *testing.T) {
	t.Parallel()
	conns := withSales(t, dbtest.Database(t, dbtest.Postgres))
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return db.Atomic(ctx, func(ctx context.Context) error {
			o := db.IterateOptions{Mode: db.ModeSnapshot, BatchSize: 10}
			for _, err := range db.Iterate[sale](ctx, conn.NewSelect(), o) {
				if err != nil {
					return err
				}
				for _, err := range db.Iterate[sale](ctx, conn.NewSelect(), o) {
					if err != nil {
						return err
					}
					n, err := cursors(ctx, conn)
					expect(t, "cursors of two iterations", n, 2)
					return err
				}
			}
			return nil
		})
	})
}

func TestServerSideCursorsPostgres_ClosedServerSideCursor(t *testing.T) {
	t.Parallel()
	conns := withSales(t, onlyOne(dbtest.Database(t, dbtest.Postgres)))
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		o := db.IterateOptions{Mode: db.ModeSnapshot, BatchSize: 10}
		for range db.Iterate[sale](ctx, conn.NewSelect(), o) {
			break
		}
		n, err := cursors(ctx, conn)
		expect(t, "cursors", n, 0)
		if err != nil {
			return err
		}
		return db.Atomic(ctx, func(ctx context.Context) error {
			for range db.Iterate[sale](ctx, conn.NewSelect(), o) {
				break
			}
			n, err := cursors(ctx, conn)
			expect(t, "cursors in the block", n, 0)
			return err
		})
	})
}

func TestServerSideCursorsPostgres_ValuesList(t *testing.T) {
	t.Parallel()
	conns := withSales(t, dbtest.Database(t, dbtest.Postgres))
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		type total struct {
			Region int64
			Sum    int64
		}
		q := conn.NewSelect().TableExpr("sales").ColumnExpr("region, sum(number) AS sum").Group("region").Order("region")
		totals, err := collect[total](ctx, q, db.IterateOptions{Mode: db.ModeSnapshot, BatchSize: 3})
		expect(t, "rows", len(totals), 10)
		expect(t, "the last of them", totals[9], total{Region: 9, Sum: 9 + 19 + 29 + 39 + 49 + 59 + 69 + 79 + 89 + 99})
		return err
	})
}
