package signals

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
)

// Signal tells its receivers that something has happened: Django's Signal, with
// an event of type E in place of keyword arguments. The zero value is ready and
// has no receivers. All methods may be called from several goroutines at once.
// A Signal must not be copied after first use; go vet reports copies.
type Signal[E any] struct {
	receivers atomic.Pointer[[]*receiver[E]] // replaced, never edited: sends read it without a lock

	mu          sync.Mutex // serialises replacing receivers; guards the following field
	onDuplicate func(Duplicate)
}

// Connect adds a receiver after those already connected; it hears every event
// from the next send on, until it is disconnected. Connecting the same function
// again adds it again: see [Signal.ConnectOnce].
//
// The returned function disconnects this receiver: it returns true the first
// time, and false when the receiver is already gone. It may be called from
// anywhere, also from the receiver itself.
//
// Connect panics when receive is nil, naming the place that called it.
func (s *Signal[E]) Connect(receive func(ctx context.Context, event E) error) (disconnect func() bool) {
	return s.connect("", receive, here())
}

// ConnectOnce is Connect for a receiver with a name: Django's dispatch_uid. When
// the signal already has a receiver with this uid, nothing changes: the first
// stays, the returned function removes nothing and returns false, and
// [Signal.OnDuplicate] hears of both places. Errors and results name the receiver
// by its uid.
//
// A uid is free again once its receiver is disconnected. The function returned
// for the former receiver does not touch the new one.
//
// ConnectOnce panics when receive is nil or uid is empty, naming the place that
// called it.
func (s *Signal[E]) ConnectOnce(uid string, receive func(ctx context.Context, event E) error) (disconnect func() bool) {
	at := here()
	if uid == "" {
		panic(fmt.Sprintf("signals: empty uid connected at %s: name the receiver, or use Connect", at))
	}
	return s.connect(uid, receive, at)
}

// Disconnect removes the receiver that was connected with this uid and reports
// whether there was one. A receiver without a uid is removed by the function that
// [Signal.Connect] returned.
func (s *Signal[E]) Disconnect(uid string) bool {
	return uid != "" && s.remove(func(r *receiver[E]) bool { return r.uid == uid })
}

// Send calls the receivers in the order of connecting, in the caller's goroutine:
// Django's send. It stops at the first error and returns it wrapped with the
// receiver's name; later receivers do not hear the event. A panic in a receiver
// is not recovered. Without receivers Send does nothing and returns nil.
func (s *Signal[E]) Send(ctx context.Context, event E) error {
	for _, r := range s.snapshot() {
		if err := r.receive(ctx, event); err != nil {
			return fmt.Errorf("signals: receiver %q of %s: %w", r.name(), s.event(), err)
		}
	}
	return nil
}

// SendRobust calls every receiver in the order of connecting, in the caller's
// goroutine, whatever the others do: Django's send_robust. It returns one Result
// for each, in the same order, with a nil Err for those that were content; a
// panic becomes a [PanicError]. Without receivers it returns nil. It neither logs
// nor joins anything: errors that the caller does not read are lost.
func (s *Signal[E]) SendRobust(ctx context.Context, event E) []Result {
	receivers := s.snapshot()
	if len(receivers) == 0 {
		return nil
	}
	results := make([]Result, len(receivers))
	for i, r := range receivers {
		results[i] = Result{Receiver: r.name(), Err: r.recovered(ctx, event)}
	}
	return results
}

// HasReceivers reports whether a send would call anybody, for senders whose event
// is costly to make: Django's has_listeners.
func (s *Signal[E]) HasReceivers() bool {
	return len(s.snapshot()) > 0
}

// OnDuplicate has report called for every later [Signal.ConnectOnce] whose uid is
// taken, in the goroutine that connects; a site in DEBUG logs what it says. A
// signal has one such function: setting it replaces the former, nil removes it.
func (s *Signal[E]) OnDuplicate(report func(Duplicate)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onDuplicate = report
}

// Duplicate is a [Signal.ConnectOnce] that changed nothing because its uid was
// taken. First and Second are functions with file and line, such as
// "example.com/blog/polls.Ready (polls.go:31)".
type Duplicate struct {
	Event  string // the type of the signal's event, such as "signals.RequestFinished"
	UID    string
	First  string // who connected the receiver that stays
	Second string // who tried to connect another
}

func (s *Signal[E]) connect(uid string, receive func(context.Context, E) error, at place) func() bool {
	if receive == nil {
		panic(fmt.Sprintf("signals: nil receiver connected at %s: pass a function", at))
	}
	r := newReceiver(uid, receive, at)
	first, report := s.add(r)
	if first == nil {
		return func() bool { return s.remove(func(other *receiver[E]) bool { return other == r }) }
	}
	if report != nil { // called without the lock: it may use the signal
		report(Duplicate{Event: s.event(), UID: uid, First: first.at.String(), Second: at.String()})
	}
	return func() bool { return false }
}

// add appends r, unless its uid is taken: then it returns who has it, and whom to
// tell.
func (s *Signal[E]) add(r *receiver[E]) (first *receiver[E], report func(Duplicate)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.snapshot()
	if r.uid != "" {
		if i := slices.IndexFunc(old, func(other *receiver[E]) bool { return other.uid == r.uid }); i >= 0 {
			return old[i], s.onDuplicate
		}
	}
	list := slices.Concat(old, []*receiver[E]{r})
	s.receivers.Store(&list)
	return nil, nil
}

func (s *Signal[E]) remove(match func(*receiver[E]) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.snapshot()
	i := slices.IndexFunc(old, match)
	if i < 0 {
		return false
	}
	list := slices.Concat(old[:i], old[i+1:])
	s.receivers.Store(&list)
	return true
}

func (s *Signal[E]) snapshot() []*receiver[E] {
	if list := s.receivers.Load(); list != nil {
		return *list
	}
	return nil
}

func (s *Signal[E]) event() string {
	return reflect.TypeFor[E]().String()
}
