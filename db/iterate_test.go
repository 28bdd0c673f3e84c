package db_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

type region struct {
	bun.BaseModel `bun:"table:regions"`

	ID   int64 `bun:",pk"`
	Name string

	Sales []*sale `bun:"rel:has-many,join:id=region"`
}

type sale struct {
	bun.BaseModel `bun:"table:sales"`

	Region   int64 `bun:",pk"`
	Number   int64 `bun:",pk"`
	Amount   int64
	RegionOf *region `bun:"rel:belongs-to,join:region=id"`
}

// note has no primary key.
type note struct {
	bun.BaseModel `bun:"table:notes"`

	Code string
}

const soldRows = 100

// withSales fills tables with 100 sales in 10 regions.
func withSales(t *testing.T, settings db.Settings, options ...db.Options) *db.Connections {
	t.Helper()
	conns := dbtest.Open(t, kept(settings), options...)
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		var sales []sale
		var regions []region
		var notes []note
		for n := range int64(soldRows) {
			sales = append(sales, sale{Region: n % 10, Number: n, Amount: n * n % 97})
			notes = append(notes, note{Code: fmt.Sprintf("%03d", n)})
			if n < 10 {
				regions = append(regions, region{ID: n, Name: fmt.Sprint("region ", n)})
			}
		}
		for _, model := range []any{&sales, &regions, &notes} {
			if _, err := conn.NewCreateTable().Model(model).Exec(ctx); err != nil {
				return err
			}
			if _, err := conn.NewInsert().Model(model).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	return conns
}

// collect reads an iteration to its end.
func collect[T any](ctx context.Context, q *bun.SelectQuery, o ...db.IterateOptions) (all []T, err error) {
	for row, err := range db.Iterate[T](ctx, q, o...) {
		if err != nil {
			return all, err
		}
		all = append(all, row)
	}
	return all, nil
}

func TestIterate_ReadsEveryRowOnceInTheOrderOfTheKey(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, settings, db.Options{Debug: true})
		for _, size := range []int{1, 7, soldRows / 2, soldRows - 1, soldRows, soldRows + 1, 0} {
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
				sales, err := collect[sale](ctx, conn.NewSelect().Model((*sale)(nil)), db.IterateOptions{BatchSize: size})
				expect(t, fmt.Sprint("rows in batches of ", size), len(sales), soldRows)
				sorted := slices.IsSortedFunc(sales, func(a, b sale) int { return int((a.Region-b.Region)*1000 + a.Number - b.Number) })
				expect(t, "in order", sorted, true)
				if size > 0 {
					expect(t, fmt.Sprint("statements for batches of ", size), len(conn.Queries()), soldRows/size+1)
				}
				return err
			})
		}
	})
}

func TestIterate_OrdersByAnyUniqueColumnsEitherWay(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			sales, err := collect[sale](ctx, conn.NewSelect().Model((*sale)(nil)),
				db.IterateOptions{BatchSize: 7, OrderBy: []string{"-amount", "region", "-number"}})
			if err != nil {
				return err
			}
			expect(t, "rows", len(sales), soldRows)
			expect(t, "in order", slices.IsSortedFunc(sales, func(a, b sale) int {
				return int((b.Amount-a.Amount)*100000 + (a.Region-b.Region)*1000 + b.Number - a.Number)
			}), true)
			notes, err := collect[note](ctx, conn.NewSelect(), db.IterateOptions{BatchSize: 9, OrderBy: []string{"-code"}})
			expect(t, "rows without a primary key", len(notes), soldRows)
			return err
		})
	})
}

func TestIterate_KeepsTheConditionsOfTheQuery(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			q := conn.NewSelect().Model((*sale)(nil)).Where("region = ?", 3).WhereOr("number = ?", 4).
				Join("JOIN regions AS r ON r.id = sale.region")
			for range 2 { // an iteration can be repeated
				sales, err := collect[sale](ctx, q, db.IterateOptions{BatchSize: 2})
				if err != nil {
					return err
				}
				expect(t, "rows", len(sales), 11)
			}
			return nil
		})
	})
}

func TestIterate_LoadsRelationsToOne(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			q := conn.NewSelect().Model((*sale)(nil)).Relation("RegionOf")
			sales, err := collect[sale](ctx, q, db.IterateOptions{BatchSize: 30})
			expect(t, "rows", len(sales), soldRows)
			for _, s := range sales {
				if s.RegionOf == nil || s.RegionOf.ID != s.Region {
					t.Fatalf("sale %d of region %d has %v", s.Number, s.Region, s.RegionOf)
				}
			}
			return err
		})
	})
}

