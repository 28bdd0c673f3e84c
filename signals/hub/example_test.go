package hub_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/goquintet/quintet/signals/hub"
)

// A site of one process needs no source: a view publishes what it has committed, in a
// function that it gives to db.OnCommit. Package app's example "live" is the same for
// many processes.
func ExampleHub_Publish() {
	var sold hub.Hub[string]
	ctx, closeTab := context.WithCancelCause(context.Background())
	defer closeTab(nil)

	sales, err := sold.Subscribe(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	sold.Publish("a drum")
	sold.Publish("a lute")
	for product, err := range sales {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(product)
		if product == "a lute" {
			closeTab(errors.New("the tab is closed"))
		}
	}
	// Output:
	// a drum
	// a lute
	// the tab is closed
}

// Who is too slow for some values wants the newest of a state, or hears of a gap.
func ExampleHub_Subscribe() {
	temperature := hub.New[int](context.Background(), nil, hub.Options{Keep: 3})
	display, err := temperature.Subscribe(context.Background(), hub.Latest)
	if err != nil {
		fmt.Println(err)
		return
	}
	recorder, err := temperature.Subscribe(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	for degrees := 15; degrees < 20; degrees++ {
		temperature.Publish(degrees)
	}
	for degrees := range display {
		fmt.Println("display:", degrees)
		break
	}
	for degrees, err := range recorder {
		if errors.Is(err, hub.ErrGap) {
			fmt.Println("recorder:", err)
			continue
		}
		fmt.Println("recorder:", degrees)
		if degrees == 19 {
			break
		}
	}
	// Output:
	// display: 19
	// recorder: hub: something was missed; read the state anew: 2 values came faster than they were read
	// recorder: 17
	// recorder: 18
	// recorder: 19
}
