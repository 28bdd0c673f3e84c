package signals_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/goquintet/quintet/signals"
)

// Order is what the shop below tells about.
type Order struct {
	ID      int
	Country string
}

// Shop sends a signal of its own.
type Shop struct {
	Placed signals.Signal[Order]
}

// How does one part of a program hear of another?
func ExampleSignal() {
	var shop Shop
	disconnect := shop.Placed.Connect(func(_ context.Context, order Order) error {
		fmt.Println("confirm order", order.ID)
		return nil
	})
	ctx := context.Background()
	if err := shop.Placed.Send(ctx, Order{ID: 7}); err != nil {
		fmt.Println(err)
	}
	fmt.Println("disconnected:", disconnect())
	if err := shop.Placed.Send(ctx, Order{ID: 8}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// confirm order 7
	// disconnected: true
}

// How does a receiver stop what is being done?
func ExampleSignal_Send() {
	var shop Shop
	shop.Placed.ConnectOnce("stock", func(_ context.Context, order Order) error {
		return fmt.Errorf("order %d: sold out", order.ID)
	})
	shop.Placed.ConnectOnce("mail", func(context.Context, Order) error {
		fmt.Println("never reached")
		return nil
	})
	fmt.Println(shop.Placed.Send(context.Background(), Order{ID: 7}))
	// Output:
	// signals: receiver "stock" of signals_test.Order: order 7: sold out
}

// How do all receivers hear, whatever the others do?
func ExampleSignal_SendRobust() {
	var shop Shop
	shop.Placed.ConnectOnce("stock", func(context.Context, Order) error { return errors.New("sold out") })
	shop.Placed.ConnectOnce("mail", func(context.Context, Order) error { panic("no address") })
	shop.Placed.ConnectOnce("audit", func(context.Context, Order) error { return nil })
	for _, result := range shop.Placed.SendRobust(context.Background(), Order{ID: 7}) {
		fmt.Printf("%s: %v\n", result.Receiver, result.Err)
	}
	// Output:
	// stock: sold out
	// mail: signals: receiver panicked: no address
	// audit: <nil>
}

// How does a receiver hear some events only, as with Django's sender?
func ExampleSignal_Connect() {
	var shop Shop
	shop.Placed.Connect(func(_ context.Context, order Order) error {
		if order.Country != "CH" {
			return nil
		}
		fmt.Println("customs papers for order", order.ID)
		return nil
	})
	for _, order := range []Order{{7, "FR"}, {8, "CH"}} {
		if err := shop.Placed.Send(context.Background(), order); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// customs papers for order 8
}

// How is code that runs twice kept from being heard twice?
func ExampleSignal_ConnectOnce() {
	var shop Shop
	shop.Placed.OnDuplicate(func(d signals.Duplicate) { fmt.Println("connected already:", d.UID) })
	ready := func() {
		shop.Placed.ConnectOnce("audit", func(_ context.Context, order Order) error {
			fmt.Println("order", order.ID)
			return nil
		})
	}
	ready()
	ready()
	if err := shop.Placed.Send(context.Background(), Order{ID: 7}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// connected already: audit
	// order 7
}
