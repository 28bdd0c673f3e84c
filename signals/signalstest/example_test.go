package signalstest_test

import (
	"context"
	"testing"

	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/signals/signalstest"
)

// Order and Shop are a program under test: placing an order tells about it, some
// time later and from another goroutine.
type Order struct{ ID int }

type Shop struct{ Placed signals.Signal[Order] }

func (s *Shop) Place(ctx context.Context, id int) {
	go func() { s.Placed.SendRobust(ctx, Order{ID: id}) }()
}

// How does a test see what was sent, without sleeping?
func TestPlacingAnOrderIsAnnounced(t *testing.T) {
	t.Parallel()
	var shop Shop
	placed := signalstest.Record(t, &shop.Placed)

	shop.Place(t.Context(), 7)

	if orders := placed.Wait(1); orders[0].ID != 7 {
		t.Errorf("order %d was announced, want 7", orders[0].ID)
	}
}
