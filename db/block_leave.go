package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// leave ends the block: keeps what it has done when err is nil and nothing speaks
// against that, and takes it back otherwise. It returns err or what speaks against
// it, and the callbacks that are due now.
func (b *block) leave(ctx context.Context, err error) ([]callback, error) {
	here := b.place
	if b.state.Load() == blockTorn {
		return nil, join(withoutRollback(err), b.leaveTorn())
	}
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("db: the block on %q begun at %s is rolled back: %w", b.conn.alias, b.at(), contextError(ctx))
	}
	if err == nil {
		err = b.aborted(here)
	}
	if err == nil {
		callbacks, err := b.keep(ctx)
		if err == nil {
			return callbacks, nil
		}
		return nil, join(err, b.takeBack(ctx, err))
	}
	back := b.takeBack(ctx, err)
	return nil, join(withoutRollback(err), back)
}

// join is errors.Join that leaves a single error as it is.
func join(err, other error) error {
	switch {
	case err == nil:
		return other
	case other == nil:
		return err
	}
	return errors.Join(err, other)
}

// leaveTorn is the end of a block that was ended from outside.
func (b *block) leaveTorn() error {
	b.close()
	return b.tornError(b.place)
}

// close makes the block one that is over.
func (b *block) close() {
	if b.state.Swap(blockEnded) == blockTorn {
		b.conn.torn.Add(-1)
	}
}

// keep commits: COMMIT, RELEASE SAVEPOINT, or nothing for a merged block. The client
// that has just gone does not stop it.
func (b *block) keep(ctx context.Context) (callbacks []callback, err error) {
	c := b.conn
	query := "COMMIT"
	switch {
	case b.merged:
		query = ""
	case b.name != "":
		query = "RELEASE SAVEPOINT " + b.name
	}
	l := b.root().lease.Load()
	sent, err := l.Control(context.WithoutCancel(ctx), b.place, query, func() error {
		if err := b.isInnermost(); err != nil {
			return err
		}
		if err := b.aborted(b.place); err != nil {
			return err
		}
		if b.outer == nil {
			return b.committable(l)
		}
		return nil
	}, func(err error) {
		if err == nil {
			callbacks = b.ended()
		}
	})
	if err != nil {
		// Whatever is no answer of the database leaves it open.
		if sent && b.outer == nil && (!errors.Is(err, ErrDatabase) || errors.Is(err, ErrConnectionLost)) {
			err = fmt.Errorf("%w: the block on %q begun at %s: %w", ErrCommitUnknown, c.alias, b.at(), err)
		}
		return nil, err
	}
	if b.outer == nil {
		c.Ended(l)
	}
	return callbacks, nil
}

func (b *block) committable(l *pool.Lease) error {
	err := l.Committable(b.options)
	if err == nil || errors.Is(err, ErrConnectionLost) || errors.Is(err, ErrReleased) {
		return err
	}
	return &AbortedError{Alias: b.conn.alias, Here: b.place.String(), First: "an unknown place", Err: err}
}

// isInnermost returns ErrBlockOrder when a block inside of this one is open.
func (b *block) isInnermost() error {
	if b.state.Load() == blockTorn {
		return b.tornError(b.place)
	}
	for o := b.conn.block.Load(); o != nil; o = o.outer {
		if o.outer == b {
			return fmt.Errorf("%w: the block on %q begun at %s ends while the one inside it, begun at %s, is still open; both are rolled back",
				ErrBlockOrder, b.conn.alias, b.at(), o.at())
		}
	}
	return nil
}

// ended makes the outer block the innermost, and returns the callbacks that are due
// then; a block inside of others hands them on.
func (b *block) ended() (due []callback) {
	c := b.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	b.close()
	c.block.Store(b.outer)
	if b.outer == nil {
		return b.callbacks
	}
	b.outer.callbacks = append(b.outer.callbacks, b.callbacks...)
	return nil
}

// rollbackLimit bounds a rollback, which has nothing to do.
const rollbackLimit = time.Second

// takeBack rolls back, whoever still waits for it. cause is why: a block without a
// savepoint hands it to the outer one. It returns what the caller must hear of
// besides.
func (b *block) takeBack(ctx context.Context, cause error) error {
	order := b.tearInner(cause)
	if b.state.Load() == blockTorn {
		return join(order, b.leaveTorn())
	}
	if b.merged {
		b.outer.mark(&failure{place: b.place, err: cause})
		b.drop()
		return order
	}
	query := "ROLLBACK"
	if b.name != "" {
		query = "ROLLBACK TO SAVEPOINT " + b.name + "; RELEASE SAVEPOINT " + b.name
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackLimit)
	defer cancel()
	l := b.root().lease.Load()
	_, err := l.Control(ctx, b.place, query, func() error {
		if b.state.Load() == blockTorn {
			return errOver
		}
		if in, known := l.InTransaction(); b.outer == nil && known && !in {
			return errOver // SQLite has rolled it back by itself
		}
		return nil
	}, func(err error) {
		if err == nil {
			b.drop()
		}
	})
	switch {
	case err == nil:
	case errors.Is(err, errOver):
		b.drop()
	case b.outer != nil: // it is broken with this one
		b.outer.mark(&failure{place: b.place, query: query, err: err})
		b.drop()
	default:
		// With its connection gone, or given back, the transaction is over.
		if !errors.Is(err, ErrConnectionLost) && !errors.Is(err, ErrReleased) {
			b.conn.scope.connections.logger.Warn("db: the connection is given up: its transaction could not be rolled back",
				"alias", b.conn.alias, "begun", b.at(), "err", Loggable(err))
			b.conn.release("rollback failed", b.place, true)
		}
		b.drop()
	}
	if b.outer == nil {
		b.conn.Ended(l)
	}
	return order
}

// drop ends the block with its callbacks.
func (b *block) drop() {
	c := b.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	b.close()
	b.callbacks = nil
	if b.outer == nil || b.outer.state.Load() == blockOpen {
		c.block.Store(b.outer)
	}
}

// tearInner ends the blocks that are open inside of this one, whose functions have
// not returned yet. It returns ErrBlockOrder unless cause is that already.
func (b *block) tearInner(cause error) (order error) {
	c := b.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.state.Load() == blockTorn {
		return nil
	}
	if order = b.isInnermost(); order == nil {
		return nil
	}
	for o := c.block.Load(); o != nil && o != b; o = o.outer {
		o.tear(order)
	}
	if errors.Is(cause, ErrBlockOrder) {
		return nil
	}
	return order
}

// tear marks a block that ends before its function has; conn.mu is taken.
func (b *block) tear(by error) {
	if b.state.Load() != blockOpen {
		return
	}
	b.tornBy = by
	b.state.Store(blockTorn)
	b.conn.torn.Add(1)
}

// errOver says that there is nothing to roll back.
var errOver = errors.New("db: the transaction is over")

// contextError is ctx's error, with its cause beside it when that is another.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
