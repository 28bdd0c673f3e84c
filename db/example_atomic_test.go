package db_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/sqlite"
)

// How do I write two rows or none? Atomic commits when its function returns nil, and
// rolls back when it does not. What takes part is what uses its context. A block
// inside of a block is a savepoint: what fails there may be dealt with outside of it.
func ExampleAtomic() {
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

	account := func(ctx context.Context, name string) error {
		_, err := db.From(ctx).ExecContext(ctx, "INSERT INTO accounts VALUES (?)", name)
		return err
	}
	err = conns.Run(ctx, "accounts", func(ctx context.Context) error {
		if _, err := db.From(ctx).ExecContext(ctx, "CREATE TABLE accounts (name text PRIMARY KEY)"); err != nil {
			return err
		}
		err := db.Atomic(ctx, func(ctx context.Context) error {
			return errors.Join(account(ctx, "ada"), account(ctx, "ada"))
		})
		fmt.Println("a double name:", errors.Is(err, db.ErrUnique))

		err = db.Atomic(ctx, func(ctx context.Context) error {
			if err := account(ctx, "grace"); err != nil {
				return err
			}
			err := db.Atomic(ctx, func(ctx context.Context) error { return account(ctx, "grace") })
			if errors.Is(err, db.ErrUnique) {
				err = account(ctx, "grace 2")
			}
			return err
		})
		if err != nil {
			return err
		}
		var names []string
		if err := db.From(ctx).NewSelect().Table("accounts").Column("name").Order("name").Scan(ctx, &names); err != nil {
			return err
		}
		fmt.Println(names)
		return nil
	})
	fmt.Println(err)

	// Output:
	// a double name: true
	// [grace grace 2]
	// <nil>
}
