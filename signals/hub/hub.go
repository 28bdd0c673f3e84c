package hub

import (
	"context"
	"fmt"
	"sync"
)

// Policy is what it means to a subscriber that it has fallen behind by more values than
// the hub keeps.
type Policy int

const (
	// TellGap tells it with an [ErrGap] how many values it has missed, and goes on
	// with the oldest that is left.
	TellGap Policy = iota

	// Latest means nothing to it: of all values that wait for it, it gets the newest
	// only. For what is a state, and no step.
	Latest

	// Disconnect ends its sequence with [ErrSlow].
	Disconnect
)

// Options shape a [Hub]. The zero value means the defaults.
type Options struct {
	// Keep is how many values the hub keeps for those that are behind; 0 is 64.
	Keep int

	// Replay is how many of the last values a new subscriber gets at once, at most
	// Keep: 1 where a value is a state. While nobody listens nothing is kept.
	Replay int
}

const defaultKeep = 64

// Hub hands each value to all subscribers. The zero value is ready, without a source.
// All methods may be called concurrently.
type Hub[T any] struct {
	ctx     context.Context // nil never ends
	source  Source[T]
	options Options

	mu          sync.Mutex // guards the rest
	ring        []entry[T] // entry n is at n % len
	kept        uint64     // entries in it
	next        uint64     // the number of the next entry
	begun       uint64     // what next was when the source started
	changed     chan struct{}
	subscribers int
	run         *run  // of the source; nil while it does not run
	over        error // why there is nothing any more
	stats       Stats
}

// entry is a value, or what there is instead.
type entry[T any] struct {
	value T
	err   error
	last  bool // nothing follows, for those that come to it
}

// Stats are the numbers of a hub at one moment.
type Stats struct {
	Subscribers int
	Running     bool // the source

	// Since the hub was made:
	Published uint64 // values, while somebody listened
	Gaps      uint64 // told by the source
	Missed    uint64 // values that slow subscribers did not get, one for each; those of Latest do not count
	Slow      uint64 // subscribers that were disconnected
}

// New returns a hub whose source runs while somebody listens, in a goroutine of its
// own, on a context of ctx's; it may be nil. With the end of ctx the hub is over: every
// subscriber's last pair is the cause. It starts nothing.
//
// New panics when Keep or Replay is negative, or Replay more than Keep.
func New[T any](ctx context.Context, source Source[T], options ...Options) *Hub[T] {
	h := &Hub[T]{ctx: ctx, source: source}
	if len(options) > 0 {
		h.options = options[0]
	}
	if o := h.options; o.Keep < 0 || o.Replay < 0 || o.Replay > h.keep() {
		panic(fmt.Sprintf("hub: Keep %d and Replay %d: neither may be negative, nor Replay more than Keep", o.Keep, o.Replay))
	}
	context.AfterFunc(ctx, func() { h.end(context.Cause(ctx)) })
	return h
}

func (h *Hub[T]) keep() int {
	if h.options.Keep == 0 {
		return defaultKeep
	}
	return h.options.Keep
}

// Publish hands a value to all who listen now. It waits for nobody.
func (h *Hub[T]) Publish(value T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.appendLocked(entry[T]{value: value}) {
		h.stats.Published++
	}
}

// Gap tells all who listen now that they may have missed something, and why: their
// next pair is an [ErrGap]. It waits for nobody.
func (h *Hub[T]) Gap(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.appendLocked(entry[T]{err: &GapError{Err: why}}) {
		h.stats.Gaps++
	}
}

// Stats returns the numbers of this moment.
func (h *Hub[T]) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.stats
	s.Subscribers, s.Running = h.subscribers, h.run != nil
	return s
}

// end makes the hub one that is over.
func (h *Hub[T]) end(cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.endLocked(cause)
}

func (h *Hub[T]) endLocked(cause error) {
	if h.over == nil {
		h.appendLocked(entry[T]{err: cause, last: true})
		h.over = cause
	}
}

// appendLocked adds an entry and wakes who waits for one. It reports whether there is
// anybody.
func (h *Hub[T]) appendLocked(e entry[T]) bool {
	if h.subscribers == 0 || h.over != nil {
		return false
	}
	if h.ring == nil {
		h.ring = make([]entry[T], h.keep())
	}
	h.ring[h.next%uint64(len(h.ring))] = e
	h.next++
	h.kept = min(h.kept+1, uint64(len(h.ring)))
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
	return true
}

// at returns an entry that is kept.
func (h *Hub[T]) at(n uint64) entry[T] { return h.ring[n%uint64(len(h.ring))] }

// joinLocked counts a subscriber in.
func (h *Hub[T]) joinLocked() { h.subscribers++ }

// leaveLocked counts one out. After the last one the source stops, and nothing is kept.
func (h *Hub[T]) leaveLocked() {
	h.subscribers--
	if h.subscribers > 0 {
		return
	}
	clear(h.ring)
	h.kept = 0
	if h.run != nil {
		h.run.stopped = true
		h.run.cancel(errNobody)
	}
}
