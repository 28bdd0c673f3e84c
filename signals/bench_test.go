package signals_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/goquintet/quintet/signals"
)

// The events that are sent most, to receivers that do nothing.
func busWith(receivers int) *signals.Bus {
	bus := new(signals.Bus)
	for range receivers {
		bus.RequestFinished.Connect(func(context.Context, signals.RequestFinished) error { return nil })
	}
	return bus
}

func BenchmarkSend(b *testing.B) {
	for _, receivers := range []int{0, 1, 4} {
		b.Run(strconv.Itoa(receivers), func(b *testing.B) {
			bus, ctx := busWith(receivers), b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if err := bus.RequestFinished.Send(ctx, signals.RequestFinished{Status: 200}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSendRobust(b *testing.B) {
	for _, receivers := range []int{0, 1, 4} {
		b.Run(strconv.Itoa(receivers), func(b *testing.B) {
			bus, ctx := busWith(receivers), b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if got := len(bus.RequestFinished.SendRobust(ctx, signals.RequestFinished{Status: 200})); got != receivers {
					b.Fatalf("%d results, want %d", got, receivers)
				}
			}
		})
	}
}

// Not parallel: allocations are counted for the whole process.
func TestSendAllocatesNothing(t *testing.T) {
	ctx := t.Context()
	for _, receivers := range []int{0, 1, 4} {
		bus := busWith(receivers)
		if got := testing.AllocsPerRun(100, func() {
			_ = bus.RequestFinished.Send(ctx, signals.RequestFinished{Status: 200})
		}); got != 0 {
			t.Errorf("Send to %d receivers allocates %v times, want 0", receivers, got)
		}
	}
}

// Not parallel: allocations are counted for the whole process.
func TestSendRobustAllocatesTheResultsAndNothingWithoutReceivers(t *testing.T) {
	ctx := t.Context()
	for receivers, want := range map[int]float64{0: 0, 1: 1, 4: 1} {
		bus := busWith(receivers)
		var results []signals.Result
		if got := testing.AllocsPerRun(100, func() {
			results = bus.RequestFinished.SendRobust(ctx, signals.RequestFinished{Status: 200})
		}); got != want {
			t.Errorf("SendRobust to %d receivers allocates %v times, want %v", receivers, got, want)
		}
		if len(results) != receivers {
			t.Errorf("SendRobust to %d receivers returned %d results", receivers, len(results))
		}
	}
}
