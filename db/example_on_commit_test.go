package db_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/sqlite"
)

// How do I send the mail only if the order is stored? OnCommit waits for the
// outermost block, and forgets what was rolled back.
func ExampleOnCommit() {
	conns, err := db.Open(
		map[string]db.Settings{"default": {Engine: "sqlite", Name: ":memory:"}},
		db.Options{Engines: []db.Engine{sqlite.Engine{}}},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	defer conns.Close(ctx)

	order := func(ctx context.Context, what string, failure error) error {
		return db.Atomic(ctx, func(ctx context.Context) error {
			err := db.OnCommit(ctx, func(context.Context) error {
				fmt.Println("mail about", what)
				return nil
			})
			fmt.Println("ordered", what)
			return errors.Join(err, failure)
		})
	}
	err = conns.Run(ctx, "orders", func(ctx context.Context) error {
		return errors.Join(order(ctx, "tea", nil), order(ctx, "moon dust", errors.New("out of stock")))
	})
	fmt.Println(err)

	// Output:
	// ordered tea
	// mail about tea
	// ordered moon dust
	// out of stock
}
