package hub

import (
	"context"
	"fmt"
	"iter"
)

// Subscribe returns what the hub says from now on, for one loop. It waits until the
// source is ready, the first time, so that a state which is read after Subscribe lacks
// nothing that the sequence does not bring. It returns the error of a source that does
// not start, and the cause of a context that ends meanwhile.
//
// An [ErrGap] is a pair like others; every other error is the last pair: ctx' cause,
// that of the hub's context, what the source returned, [ErrSlow]. When the source ends
// without an error, so does the sequence.
//
// The subscription ends with the loop or with ctx, also when nobody has ranged over it.
// Without a policy it is TellGap.
func (h *Hub[T]) Subscribe(ctx context.Context, policy ...Policy) (iter.Seq2[T, error], error) {
	s := &subscription[T]{hub: h, ctx: ctx}
	if len(policy) > 0 {
		s.policy = policy[0]
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.joinLocked()
	from := h.next
	if err := h.awaitSourceLocked(ctx); err != nil {
		h.leaveLocked()
		return nil, err
	}
	s.next = max(min(from, h.next-min(h.kept, uint64(h.options.Replay))), h.begun)
	s.unwatch = context.AfterFunc(ctx, s.leave)
	return s.values, nil
}

// awaitSourceLocked waits until the source runs and is ready, without the lock.
func (h *Hub[T]) awaitSourceLocked(ctx context.Context) error {
	for {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case h.over != nil:
			return h.over
		case h.source == nil:
			return nil
		case h.ctx.Err() != nil: // it is just about to be over
			return context.Cause(h.ctx)
		case h.run == nil:
			h.startLocked()
		case h.run.isReady && !h.run.stopped:
			return nil
		}
		r, stopped := h.run, h.run.stopped
		ready := r.ready
		if stopped { // by the one that was the last; the next one starts it again
			ready = nil
		}
		h.mu.Unlock()
		select {
		case <-ready:
		case <-r.done:
		case <-ctx.Done():
		}
		h.mu.Lock()
		if h.run != r && !stopped {
			return r.err
		}
	}
}

// subscription is one place among the values of a hub.
type subscription[T any] struct {
	hub     *Hub[T]
	ctx     context.Context
	policy  Policy
	unwatch func() bool

	// Guarded by hub.mu.
	next   uint64 // the entry that it reads next
	ranged bool
	left   bool
}

// leave counts the subscription out, once.
func (s *subscription[T]) leave() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if !s.left {
		s.left = true
		s.unwatch()
		s.hub.leaveLocked()
	}
}

// values is the sequence.
func (s *subscription[T]) values(yield func(T, error) bool) {
	defer s.leave()
	if err := s.begin(); err != nil {
		var none T
		yield(none, err)
		return
	}
	for {
		e := s.await()
		if e.last && e.err == nil {
			return
		}
		if !yield(e.value, e.err) || e.last {
			return
		}
	}
}

// begin refuses a second loop.
func (s *subscription[T]) begin() error {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.ranged {
		return fmt.Errorf("%w: a subscription is for one loop", ErrEnded)
	}
	s.ranged = true
	return nil
}

// await waits for the next entry.
func (s *subscription[T]) await() entry[T] {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	for s.ctx.Err() == nil {
		if e, ok := s.takeLocked(); ok {
			return e
		}
		if h.changed == nil {
			h.changed = make(chan struct{})
		}
		changed := h.changed
		h.mu.Unlock()
		select {
		case <-changed:
		case <-s.ctx.Done():
		}
		h.mu.Lock()
	}
	return entry[T]{err: context.Cause(s.ctx), last: true}
}

// takeLocked takes the next entry, if there is one.
func (s *subscription[T]) takeLocked() (e entry[T], ok bool) {
	h := s.hub
	oldest := h.next - h.kept
	switch {
	case s.next == h.next:
		return e, false
	case s.policy == Latest:
		newest := h.next - 1
		if s.next < newest && oldest < newest && h.at(newest).last { // the newest value comes before the end
			newest--
		}
		s.next = newest + 1
		return h.at(newest), true
	case s.next >= oldest:
		s.next++
		return h.at(s.next - 1), true
	case s.policy == Disconnect:
		h.stats.Slow++
		return entry[T]{err: fmt.Errorf("%w: it is %d values behind, and %d are kept", ErrSlow, h.next-s.next, len(h.ring)), last: true}, true
	}
	missed := oldest - s.next
	h.stats.Missed += missed
	s.next = oldest
	return entry[T]{err: &GapError{Missed: missed}}, true
}
