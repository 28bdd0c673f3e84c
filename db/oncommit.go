package db

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/signals"
)

// callback is what runs after the commit.
type callback struct {
	conn  *Conn
	run   func(ctx context.Context) error
	place pool.Place
}

// OnCommit runs fn after the outermost block of ctx on the default database has
// committed, and not at all when that rolls back, or a savepoint between: Django's
// on_commit. Functions run in the order of their registration. Outside of any block fn
// runs at once, and its error is returned.
//
// By then no block is open, and fn's context is one that the client's departure
// does not cancel. When a function fails or panics, the others still run, and what
// is committed stays: Atomic returns the errors, joined, as an [ErrOnCommit].
//
// Directly under a [Conn.BeginTx] it returns [ErrNoBlock]: nobody would know of the
// commit. [Conn.OnCommit] is the same for other databases.
func OnCommit(ctx context.Context, fn func(ctx context.Context) error) error {
	return From(ctx).onCommit(ctx, pool.Here(1), fn)
}

// OnCommit is the function [OnCommit] for this connection.
func (c *Conn) OnCommit(ctx context.Context, fn func(ctx context.Context) error) error {
	return c.onCommit(ctx, pool.Here(1), fn)
}

func (c *Conn) onCommit(ctx context.Context, place pool.Place, fn func(ctx context.Context) error) error {
	if fn == nil {
		panic("db: OnCommit: the function is nil")
	}
	if c.err != nil {
		return c.err
	}
	if open := c.block.Load(); open != nil && open.kind == beginBlock {
		return fmt.Errorf("%w on %q: the transaction begun at %s is one of BeginTx, whose commit nobody would tell OnCommit of; use Atomic",
			ErrNoBlock, c.alias, open.at())
	}
	b, err := c.takesPart(ctx, place, nil)
	if err != nil {
		return err
	}
	f := callback{c, fn, place}
	if b == nil || !b.register(f) {
		err := fn(ctx)
		f.tell(ctx, err)
		return err
	}
	return nil
}

// register adds a callback, unless the block has ended meanwhile.
func (b *block) register(f callback) bool {
	b.conn.mu.Lock()
	defer b.conn.mu.Unlock()
	if b.state.Load() != blockOpen {
		return false
	}
	b.callbacks = append(b.callbacks, f)
	return true
}

// runCallbacks runs what was registered; the block has ended.
func runCallbacks(ctx context.Context, callbacks []callback) error {
	if len(callbacks) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for _, f := range callbacks {
		err := f.call(ctx)
		f.tell(ctx, err)
		if err != nil {
			errs = append(errs, fmt.Errorf("registered at %s: %w", f.place.String(), err))
		}
	}
	if errs == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrOnCommit, errors.Join(errs...))
}

// call makes an error of a panic, which must not keep the others from running.
func (f callback) call(ctx context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return f.run(ctx)
}

// tell tells the receivers of CallbackFinished. They have the callback's context
// without its scope, whose connections they must not use.
func (f callback) tell(ctx context.Context, err error) {
	cs := f.conn.scope.connections
	if cs.bus == nil || !cs.bus.CallbackFinished.HasReceivers() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(unscoped{ctx}), signalLimit)
	defer cancel()
	cs.report(cs.bus.CallbackFinished.SendRobust(ctx, signals.CallbackFinished{Alias: f.conn.alias, At: f.place.String(), Err: err}))
}
