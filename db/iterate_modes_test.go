package db_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// wholes are the modes that read one moment.
func wholes() []db.IterateMode { return []db.IterateMode{db.ModeSnapshot, db.ModeSpool} }

func TestIterate_WholeModesReadWhatAnyQueryReads(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			sales := func() *bun.SelectQuery { return conn.NewSelect().Model((*sale)(nil)) }
			queries := map[string]*bun.SelectQuery{
				"all":               sales().OrderExpr("region, number"),
				"an order":          sales().Order("amount", "number"),
				"a limit":           sales().Order("number").Limit(42).Offset(7),
				"a union":           sales().ModelTableExpr("(?) AS sale", sales().Where("region = 1").Union(sales().Where("region = 2"))).Order("number"),
				"a relation to one": sales().Relation("RegionOf").Order("number"),
				"nothing":           sales().Where("number < 0"),
				"without a model":   conn.NewSelect().Order("number"),
			}
			for what, q := range queries {
				var want []sale
				direct := q.Clone()
				if direct.GetModel() == nil {
					direct = direct.Model((*sale)(nil))
				}
				if err := direct.Scan(ctx, &want); err != nil {
					return fmt.Errorf("%s: %w", what, err)
				}
				for _, mode := range wholes() {
					for _, size := range []int{1, 7, len(want), 0} {
						got, err := collect[sale](ctx, q, db.IterateOptions{Mode: mode, BatchSize: size})
						if err != nil {
							return fmt.Errorf("%s, %s: %w", what, mode, err)
						}
						if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
							t.Errorf("%s, %s, batches of %d: %d rows differ from the %d that the query reads", what, mode, size, len(got), len(want))
						}
					}
				}
			}
			return nil
		})
	})
}

func TestIterate_WholeModesReadRowsWithoutAKey(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			for _, mode := range wholes() {
				notes, err := collect[note](ctx, conn.NewSelect(), db.IterateOptions{Mode: mode, BatchSize: 9})
				if err != nil {
					return err
				}
				expect(t, string(mode)+": rows", len(notes), soldRows)
			}
			return nil
		})
	})
}

func TestIterate_RefusesWhatAModeCannotReadBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, settings, db.Options{Debug: true})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			sales := func() *bun.SelectQuery { return conn.NewSelect().Model((*sale)(nil)) }
			one := func(_ any, err error) error { return err }
			for _, mode := range wholes() {
				o := db.IterateOptions{Mode: mode}
				for text, err := range map[string]error{
					"has-many":             one(collect[region](ctx, conn.NewSelect().Model((*region)(nil)).Relation("Sales"), o)),
					"is no struct":         one(collect[*sale](ctx, sales(), o)),
					"relation=\"Nothing\"": one(collect[sale](ctx, sales().Relation("Nothing"), o)),
					"OrderBy is for":       one(collect[sale](ctx, sales(), db.IterateOptions{Mode: mode, OrderBy: []string{"number"}})),
					"is negative; leave":   one(collect[sale](ctx, sales(), db.IterateOptions{Mode: mode, SpoolMemory: -1})),
					"\"slow\" is unknown":  one(collect[sale](ctx, sales(), db.IterateOptions{Mode: "slow"})),
				} {
					if err == nil {
						t.Errorf("%s: no error that says %q", mode, text)
						continue
					}
					expectText(t, "the error", err.Error(), text)
				}
				expectError(t, "without a scope", one(collect[sale](context.Background(), sales(), o)), db.ErrNoScope)
			}
			expect(t, "statements", len(conn.Queries()), 0)
			return conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				_, err := collect[sale](ctx, tx.NewSelect(), db.IterateOptions{Mode: db.ModeSpool})
				if err == nil {
					t.Error("a query of a bun.Tx was read")
					return nil
				}
				expectText(t, "the error", err.Error(), "not one of db.From or db.Using with this context", `"spool"`)
				return nil
			})
		})
	})
}

