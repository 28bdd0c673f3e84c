package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// AtomicOptions say how [AtomicWith] begins a block. The zero value is [Atomic].
type AtomicOptions struct {
	// Alias is the database; empty is [DefaultAlias].
	Alias string

	// Durable refuses to begin inside of another block, with [ErrInAtomicBlock]:
	// when AtomicWith returns nil, the changes are committed.
	Durable bool

	// NoSavepoint makes a block inside of another one a part of it: when it fails,
	// the outer one can only be rolled back. It saves two statements.
	NoSavepoint bool

	// Isolation and ReadOnly are for the outermost block; inside of another one they
	// are an error. What an engine cannot give is an error as well. SQLite knows
	// Serializable only, and tells at the end of a ReadOnly block that it has
	// written; nothing is stored then.
	Isolation sql.IsolationLevel
	ReadOnly  bool

	// Retry is how often the outermost block is run again, from its beginning,
	// after an [ErrSerialization]; 0 is never. The function must not mind: what it
	// does outside of the database happens each time. Inside of another block it
	// means nothing.
	Retry int
}

// Atomic runs fn in a transaction on the default database: Django's atomic. It
// commits when fn returns nil. When fn fails or panics, or when ctx ends before fn has
// returned, it rolls back; it returns fn's error, and the panic goes on. Once fn has
// returned nil, COMMIT is sent whether or not somebody still waits for it.
//
// Statements take part through the context that fn is given, and through no other:
// while the block is open, those of the same scope that lack it fail with
// [ErrOutsideBlock]. A context whose block has ended is outside of it again.
//
// Inside of another block, Atomic is a savepoint. A statement that the database has
// refused leaves nothing to commit but what a savepoint has absorbed: later
// statements fail with [ErrTransactionAborted], which names it, and so does Atomic
// when fn returns nil all the same.
//
// [ErrCommitUnknown] says that the answer to COMMIT was lost, and [ErrOnCommit] that
// everything is committed, and a function given to [OnCommit] has failed.
func Atomic(ctx context.Context, fn func(ctx context.Context) error) error {
	return From(ctx).atomic(ctx, pool.Here(1), AtomicOptions{}, fn)
}

// AtomicWith is [Atomic] with options.
func AtomicWith(ctx context.Context, o AtomicOptions, fn func(ctx context.Context) error) error {
	alias := o.Alias
	if alias == "" {
		alias = DefaultAlias
	}
	return Using(ctx, alias).atomic(ctx, pool.Here(1), o, fn)
}

func (c *Conn) atomic(ctx context.Context, place pool.Place, o AtomicOptions, fn func(ctx context.Context) error) error {
	for attempt := 0; ; attempt++ {
		outer := c.blockIn(ctx)
		err := c.atomicOnce(ctx, place, o, outer, fn)
		if attempt >= o.Retry || outer != nil || !retryable(err) {
			return err
		}
		if waitErr := retryWait(ctx, attempt); waitErr != nil {
			return join(err, waitErr)
		}
	}
}

func (c *Conn) atomicOnce(ctx context.Context, place pool.Place, o AtomicOptions, outer *block, fn func(ctx context.Context) error) error {
	if outer != nil {
		switch {
		case o.Durable:
			return fmt.Errorf("%w on %q, begun at %s: a Durable block must be the outermost", ErrInAtomicBlock, c.alias, outer.at())
		case o.Isolation != sql.LevelDefault || o.ReadOnly:
			return fmt.Errorf("%w on %q, begun at %s: Isolation and ReadOnly belong to the outermost block", ErrInAtomicBlock, c.alias, outer.at())
		}
	}
	b := &block{place: place, merged: o.NoSavepoint, options: pool.TxOptions{Isolation: driver.IsolationLevel(o.Isolation), ReadOnly: o.ReadOnly}}
	if err := c.enter(ctx, b); err != nil {
		return err
	}
	return b.run(ctx, func() error { return fn(&blockContext{ctx, b}) })
}

// run runs the function of a block that was entered, and leaves the block.
func (b *block) run(ctx context.Context, fn func() error) error {
	returned := false
	defer func() {
		if !returned { // a panic goes on as it is; nobody is there for an error
			_, _ = b.leave(ctx, ErrRollback)
		}
	}()
	err := fn()
	returned = true
	callbacks, err := b.leave(ctx, err)
	if err != nil {
		return err
	}
	return runCallbacks(ctx, callbacks)
}

// withoutRollback is what a block that was left with err returns: nothing, when that
// is ErrRollback and says no more.
func withoutRollback(err error) error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if e == ErrRollback { //nolint:errorlint // what is joined to it must not be lost
			return nil
		}
	}
	return err
}

func retryable(err error) bool {
	return errors.Is(err, ErrSerialization) && !errors.Is(err, ErrCommitUnknown) && !errors.Is(err, ErrOnCommit)
}

// retryWait lets the other transaction go on, longer each time and never equally
// long.
func retryWait(ctx context.Context, attempt int) error {
	timer := time.NewTimer(rand.N(5 * time.Millisecond << min(attempt, 6)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}
