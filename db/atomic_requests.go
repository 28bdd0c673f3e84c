package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/goquintet/quintet/db/pool"
)

// AtomicRequestsOptions say which blocks [Scope.AtomicRequests] opens, and how.
type AtomicRequestsOptions struct {
	// Except are aliases that are left out.
	Except []string
	// Deferred is for requests that mostly read: where an engine locks when a
	// transaction begins (SQLite), these do so when they first write, which is an
	// [ErrSerialization] when somebody else has written meanwhile.
	Deferred bool
}

// RequestBlocks are the blocks that ATOMIC_REQUESTS puts around one view, one for each
// alias with that setting. A nil one has none. Its methods are called by the
// goroutine that serves the request.
type RequestBlocks struct {
	blocks []*block // the outermost context first
	outer  context.Context
	over   atomic.Bool
}

// AtomicRequests opens the blocks that the settings ask for, and returns the context
// that has them. It sends nothing: a block begins, and leases a connection, with
// its first statement. Who calls it must call Commit or Rollback. It returns an
// error when the scope is in a block already.
func (sc *Scope) AtomicRequests(ctx context.Context, o AtomicRequestsOptions) (context.Context, *RequestBlocks, error) {
	var rb *RequestBlocks
	for _, alias := range sc.connections.atomic {
		if slices.Contains(o.Except, alias) {
			continue
		}
		if rb == nil {
			rb = &RequestBlocks{outer: ctx}
		}
		b := &block{conn: sc.conn(alias), kind: requestBlock, options: pool.TxOptions{Deferred: o.Deferred}, beginning: make(chan struct{}, 1)}
		if err := b.conn.enterLazy(b); err != nil {
			return nil, nil, join(err, rb.Rollback())
		}
		rb.blocks = append(rb.blocks, b)
		ctx = &blockContext{ctx, b} //nolint:fatcontext // one for each alias
	}
	return ctx, rb, nil
}

func (c *Conn) enterLazy(b *block) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return fmt.Errorf("db: scope %q: %w", c.scope.Name(), ErrScopeEnded)
	}
	if err := c.inBlock(); err != nil {
		return fmt.Errorf("%w: ATOMIC_REQUESTS must be the outermost", err)
	}
	c.block.Store(b)
	return nil
}

// Open reports whether neither Commit nor Rollback was called.
func (rb *RequestBlocks) Open() bool { return rb != nil && !rb.over.Load() }

// Begun reports whether one of the blocks has sent anything.
func (rb *RequestBlocks) Begun() bool {
	return rb != nil && slices.ContainsFunc(rb.blocks, func(b *block) bool { return b.lease.Load() != nil })
}

// Commit commits the blocks, the innermost first, and then runs what [OnCommit] was
// given. When one fails it is rolled back with those that follow, and what the error
// names as committed before stays so: two databases have no transaction together. An
// [ErrOnCommit] says that all is committed. A second call does nothing.
func (rb *RequestBlocks) Commit() error {
	if rb == nil || rb.over.Swap(true) {
		return nil
	}
	var due []callback
	for i, b := range slices.Backward(rb.blocks) {
		callbacks, err := b.leaveLazy(rb.outer, nil)
		if err != nil {
			for _, rest := range slices.Backward(rb.blocks[:i]) {
				_, left := rest.leaveLazy(rb.outer, ErrRollback)
				err = join(err, left)
			}
			if committed := rb.begunAfter(i); committed != nil {
				err = fmt.Errorf("%w; committed already: %q", err, committed)
			}
			return err
		}
		due = append(due, callbacks...)
	}
	return runCallbacks(rb.outer, due)
}

// begunAfter are the aliases of the blocks inside of the i-th that had anything to
// commit.
func (rb *RequestBlocks) begunAfter(i int) (aliases []string) {
	for _, b := range slices.Backward(rb.blocks[i+1:]) {
		if b.lease.Load() != nil {
			aliases = append(aliases, b.conn.alias)
		}
	}
	return aliases
}

// Rollback rolls the blocks back. Its error tells of blocks that were still open
// inside of them. A second call does nothing.
func (rb *RequestBlocks) Rollback() error {
	if rb == nil || rb.over.Swap(true) {
		return nil
	}
	var errs []error
	for _, b := range slices.Backward(rb.blocks) {
		_, err := b.leaveLazy(rb.outer, ErrRollback)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// leaveLazy leaves a block that may not have begun: then nothing is sent, and what
// was to run after the commit runs.
func (b *block) leaveLazy(ctx context.Context, err error) ([]callback, error) {
	b.beginning <- struct{}{} // a BEGIN may be on its way
	defer func() { <-b.beginning }()
	if b.lease.Load() != nil || b.state.Load() != blockOpen {
		return b.leave(ctx, err)
	}
	due := b.ended()
	switch {
	case err != nil:
		return nil, withoutRollback(err)
	case ctx.Err() != nil && due != nil:
		return nil, contextError(ctx)
	}
	return due, nil
}

// LeftOpen returns nil unless a block is open that is not of ATOMIC_REQUESTS, and
// otherwise [ErrInAtomicBlock] with its place: when a view has returned, nobody can
// end it any more.
func (sc *Scope) LeftOpen() error {
	for _, c := range sc.touched() {
		if b := c.block.Load(); b != nil && b.kind != requestBlock {
			return fmt.Errorf("%w on %q, begun at %s", ErrInAtomicBlock, c.alias, b.at())
		}
	}
	return nil
}
