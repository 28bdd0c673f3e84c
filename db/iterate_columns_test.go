package db_test

import (
	"context"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// A query that names its columns without the key would go on after a key of zeros:
// it lost rows, or never came to an end.
func TestIterate_AddsTheKeyToTheColumnsOfTheQuery(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, settings)
		for name, order := range map[string][]string{"by the primary key": nil, "descending": {"-region", "-number"}} {
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
				amounts := conn.NewSelect().Model((*sale)(nil)).Column("amount")
				n, sum := 0, int64(0)
				for s, err := range db.Iterate[sale](ctx, amounts, db.IterateOptions{BatchSize: 7, OrderBy: order}) {
					if err != nil {
						return err
					}
					if n++; n > soldRows {
						t.Fatalf("%s: more rows than there are", name)
					}
					sum += s.Amount
				}
				want, err := one[int64](ctx, conn, "SELECT sum(amount) FROM sales")
				expect(t, name+": rows", n, soldRows)
				expect(t, name+": their sum", sum, want)
				return err
			})
		}
	})
}
