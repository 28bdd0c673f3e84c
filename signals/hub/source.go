package hub

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Source says what is new, until ctx ends. It is the only one of its hub at a time. When
// it returns, the sequences of all subscribers end, with its error if it has one; the
// next subscriber starts it again. Its panics are errors.
//
// Subscribers wait for it to be ready, so that they miss nothing: it says so with
// Ready, or with the first value. The error of one that returns before goes to those
// that wait.
type Source[T any] func(ctx context.Context, feed Feed[T]) error

// Feed is what a source talks to. Nothing in it waits. Its methods may be called
// concurrently.
type Feed[T any] interface {
	// Ready says that from now on nothing is missed.
	Ready()

	// Publish hands a value to all subscribers.
	Publish(value T)

	// Gap tells them that they may have missed something. To be called when nothing
	// is missed any more, so that who reads the state anew has all of it.
	Gap(why error)
}

// run is one run of the source.
type run struct {
	cancel  context.CancelCauseFunc
	ready   chan struct{} // closed when it is
	isReady bool          // guarded by the hub
	stopped bool          // nobody listened any more; likewise
	done    chan struct{} // closed when it has returned
	err     error         // set before done
}

var errNobody = errors.New("hub: nobody listens any more")

// startLocked starts the source.
func (h *Hub[T]) startLocked() {
	ctx, cancel := context.WithCancelCause(h.ctx)
	r := &run{cancel: cancel, ready: make(chan struct{}), done: make(chan struct{})}
	h.run, h.begun = r, h.next
	go func() {
		err := h.source.run(ctx, &feed[T]{h, r})
		cancel(nil)
		h.finish(r, err)
	}()
}

// run runs the source; a panic is an error.
func (s Source[T]) run(ctx context.Context, feed Feed[T]) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("hub: the source has panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return s(ctx, feed)
}

// finish ends a run of the source. What it returns after nobody listened any more is
// nobody's concern.
func (h *Hub[T]) finish(r *run, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.run, r.err = nil, err
	switch {
	case h.ctx.Err() != nil:
		h.endLocked(context.Cause(h.ctx))
	case r.isReady && !r.stopped:
		h.appendLocked(entry[T]{err: err, last: true})
	}
	if err == nil {
		r.err = fmt.Errorf("%w: the source", ErrEnded)
	}
	close(r.done)
}

// feed is the Feed of one run.
type feed[T any] struct {
	hub *Hub[T]
	run *run
}

func (f *feed[T]) Ready() {
	f.hub.mu.Lock()
	defer f.hub.mu.Unlock()
	if !f.run.isReady {
		f.run.isReady = true
		close(f.run.ready)
	}
}

func (f *feed[T]) Publish(value T) {
	f.hub.Publish(value)
	f.Ready()
}

func (f *feed[T]) Gap(why error) { f.hub.Gap(why) }

// Every is a source that asks next at once and then every d, and publishes what it
// says. An error of next is told as a gap, and next is asked again. With Replay: 1
// those that come between two values have the last one at once.
func Every[T any](d time.Duration, next func(ctx context.Context) (T, error)) Source[T] {
	return func(ctx context.Context, feed Feed[T]) error {
		ticker := time.NewTicker(d)
		defer ticker.Stop()
		feed.Ready()
		for {
			value, err := next(ctx)
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil:
				feed.Gap(err)
			default:
				feed.Publish(value)
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// Map is a source that makes other values of those of source, once for all
// subscribers. An error of convert is told as a gap in the place of the value.
func Map[A, B any](source Source[A], convert func(ctx context.Context, value A) (B, error)) Source[B] {
	return func(ctx context.Context, feed Feed[B]) error {
		return source(ctx, &mapped[A, B]{feed, ctx, convert})
	}
}

type mapped[A, B any] struct {
	Feed[B]
	ctx     context.Context // of the run
	convert func(ctx context.Context, value A) (B, error)
}

func (m *mapped[A, B]) Publish(value A) {
	converted, err := m.convert(m.ctx, value)
	if err != nil {
		m.Gap(err)
		return
	}
	m.Feed.Publish(converted)
}
