package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db/pool"
)

// BeginTx begins a transaction for libraries that need a bun.Tx; with the context of a
// block it is a savepoint of that. It counts as a block: until it is ended, other
// statements of the scope fail with [ErrOutsideBlock], and blocks are ended innermost
// first. It is rolled back when ctx ends, or when the scope does; then its methods
// return sql.ErrTxDone, as database/sql has it. [Atomic] does without a goroutine
// and knows [OnCommit].
func (c *Conn) BeginTx(ctx context.Context, opts *sql.TxOptions) (bun.Tx, error) {
	b := &block{place: pool.Here(1), kind: beginBlock}
	if err := c.enterTx(ctx, b, opts); err != nil {
		return bun.Tx{}, err
	}
	tx, _, err := b.adopt(ctx,
		func() error { return b.endTx(ctx, nil) },
		func() error { return b.endTx(ctx, ErrRollback) })
	return tx, err
}

// endTx is the end of a BeginTx. Whether ctx has ended is database/sql's to see.
func (b *block) endTx(ctx context.Context, cause error) error {
	callbacks, err := b.leave(context.WithoutCancel(ctx), cause)
	if err != nil {
		return err
	}
	return runCallbacks(ctx, callbacks)
}

// RunInTx is [Atomic] for functions that want a bun.Tx: its statements run in the
// block whatever their context. fn must not end it, which is an error and rolls back.
// It costs a goroutine and two allocations that Atomic does not.
func (c *Conn) RunInTx(ctx context.Context, opts *sql.TxOptions, fn func(ctx context.Context, tx bun.Tx) error) error {
	b := &block{place: pool.Here(1)}
	if err := c.enterTx(ctx, b, opts); err != nil {
		return err
	}
	return b.run(ctx, func() error {
		over := false
		refuse := func() error {
			if over {
				return nil
			}
			err := fmt.Errorf("%w on %q, begun at %s: RunInTx commits and rolls back itself; return nil or an error", ErrInAtomicBlock, c.alias, b.at())
			b.mark(&failure{place: pool.Here(1), err: err})
			return err
		}
		inner := &blockContext{ctx, b}
		// database/sql would roll back on its own when ctx ends, at any moment and in a
		// goroutine of its own: here ctx stops statements only.
		tx, end, err := b.adopt(context.WithoutCancel(inner), refuse, refuse)
		if err != nil {
			return err
		}
		defer end()
		defer func() {
			over = true
			_ = tx.Rollback() // sends nothing: it lets database/sql forget the transaction
		}()
		return fn(inner, tx)
	})
}

func (c *Conn) enterTx(ctx context.Context, b *block, opts *sql.TxOptions) error {
	if opts != nil {
		b.options = pool.TxOptions{Isolation: driver.IsolationLevel(opts.Isolation), ReadOnly: opts.ReadOnly}
	}
	if outer := c.blockIn(ctx); outer != nil && b.options != (pool.TxOptions{}) {
		return fmt.Errorf("%w on %q, begun at %s: Isolation and ReadOnly belong to the outermost block", ErrInAtomicBlock, c.alias, outer.at())
	}
	return c.enter(ctx, b)
}

// adopt makes a bun.Tx of the block that was entered. It ends with life, which ends
// with end.
func (b *block) adopt(life context.Context, commit, rollback func() error) (tx bun.Tx, end context.CancelFunc, err error) {
	c, l := b.conn, b.root().lease.Load()
	over := l.Attachment(func(sqldb *sql.DB) any { return bun.NewDB(sqldb, c.database.dialect) }).(*bun.DB)
	txCtx, end := l.TxContext(life, b.place, b, commit, rollback)
	if tx, err = over.BeginTx(txCtx, nil); err != nil {
		end()
		if b.kind == beginBlock {
			_, left := b.leave(life, ErrRollback)
			err = errors.Join(err, left)
		}
		return bun.Tx{}, nil, err
	}
	return tx, end, nil
}
