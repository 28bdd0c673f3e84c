package postgres_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/signals/hub"
)

// One connection listens for all who subscribe. A whole page that does is package
// app's example "live".
func ExampleListen() {
	follow := func(ctx context.Context, changes *hub.Hub[postgres.Notification]) error {
		seq, err := changes.Subscribe(ctx)
		if err != nil {
			return err
		}
		for n, err := range seq {
			switch {
			case errors.Is(err, hub.ErrGap):
				fmt.Println("read everything anew:", err)
			case err != nil:
				return err // ctx has ended, or the connections are closed
			default:
				fmt.Println(n.Channel, n.Payload)
			}
		}
		return nil
	}
	start := func(ctx context.Context, conns *db.Connections) *hub.Hub[postgres.Notification] {
		return hub.New(ctx, postgres.Listen(conns, db.DefaultAlias, "sales", "stock"))
	}
	_, _ = follow, start
}
