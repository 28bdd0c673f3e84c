package migrate_test

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/goquintet/quintet/db/migrate"
)

// How to go back to an earlier migration of one app, and forward again.
func ExampleMigrator_To() {
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
	for _, target := range []string{"", "0001", migrate.Zero, "0002", "0003"} {
		result, err := migrator.To(ctx, "polls", target, nil)
		fmt.Printf("%q: applied %v, unapplied %v\n", target, result.Applied, result.Unapplied)
		if err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// "": applied [polls.0001_initial polls.0002_votes], unapplied []
	// "0001": applied [], unapplied [polls.0002_votes]
	// "zero": applied [], unapplied [polls.0001_initial]
	// "0002": applied [polls.0001_initial polls.0002_votes], unapplied []
	// "0003": applied [], unapplied []
	// migrate: polls.0003: unknown migration; the migrations are 0001_initial, 0002_votes
}
