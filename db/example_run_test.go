package db_test

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/sqlite"
)

// A task, a cron job or a command is a scope of its own, as a request is. Its first
// statement leases a connection, and its end gives it back.
func ExampleConnections_Run() {
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

	err = conns.Run(ctx, "nightly-report", func(ctx context.Context) error {
		type total struct {
			bun.BaseModel `bun:"table:totals"`

			Region string `bun:",pk"`
			Amount int64
		}
		conn := db.From(ctx) // a bun.IDB
		if _, err := conn.NewCreateTable().Model((*total)(nil)).Exec(ctx); err != nil {
			return err
		}
		if _, err := conn.NewInsert().Model(&total{Region: "north", Amount: 42}).Exec(ctx); err != nil {
			return err
		}
		var north total
		if err := conn.NewSelect().Model(&north).Where("region = ?", "north").Scan(ctx); err != nil {
			return err
		}
		fmt.Println(north.Region, north.Amount, "in use:", conns.Stats("default").InUse)
		return nil
	})
	fmt.Println(err, "in use:", conns.Stats("default").InUse)

	// Output:
	// north 42 in use: 1
	// <nil> in use: 0
}
