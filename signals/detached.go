package signals

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Detached is the context on which something is told that has to be told whoever has
// left meanwhile: it has the values of another one, not its end, and a deadline of its
// own. Few receivers wait for anything, so that the timer is made when somebody asks for
// Done. Its methods may be called concurrently.
type Detached struct {
	context.Context // without its end
	deadline        time.Time
	made            atomic.Bool // own and end are there
	over            atomic.Bool

	mu  sync.Mutex // guards making them
	own context.Context
	end context.CancelFunc
}

// Detach returns a context that ends after the limit, or with [Detached.End], which has
// to be called.
func Detach(ctx context.Context, limit time.Duration) *Detached {
	return &Detached{Context: context.WithoutCancel(ctx), deadline: time.Now().Add(limit)}
}

// Deadline implements [context.Context].
func (d *Detached) Deadline() (deadline time.Time, ok bool) { return d.deadline, true }

// Done implements [context.Context].
func (d *Detached) Done() <-chan struct{} {
	if !d.made.Load() {
		d.make()
	}
	return d.own.Done()
}

// Err implements [context.Context].
func (d *Detached) Err() error {
	switch {
	case d.made.Load():
		return d.own.Err()
	case d.over.Load():
		return context.Canceled
	case !time.Now().Before(d.deadline):
		return context.DeadlineExceeded
	}
	return nil
}

// Value implements [context.Context].
func (d *Detached) Value(key any) any {
	// Package context looks for its own contexts in this way: they must find the one
	// whose Done this is.
	if d.made.Load() {
		return d.own.Value(key)
	}
	return d.Context.Value(key)
}

func (d *Detached) make() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made.Load() {
		return
	}
	d.own, d.end = context.WithDeadline(d.Context, d.deadline)
	d.made.Store(true)
	if d.over.Load() {
		d.end()
	}
}

// End ends the context. It may be called again.
func (d *Detached) End() {
	d.over.Store(true)
	if d.made.Load() {
		d.end()
	}
}
