package db_test

import (
	"context"
	"fmt"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/sqlite"
)

// A library wants a *sql.DB. This one takes its connections from the same queue, and
// is named among the holders.
func ExampleConnections_SQLDB() {
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
	sqldb := conns.SQLDB("default")
	defer sqldb.Close()

	tx, err := sqldb.BeginTx(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, holder := range conns.Holders() {
		fmt.Println(holder.Name, "in a transaction:", holder.InAtomicBlock)
	}
	fmt.Println(tx.Rollback(), "in use:", conns.Stats("default").InUse)

	// Output:
	// sql.DB in a transaction: true
	// <nil> in use: 0
}
