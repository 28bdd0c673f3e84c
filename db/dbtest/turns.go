package dbtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/goquintet/quintet/db"
)

// turns say who is on the connection of a wrapped test: one statement, or one block
// until it ends. Who comes first is served first.
type turns struct {
	patience context.Context //nolint:containedctx // ends shortly before the test's deadline

	mu    sync.Mutex // guards the rest
	owner *turn
	queue []*turn
}

// turn is one statement or one block.
type turn struct {
	scope *db.Scope // nil for what belongs to none
	block bool
	ready chan error // buffered: nil when it is its turn
}

func newTurn(ctx context.Context, block bool) *turn {
	return &turn{scope: db.ScopeOf(ctx), block: block, ready: make(chan error, 1)}
}

func (t *turn) String() string {
	if t.scope == nil {
		return "somebody without a scope"
	}
	return fmt.Sprintf("%q", t.scope.Name())
}

// blocks reports whether other has to wait for t for ever: t is the block of a scope
// that itself waits for the scope of other to end.
func (t *turn) blocks(other *turn) bool {
	if !t.block || t.scope == nil || other.scope == nil {
		return false
	}
	for scope := other.scope; ; {
		parent, waits := scope.Parent()
		if parent == nil || !waits {
			return false
		}
		if parent == t.scope {
			return true
		}
		scope = parent
	}
}

func (t *turn) deadlock(other *turn) error {
	return fmt.Errorf("%w: %s waits for the block of %s, which waits for it: they have one transaction; use dbtest.Database for a test of both",
		ErrWrapped, other, t)
}

// take waits until it is t's turn, or ctx, the test or quit ends.
func (ts *turns) take(ctx context.Context, t *turn, quit <-chan struct{}) error {
	ts.mu.Lock()
	if ts.owner == nil {
		ts.owner = t
		ts.mu.Unlock()
		return nil
	}
	if ts.owner.blocks(t) {
		defer ts.mu.Unlock()
		return ts.owner.deadlock(t)
	}
	ts.queue = append(ts.queue, t)
	ts.mu.Unlock()

	var err error
	select {
	case err := <-t.ready:
		return err
	case <-quit:
		err = errQuit
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-ts.patience.Done():
		err = ts.impatient(t)
	}
	ts.mu.Lock()
	ts.queue = slices.DeleteFunc(ts.queue, func(other *turn) bool { return other == t })
	ts.mu.Unlock()
	select {
	case granted := <-t.ready: // in the same moment
		if granted == nil {
			ts.give(t)
		}
	default:
	}
	return err
}

var errQuit = errors.New("dbtest: the statement was stopped while it waited for the test's connection")

func (ts *turns) impatient(t *turn) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	what, owner := "statement", ts.owner
	if owner == nil {
		return ts.patience.Err()
	}
	if owner.block {
		what = "block"
	}
	return fmt.Errorf("%w: %s has waited for the %s of %s until the deadline of the test: they have one transaction; use dbtest.Database for a test of both",
		ErrWrapped, t, what, owner)
}

// give ends t's turn.
func (ts *turns) give(t *turn) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.owner != t {
		return
	}
	ts.owner = nil
	if len(ts.queue) == 0 {
		return
	}
	next := ts.queue[0]
	ts.queue = ts.queue[1:]
	ts.owner = next
	next.ready <- nil
	ts.queue = slices.DeleteFunc(ts.queue, func(other *turn) bool {
		stuck := next.blocks(other)
		if stuck {
			other.ready <- next.deadlock(other)
		}
		return stuck
	})
}
