package postgres_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres"
)

// COPY, in the transaction of the block.
func ExampleRaw() {
	load := func(ctx context.Context, rows [][]any) error {
		return db.Atomic(ctx, func(ctx context.Context) error {
			return postgres.Raw(ctx, "default", func(conn *pgx.Conn) error {
				_, err := conn.CopyFrom(ctx, pgx.Identifier{"sales"}, []string{"region", "amount"}, pgx.CopyFromRows(rows))
				return err
			})
		})
	}
	_ = load
}

// A listener keeps a connection of its own, beside the pool.
func ExampleRawOf() {
	listen := func(ctx context.Context, conns *db.Connections) error {
		listener, err := conns.Dedicated(ctx, "default", "mail listener")
		if err != nil {
			return err
		}
		defer listener.Close()
		if _, err := listener.ExecContext(ctx, "LISTEN mail"); err != nil {
			return err
		}
		return postgres.RawOf(ctx, listener, func(conn *pgx.Conn) error {
			for {
				n, err := conn.WaitForNotification(ctx)
				if err != nil {
					return err
				}
				fmt.Println(n.Channel, n.Payload)
			}
		})
	}
	_ = listen
}
