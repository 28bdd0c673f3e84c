package db_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/sqlite"
)

// How do I give the connection back before something slow? By hand, as in Django;
// the next statement leases again. Inside a transaction nothing is lost: it says
// that it cannot.
func ExampleRelease() {
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

	err = conns.Run(ctx, "/slow", func(ctx context.Context) error {
		conn := db.From(ctx)
		if _, err := conn.ExecContext(ctx, "CREATE TABLE visits (id integer)"); err != nil {
			return err
		}
		fmt.Println("in use:", conns.Stats("default").InUse)
		if err := db.Release(ctx); err != nil {
			return err
		}
		fmt.Println("released:", conns.Stats("default").InUse)

		return conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			fmt.Println("refused:", errors.Is(db.Release(ctx), db.ErrInAtomicBlock))
			_, err := tx.ExecContext(ctx, "INSERT INTO visits VALUES (1)")
			return err
		})
	})
	fmt.Println(err)

	// Output:
	// in use: 1
	// released: 0
	// refused: true
	// <nil>
}
