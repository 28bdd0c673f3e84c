package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/goquintet/quintet/db/pool"
)

// iterateSnapshot reads in one transaction: that of ctx, or one for itself that reads
// only and is the only thing that a stream may hold while it yields.
func iterateSnapshot[T any](ctx context.Context, place pool.Place, q *bun.SelectQuery, o IterateOptions, yield func(T, error) bool) error {
	c, err := iteratedConn(ctx, q, o.Mode)
	if err == nil {
		q, err = readable[T](ctx, q)
	}
	if err != nil {
		return err
	}
	read := func(ctx context.Context) error {
		if c.Dialect().Name() == dialect.PG {
			return iterateCursor(ctx, place, c, q, o, yield)
		}
		return iterateRows(ctx, place, c, q, o, yield)
	}
	if c.blockIn(ctx) != nil {
		return read(ctx)
	}
	b := &block{place: place, kind: snapshotBlock, options: pool.TxOptions{ReadOnly: true}}
	c.scope.snapshots.Add(1) // from the first moment of the lease on
	defer c.scope.snapshots.Add(-1)
	if err := c.enter(ctx, b); err != nil {
		return err
	}
	return b.run(ctx, func() error {
		if err := read(&blockContext{ctx, b}); err != nil {
			return err
		}
		return ErrRollback // it has changed nothing, and this closes the cursor
	})
}

// iterateCursor reads through a cursor of the server. Its snapshot is of the moment
// when it is declared, whatever the isolation level.
func iterateCursor[T any](ctx context.Context, place pool.Place, c *Conn, q *bun.SelectQuery, o IterateOptions, yield func(T, error) bool) (err error) {
	name := fmt.Sprintf("quintet_%d", c.cursors.Add(1))
	declared, fetched := false, false
	defer func() {
		if declared && c.holdsByName() == nil { // the block is somebody's, and may go on
			if closed := c.execAt(context.WithoutCancel(ctx), place, "CLOSE "+name); closed != nil && err == nil {
				err = fmt.Errorf("db: Iterate: close the cursor: %w", closed)
			}
		}
	}()
	return yieldBatches(ctx, q, o.BatchSize, func(ctx context.Context, query string) (*sql.Rows, error) {
		if !declared {
			if err := c.execAt(ctx, place, "DECLARE "+name+" NO SCROLL CURSOR FOR "+query); err != nil {
				return nil, err
			}
			declared = true
		}
		goesOn := fetched
		fetched = true
		return c.queryAt(ctx, place, fmt.Sprintf("FETCH FORWARD %d FROM %s", o.BatchSize, name), goesOn)
	}, yield)
}

// iterateRows reads rows that stay open: what SQLite has instead of a cursor.
func iterateRows[T any](ctx context.Context, place pool.Place, c *Conn, q *bun.SelectQuery, o IterateOptions, yield func(T, error) bool) (err error) {
	var rows *sql.Rows
	var relay *relay
	defer func() {
		if rows != nil {
			err = errors.Join(err, rows.Close(), relay.close())
		}
	}()
	return yieldBatches(ctx, q, o.BatchSize, func(ctx context.Context, query string) (*sql.Rows, error) {
		if rows == nil {
			opened, err := c.queryAt(ctx, place, query, false)
			if err != nil {
				return nil, err
			}
			columns, err := opened.Columns()
			if err != nil {
				return nil, errors.Join(err, opened.Close()) //nolint:sqlclosecheck // what stays open is closed above
			}
			rows, relay = opened, newRelay(columns, rowSource(opened, len(columns)))
		}
		return relay.query(ctx, o.BatchSize)
	}, yield)
}

// rowSource reads the values of rows as their driver has returned them.
func rowSource(rows *sql.Rows, columns int) func(dest []driver.Value) error {
	values, into := make([]any, columns), make([]any, columns)
	for i := range values {
		into[i] = &values[i]
	}
	return func(dest []driver.Value) error {
		if !rows.Next() {
			if err := rows.Err(); err != nil {
				return err
			}
			return io.EOF
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, value := range values {
			dest[i] = value
		}
		return nil
	}
}

// holdsByName returns the block of a snapshot, nil when none is open: the code has
// said by its mode that it holds the connection.
func (c *Conn) holdsByName() *block {
	if b := c.block.Load(); b != nil && b.kind == snapshotBlock {
		return b
	}
	return nil
}
