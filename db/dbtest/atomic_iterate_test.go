package dbtest_test

import (
	"context"
	"testing"

	"github.com/goquintet/quintet/db"
)

func TestAtomic_IterateReadsInEveryMode(t *testing.T) {
	type fruit struct {
		Name string `bun:",pk"`
	}
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		for _, name := range []string{"pear", "plum", "quince"} {
			if err := add(ctx, name); err != nil {
				t.Fatal(err)
			}
		}
		for _, mode := range []db.IterateMode{db.ModeKeyset, db.ModeSnapshot, db.ModeSpool} {
			for range 2 {
				got := ""
				q := db.From(ctx).NewSelect().ModelTableExpr("fruit AS fruit")
				for f, err := range db.Iterate[fruit](ctx, q, db.IterateOptions{Mode: mode, BatchSize: 2}) {
					if err != nil {
						t.Fatalf("%s: %v", mode, err)
					}
					got += f.Name + " "
				}
				if got != "apple pear plum quince " {
					t.Errorf("%s: %q", mode, got)
				}
			}
			// Breaking off leaves nothing behind that the next one would meet.
			for _, err := range db.Iterate[fruit](ctx, db.From(ctx).NewSelect().ModelTableExpr("fruit AS fruit"), db.IterateOptions{Mode: mode, BatchSize: 1}) {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		if err := add(ctx, "apricot"); err != nil {
			t.Error(err)
		}
	})
}
