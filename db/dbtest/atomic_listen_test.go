package dbtest_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/signals/hub"
)

// A hub that listens would wait for ever: nothing commits.
func TestAtomic_AHubThatListensIsRefusedAndOneOfTheProcessWorks(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		if db.From(ctx).Dialect().Name().String() == "pg" {
			_, err := hub.New(ctx, postgres.Listen(conns, db.DefaultAlias, "fruit")).Subscribe(ctx)
			for _, err := range []error{err, postgres.Notify(ctx, db.DefaultAlias, "fruit", "pear")} {
				if !errors.Is(err, dbtest.ErrWrapped) || !strings.Contains(err.Error(), "use dbtest.Database") {
					t.Errorf("%v, want ErrWrapped and the way out", err)
				}
			}
		}
		var added hub.Hub[string]
		seq, err := added.Subscribe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Atomic(ctx, func(ctx context.Context) error {
			if err := add(ctx, "pear"); err != nil {
				return err
			}
			return db.OnCommit(ctx, func(context.Context) error {
				added.Publish("pear")
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		for fruit, err := range seq {
			if fruit != "pear" || err != nil {
				t.Errorf("%q, %v", fruit, err)
			}
			break
		}
	})
}
