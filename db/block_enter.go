package db

import (
	"context"
	"fmt"
	"strconv"

	"github.com/goquintet/quintet/db/pool"
)

// move makes b the innermost block.
func (c *Conn) move(b *block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.block.Store(b)
}

// enter opens a block inside of the one that ctx has, or the outermost.
func (c *Conn) enter(ctx context.Context, b *block) error {
	if c.err != nil {
		return c.err
	}
	outer, err := c.takesPart(ctx, b.place, nil)
	if err != nil {
		return err
	}
	b.conn, b.outer = c, outer
	if outer == nil {
		return c.enterOutermost(ctx, b)
	}
	return c.enterInner(ctx, b)
}

func (c *Conn) enterOutermost(ctx context.Context, b *block) error {
	b.merged = false
	l, err := c.hold(ctx, b.place)
	if err != nil {
		return err
	}
	return b.begin(ctx, l, b.place, func() error {
		_, err := c.takesPart(ctx, b.place, nil) // another goroutine may have begun one
		return err
	})
}

// begin sends the BEGIN of the outermost block on l, which it holds from then on.
func (b *block) begin(ctx context.Context, l *pool.Lease, place pool.Place, before func() error) error {
	c := b.conn
	sent, err := l.Begin(ctx, place, b.options, before, func(err error) {
		if err == nil {
			b.lease.Store(l)
			c.move(b)
		}
	})
	if err == nil {
		return nil
	}
	if sent {
		if in, known := l.InTransaction(); in || !known {
			c.release("BEGIN failed", place, false)
		}
	}
	c.Ended(l)
	return err
}

// ensureBegun sends the BEGIN of a block that is lazy, once.
func (b *block) ensureBegun(ctx context.Context, place pool.Place) error {
	root := b.root()
	if root.lease.Load() != nil || root.beginning == nil {
		return nil
	}
	select {
	case root.beginning <- struct{}{}:
	case <-ctx.Done():
		return contextError(ctx)
	}
	defer func() { <-root.beginning }()
	if root.lease.Load() != nil || root.state.Load() != blockOpen {
		return nil
	}
	l, err := root.conn.hold(ctx, place)
	if err != nil {
		return err
	}
	return root.begin(ctx, l, place, func() error { return nil })
}

func (c *Conn) enterInner(ctx context.Context, b *block) error {
	outer := b.outer
	if err := outer.ensureBegun(ctx, b.place); err != nil {
		return err
	}
	query := ""
	if !b.merged {
		depth := 0
		for o := outer; o != nil; o = o.outer {
			depth++
		}
		b.name = "atomic_" + strconv.Itoa(depth)
		query = "SAVEPOINT " + b.name
	}
	l := outer.root().lease.Load()
	if l == nil {
		return fmt.Errorf("%w: the block on %q begun at %s has just ended", ErrBlockOrder, c.alias, outer.at())
	}
	_, err := l.Control(ctx, b.place, query, func() error {
		if _, err := c.takesPart(ctx, b.place, nil); err != nil {
			return err
		}
		return outer.aborted(b.place)
	}, func(err error) {
		if err == nil {
			c.move(b)
		}
	})
	return err
}
