package migrate_test

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/goquintet/quintet/db/migrate"
)

// How to see what is applied: showmigrations.
func ExampleMigrator_Status() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1)

	migrator, err := migrate.New(db, "sqlite", []migrate.Source{{App: "polls", FS: migrations}}, migrate.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := migrator.To(ctx, "polls", "0001", nil); err != nil {
		fmt.Println(err)
		return
	}
	all, err := migrator.Status(ctx)
	for _, s := range all {
		mark := " "
		if s.Applied != nil {
			mark = "X"
		}
		fmt.Printf("[%s] %s.%s\n", mark, s.App, s.Name)
	}
	fmt.Println(err)
	// Output:
	// [X] polls.0001_initial
	// [ ] polls.0002_votes
	// <nil>
}