func TestIterate_WholeModesEndWithTheLoopWhateverEndsIt(t *testing.T) {
	t.Parallel()
	errLoop := errors.New("enough")
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		conns := withSales(t, onlyOne(settings))
		for _, mode := range wholes() {
			o := db.IterateOptions{Mode: mode, BatchSize: 10, SpoolMemory: 100}
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
				for range db.Iterate[sale](ctx, conn.NewSelect(), o) {
					break
				}
				expect(t, "in a block after a break", conn.InAtomicBlock(), false)
				func() {
					defer func() { expect(t, "the panic", recover(), any(errLoop)) }()
					for range db.Iterate[sale](ctx, conn.NewSelect(), o) {
						panic(errLoop)
					}
				}()
				expect(t, "in a block after a panic", conn.InAtomicBlock(), false)

				stopped, cancel := context.WithCancelCause(ctx)
				defer cancel(nil)
				n, last := 0, error(nil)
				for _, err := range db.Iterate[sale](stopped, conn.NewSelect(), o) {
					if n++; n == 20 {
						cancel(errLoop)
					}
					last = err
				}
				expect(t, string(mode)+": rows before the context ended, and its error", n, 21)
				expectError(t, "the last error", last, errLoop)
				n, err := one[int](ctx, conn, "SELECT count(*) FROM sales")
				expect(t, "rows", n, soldRows)
				return err
			})
		}
		expect(t, "connections that were opened", stats(conns).Opened, 1)
	})
}

func TestIterate_AFailingQueryIsTheOnlyPair(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			for _, mode := range wholes() {
				pairs := 0
				for row, err := range db.Iterate[sale](ctx, conn.NewSelect().Where("nothing = 1"), db.IterateOptions{Mode: mode}) {
					pairs++
					expect(t, "the row", row, sale{})
					expectError(t, "the error", err, db.ErrProgramming)
				}
				expect(t, "pairs", pairs, 1)
				expect(t, "in a block", conn.InAtomicBlock(), false)
			}
			return nil
		})
	})
}

// What T needs of its scanning runs as for a query that is read at once.
type hooked struct {
	bun.BaseModel `bun:"table:notes"`

	Code   string
	Length int `bun:"-"`
}

var (
	_ bun.AfterScanRowHook = (*hooked)(nil)
	_ bun.BeforeSelectHook = (*hooked)(nil)
)

func (h *hooked) AfterScanRow(context.Context) error {
	h.Length = len(h.Code)
	return nil
}

func (*hooked) BeforeSelect(_ context.Context, q *bun.SelectQuery) error {
	q.Where("code < '050'")
	return nil
}

func TestIterate_RunsTheHooksOfTheModel(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			for _, mode := range []db.IterateMode{db.ModeKeyset, db.ModeSnapshot, db.ModeSpool} {
				o := db.IterateOptions{Mode: mode, BatchSize: 9}
				if mode == db.ModeKeyset {
					o.OrderBy = []string{"code"}
				}
				notes, err := collect[hooked](ctx, conn.NewSelect(), o)
				if err != nil {
					return err
				}
				expect(t, string(mode)+": rows", len(notes), 50)
				for _, n := range notes {
					expect(t, string(mode)+": length", n.Length, 3)
				}
			}
			return nil
		})
	})
}

func TestIterate_OfAnotherConnectionStaysThere(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings)
		own := dedicated(t, conns, "own")
		if err := exec(t.Context(), own, "CREATE TEMPORARY TABLE notes (code text)", "INSERT INTO notes VALUES ('a'), ('b'), ('c')"); err != nil {
			t.Fatal(err)
		}
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			q := conn.NewSelect().Conn(own)
			notes, err := collect[note](ctx, q, db.IterateOptions{OrderBy: []string{"code"}, BatchSize: 2})
			expect(t, "rows", len(notes), 3)
			for _, mode := range wholes() {
				_, err := collect[note](ctx, q, db.IterateOptions{Mode: mode})
				expectText(t, "the error", fmt.Sprint(err), "another scope, transaction or database")
				scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
					_, err := collect[note](ctx, conn.NewSelect(), db.IterateOptions{Mode: mode})
					expectText(t, "the error of another scope's", fmt.Sprint(err), "another scope, transaction or database")
					return nil
				})
			}
			return err
		})
	})
}
