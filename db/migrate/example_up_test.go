package migrate_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing/fstest"

	"github.com/goquintet/quintet/db/migrate"
)

// migrations stands for an embedded folder:
//
//	//go:embed migrations
//	var migrations embed.FS
var migrations = fstest.MapFS{
	"migrations/0001_initial.sql": {Data: []byte(`-- +goose Up
CREATE TABLE polls_question (
    id   integer PRIMARY KEY,
    text text NOT NULL
);
-- +goose Down
DROP TABLE polls_question;
`)},
	"migrations/0002_votes.sql": {Data: []byte(`-- +goose Up
ALTER TABLE polls_question ADD COLUMN votes integer NOT NULL DEFAULT 0;
-- +goose Down
ALTER TABLE polls_question DROP COLUMN votes;
`)},
}

// How to apply what is pending, with a line for each migration.
func ExampleMigrator_Up() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection to ":memory:" is a database of its own

	migrator, err := migrate.New(db, "sqlite", []migrate.Source{{App: "polls", FS: migrations}}, migrate.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := migrator.Up(ctx, func(e migrate.Event) {
		switch {
		case !e.Done:
			fmt.Printf("Applying %s.%s...", e.App, e.Name)
		case e.Err != nil:
			fmt.Println(" failed")
		default:
			fmt.Println(" OK")
		}
	})
	fmt.Println(len(result.Applied), err)
	// Output:
	// Applying polls.0001_initial... OK
	// Applying polls.0002_votes... OK
	// 2 <nil>
}
