package dbtest_test

import (
	"context"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// A test of code that needs a real database, on both engines, and fails when it
// leaves a lease, a goroutine or a row of another test behind.
func Example() {
	// func TestMain(m *testing.M) { dbtest.Main(m) }

	_ = func(t *testing.T) { // TestTransfer
		t.Parallel()
		dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
			dbtest.Goroutines(t)
			conns := dbtest.Open(t, settings)
			err := conns.Run(t.Context(), "transfer", func(ctx context.Context) error {
				_, err := db.From(ctx).ExecContext(ctx, "CREATE TABLE accounts (id integer PRIMARY KEY)")
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
