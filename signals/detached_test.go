package signals_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/signals"
)

type key struct{}

func TestDetached_HasTheValuesOfAnotherAndAnEndOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, asked := range map[string]bool{"Done is asked for": true, "nobody asks for Done": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				parent, leave := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
				d := signals.Detach(parent, time.Second)
				defer d.End()
				leave()
				if asked {
					select {
					case <-d.Done():
						t.Error("it ends with the other one")
					default:
					}
				}
				if at, ok := d.Deadline(); !ok || time.Until(at) != time.Second {
					t.Errorf("the deadline is %v, %t", at, ok)
				}
				if d.Value(key{}) != "value" || d.Err() != nil || context.Cause(d) != nil {
					t.Errorf("value %v, error %v, cause %v", d.Value(key{}), d.Err(), context.Cause(d))
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if !errors.Is(d.Err(), context.DeadlineExceeded) {
					t.Errorf("after its deadline: %v", d.Err())
				}
				<-d.Done()
			})
		})
	}
}

func TestDetached_EndEndsWhatWasMadeOfIt(t *testing.T) {
	t.Parallel()
	early, late := signals.Detach(t.Context(), time.Minute), signals.Detach(t.Context(), time.Minute)
	below, cancel := context.WithCancel(early)
	defer cancel()
	early.End()
	late.End()
	<-below.Done()
	<-late.Done()
	late.End()
	for what, ctx := range map[string]context.Context{"asked before": early, "asked after": late, "below": below} {
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("%s: %v", what, ctx.Err())
		}
	}
}

func TestDetached_CostsNoTimerWhenNobodyAsksForDone(t *testing.T) { //nolint:paralleltest // it counts allocations
	if n := testing.AllocsPerRun(100, func() {
		d := signals.Detach(t.Context(), time.Minute)
		if d.Err() != nil {
			t.Error(d.Err())
		}
		d.End()
	}); n > 2 {
		t.Errorf("it takes %v allocations, want 2", n)
	}
}