func TestIterate_HoldsNoConnectionBetweenBatches(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings.ConnLease = db.LeaseTransaction
		conns := withSales(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			for _, err := range db.Iterate[sale](ctx, conn.NewSelect(), db.IterateOptions{BatchSize: 9}) {
				if err != nil {
					return err
				}
				expect(t, "in use", stats(conns).InUse, 0)
			}
			return nil
		})
	})
}

func TestIterate_SeesRowsThatAreWrittenAhead(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			n := 0
			for row, err := range db.Iterate[sale](ctx, conn.NewSelect(), db.IterateOptions{BatchSize: 10}) {
				if err != nil {
					return err
				}
				if n++; n == 15 {
					behind := sale{Region: row.Region, Number: row.Number - 1}
					ahead := sale{Region: 9, Number: 5000}
					if _, err := conn.NewInsert().Model(&[]sale{behind, ahead}).Exec(ctx); err != nil {
						return err
					}
				}
			}
			expect(t, "rows", n, soldRows+1)
			return nil
		})
	})
}

func TestIterate_StopsWhenTheLoopDoes(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, settings, db.Options{Debug: true})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			for range db.Iterate[sale](ctx, conn.NewSelect(), db.IterateOptions{BatchSize: 10}) {
				break
			}
			expect(t, "statements", len(conn.Queries()), 1)
			return nil
		})
	})
}

func TestIterate_AnErrorIsTheLastPair(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			stopped, cancel := context.WithCancel(ctx)
			defer cancel()
			n, last := 0, error(nil)
			for row, err := range db.Iterate[sale](stopped, conn.NewSelect(), db.IterateOptions{BatchSize: 10}) {
				if last != nil {
					t.Error("it went on after an error")
				}
				if last = err; err != nil {
					expect(t, "the row of the error", row, sale{})
					continue
				}
				if n++; n == 20 {
					cancel()
				}
			}
			expect(t, "rows", n, 20)
			expectError(t, "the last error", last, context.Canceled)
			return nil
		})
	})
}

func TestIterate_ANullKeyIsAnError(t *testing.T) {
	t.Parallel()
	type nullable struct {
		bun.BaseModel `bun:"table:notes"`

		Code *string
	}
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			if err := exec(ctx, conn, "UPDATE notes SET code = NULL WHERE code > '050'"); err != nil {
				return err
			}
			for _, order := range []string{"code", "-code"} {
				_, err := collect[nullable](ctx, conn.NewSelect(), db.IterateOptions{BatchSize: soldRows, OrderBy: []string{order}})
				if settings.Engine == dbtest.Postgres != (order == "code") {
					continue // the nulls come first
				}
				if err == nil {
					t.Errorf("by %s: no error", order)
				} else {
					expectText(t, "the error", err.Error(), `"code" is null`)
				}
			}
			return nil
		})
	})
}

func TestIterate_RefusesWhatWouldLoseRows(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			sales := func() *bun.SelectQuery { return conn.NewSelect().Model((*sale)(nil)) }
			one := func(_ any, err error) error { return err }
			for text, err := range map[string]error{
				"has an order":           one(collect[sale](ctx, sales().Order("amount"))),
				"a limit or an offset":   errors.Join(one(collect[sale](ctx, sales().Limit(3))), nil),
				"limit or an offset; br": one(collect[sale](ctx, sales().Offset(3))),
				"has no primary key":     one(collect[note](ctx, conn.NewSelect())),
				"no column \"size\"":     one(collect[sale](ctx, sales(), db.IterateOptions{OrderBy: []string{"size"}})),
				"is negative":            one(collect[sale](ctx, sales(), db.IterateOptions{BatchSize: -1})),
				"is no struct":           one(collect[*sale](ctx, sales())),
				"is a union":             one(collect[sale](ctx, sales().Union(sales()))),
				"has-many":               one(collect[region](ctx, conn.NewSelect().Model((*region)(nil)).Relation("Sales"))),
				"relation=\"Nothing\"":   one(collect[sale](ctx, sales().Relation("Nothing"))),
			} {
				if err == nil {
					t.Errorf("no error that says %q", text)
					continue
				}
				expectText(t, "the error", err.Error(), text)
			}
			return nil
		})
	})
}
