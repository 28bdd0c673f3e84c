package db_test

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/sqlite"
)

// How do I read a large table without holding a connection all the while? In
// batches: each is a short statement of its own.
func ExampleIterate() {
	type city struct {
		bun.BaseModel `bun:"table:cities"`

		ID   int64 `bun:",pk"`
		Name string
	}
	conns, err := db.Open(
		map[string]db.Settings{"default": {Engine: "sqlite", Name: ":memory:", ConnLease: db.LeaseTransaction}},
		db.Options{Engines: []db.Engine{sqlite.Engine{}}},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	defer conns.Close(ctx)

	err = conns.Run(ctx, "cities", func(ctx context.Context) error {
		conn := db.From(ctx)
		if _, err := conn.NewCreateTable().Model((*city)(nil)).Exec(ctx); err != nil {
			return err
		}
		if _, err := conn.NewInsert().Model(&[]city{{ID: 1, Name: "Aachen"}, {ID: 2, Name: "Bonn"}, {ID: 3, Name: "Celle"}}).Exec(ctx); err != nil {
			return err
		}
		cities := conn.NewSelect().Model((*city)(nil)).Where("name <> ?", "Bonn")
		for c, err := range db.Iterate[city](ctx, cities, db.IterateOptions{BatchSize: 1}) {
			if err != nil {
				return err
			}
			fmt.Println(c.Name, "in use:", conns.Stats("default").InUse)
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}

	// Output:
	// Aachen in use: 0
	// Celle in use: 0
}
