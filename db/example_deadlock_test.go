package db_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/sqlite"
)

// A scope that waits for another one keeps what it holds. Where no connection is left,
// that would be for ever; it fails at once instead, and says where.
func Example_selfDeadlock() {
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

	audit := func(ctx context.Context) error {
		return db.Run(ctx, "audit", func(ctx context.Context) error {
			_, err := db.From(ctx).ExecContext(ctx, "SELECT 1")
			return err
		})
	}
	err = conns.Run(ctx, "order", func(ctx context.Context) error {
		if _, err := db.From(ctx).ExecContext(ctx, "SELECT 1"); err != nil {
			return err
		}
		fmt.Println("while it holds the connection:", errors.Is(audit(ctx), db.ErrSelfDeadlock))
		if err := db.Release(ctx); err != nil {
			return err
		}
		fmt.Println("after giving it back:", audit(ctx))
		return nil
	})
	fmt.Println(err)

	// Output:
	// while it holds the connection: true
	// after giving it back: <nil>
	// <nil>
}
