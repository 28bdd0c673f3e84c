// Package signalstest records what a signal sends while a test runs. It is for
// tests only: nothing but tests may import it.
package signalstest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/signals"
)

// patience is how long Wait waits in a test that has no deadline of its own.
const patience = 10 * time.Second

// Recorder keeps the events of one signal, in the order in which they arrived.
// What an event points to is not copied. [Recorder.Wait] is for the goroutine of
// the test; the other methods may be called from any.
type Recorder[E any] struct {
	t testing.TB

	mu      sync.Mutex // guards the following fields
	events  []E
	arrived chan struct{} // closed by the next event; nil while nobody waits
}

// Record connects a recorder to s and disconnects it in the cleanup of t. It is
// a receiver like any other: after an earlier receiver has failed, a Send does
// not reach it.
func Record[E any](t testing.TB, s *signals.Signal[E]) *Recorder[E] {
	r := &Recorder[E]{t: t}
	disconnect := s.Connect(r.receive)
	t.Cleanup(func() { disconnect() })
	return r
}

func (r *Recorder[E]) receive(_ context.Context, event E) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event)
	if r.arrived != nil {
		close(r.arrived)
		r.arrived = nil
	}
	return nil
}

// Events returns a copy of what has arrived since Record or the last Reset; nil
// when nothing has.
func (r *Recorder[E]) Events() []E {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Reset forgets what has arrived.
func (r *Recorder[E]) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = nil
}

// Wait waits until at least n events have arrived since Record or the last Reset
// and returns a copy of all that have: at once when they are there already.
// Otherwise it fails the test after 10 seconds, or shortly before the test's
// deadline when that comes first, and prints what did arrive. In a testing/synctest
// bubble the 10 seconds are the bubble's. Wait must be called from the goroutine of
// the test, as t.FailNow must.
func (r *Recorder[E]) Wait(n int) []E {
	r.t.Helper()
	limit := limit(r.t)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		events, arrived := r.look(n)
		if arrived == nil {
			return events
		}
		select {
		case <-arrived:
		case <-timer.C:
			r.t.Fatalf("signalstest: waited %v for %d events of %v, %s", limit, n, reflect.TypeFor[E](), list(events))
			return events
		}
	}
}

// look returns the events and, when there are fewer than n, a channel that the
// next one closes.
func (r *Recorder[E]) look(n int) ([]E, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := slices.Clone(r.events)
	if len(events) >= n {
		return events, nil
	}
	if r.arrived == nil {
		r.arrived = make(chan struct{})
	}
	return events, r.arrived
}

// limit leaves a tenth of the time to the deadline unused: at the deadline itself
// the whole test binary dies, and what arrived would not be printed.
func limit(t testing.TB) time.Duration {
	deadline, ok := deadline(t)
	if !ok {
		return patience
	}
	return min(patience, time.Until(deadline)/10*9)
}

// deadline recovers because a *testing.T refuses to tell its deadline inside a
// testing/synctest bubble, by a panic: the bubble's clock has nothing to do with
// it. There is no way to ask first.
func deadline(t testing.TB) (deadline time.Time, ok bool) {
	dated, ok := t.(interface{ Deadline() (time.Time, bool) }) // *testing.T; not *testing.B
	if !ok {
		return time.Time{}, false
	}
	defer func() {
		if recover() != nil {
			deadline, ok = time.Time{}, false
		}
	}()
	return dated.Deadline()
}

func list[E any](events []E) string {
	if len(events) == 0 {
		return "got none"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "got %d:", len(events))
	for i, event := range events {
		fmt.Fprintf(&b, "\n\t%d. %+v", i+1, event)
	}
	return b.String()
}
