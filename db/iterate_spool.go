package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db/pool"
)

// iterateSpool reads everything into a spool, gives the connection back, and yields
// from the spool.
func iterateSpool[T any](ctx context.Context, place pool.Place, q *bun.SelectQuery, o IterateOptions, yield func(T, error) bool) (err error) {
	c, err := iteratedConn(ctx, q, o.Mode)
	if err == nil {
		q, err = readable[T](ctx, q)
	}
	if err != nil {
		return err
	}
	s := newSpool(o)
	var relay *relay
	defer func() {
		if relay != nil {
			err = errors.Join(err, relay.close())
		}
		err = errors.Join(err, s.close())
	}()
	return yieldBatches(ctx, q, o.BatchSize, func(ctx context.Context, query string) (*sql.Rows, error) {
		if relay == nil {
			columns, err := s.fill(ctx, place, c, query)
			if err != nil {
				return nil, err
			}
			if c.block.Load() == nil {
				c.releaseIdle("spooled", place)
			}
			relay = newRelay(columns, s.next)
		}
		return relay.query(ctx, o.BatchSize)
	}, yield)
}

// fill reads the rows of the query to their end.
func (s *spool) fill(ctx context.Context, place pool.Place, c *Conn, query string) (columns []string, err error) {
	rows, err := c.queryAt(ctx, place, query, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if columns, err = rows.Columns(); err != nil {
		return nil, err
	}
	cells := make([]spoolCell, len(columns))
	into := make([]any, len(columns))
	for i := range cells {
		cells[i].spool = s
		into[i] = &cells[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("db: Iterate: %w", err)
		}
		if err := s.endRow(); err != nil {
			return nil, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return columns, s.rewind()
}

// spoolCell takes the value of a column as the driver returns it.
type spoolCell struct{ spool *spool }

var _ sql.Scanner = (*spoolCell)(nil)

func (c *spoolCell) Scan(value any) error { return c.spool.append(value) }
