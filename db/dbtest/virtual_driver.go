package dbtest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// virtualDriver opens virtual connections: to the pool they are as good as real ones.
type virtualDriver struct {
	pool.Driver
	hub *hub
}

func (d *virtualDriver) Connect(ctx context.Context) (driver.Conn, error) {
	d.hub.mu.Lock()
	defer d.hub.mu.Unlock()
	if d.hub.lost != nil {
		return nil, d.hub.lost
	}
	return &virtual{hub: d.hub}, ctx.Err()
}

func (d *virtualDriver) Close(c driver.Conn) error { return c.Close() }

func (d *virtualDriver) Kill(c driver.Conn) {
	v := c.(*virtual)
	v.mu.Lock()
	v.dead = errKilled
	v.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = v.cancel(ctx) // it has a second to hear of it, and is dead anyway
}

func (d *virtualDriver) Cancel(ctx context.Context, c driver.Conn) error {
	return c.(*virtual).cancel(ctx)
}

func (d *virtualDriver) Peek(c driver.Conn) error {
	v, h := c.(*virtual), d.hub
	h.mu.Lock()
	r, lost := h.conn, h.lost
	h.mu.Unlock()
	if err := v.alive(); err != nil || lost != nil {
		return errors.Join(err, lost)
	}
	if r == nil || !h.wire.TryLock() { // not opened yet, or busy and so alive
		return nil
	}
	defer h.wire.Unlock()
	return d.Driver.Peek(r.Conn)
}

func (d *virtualDriver) Ping(ctx context.Context, c driver.Conn) error {
	v, h := c.(*virtual), d.hub
	if err := v.alive(); err != nil {
		return err
	}
	r, err := h.open()
	if err != nil {
		return err
	}
	if !h.wire.TryLock() { // somebody's statement runs, and so it is alive
		return nil
	}
	defer h.wire.Unlock()
	return d.Driver.Ping(ctx, r.Conn)
}

func (d *virtualDriver) InTransaction(c driver.Conn) (in, known bool) {
	return c.(*virtual).block != nil, true
}

func (d *virtualDriver) Begin(o pool.TxOptions) (string, error) {
	query, err := d.Driver.Begin(o)
	if err != nil {
		return "", err
	}
	switch level := sql.IsolationLevel(o.Isolation); {
	case level == sql.LevelDefault, d.hub.postgres && level <= sql.LevelReadCommitted, !d.hub.postgres:
	default:
		return "", fmt.Errorf("%w: %s has one transaction, and that is Read Committed, not %s; use dbtest.Database", ErrWrapped, d.hub.t.Name(), level)
	}
	return query, nil
}

var errNoBlock = errors.New("dbtest: no transaction is open any more: something has sent COMMIT or ROLLBACK")

func (d *virtualDriver) Committable(c driver.Conn, o pool.TxOptions) error {
	v, h := c.(*virtual), d.hub
	if err := v.alive(); err != nil {
		return fmt.Errorf("%w: %w", pool.ErrConnectionLost, err)
	}
	if v.block == nil {
		return errNoBlock
	}
	r, err := h.open()
	if err != nil {
		return fmt.Errorf("%w: %w", pool.ErrConnectionLost, err)
	}
	h.wire.Lock()
	defer h.wire.Unlock()
	if !h.postgres && o.ReadOnly {
		// The transaction of the test has written; this part of it must not have.
		changes, err := r.text(context.Background(), "SELECT total_changes()")
		if err == nil && changes != v.changes {
			err = errors.New("dbtest: a statement has written, and the transaction was to read only")
		}
		if err != nil {
			return err
		}
	}
	o.ReadOnly = false
	return d.Driver.Committable(r.Conn, o)
}

func (d *virtualDriver) Demoted(driver.Conn) bool {
	d.hub.mu.Lock()
	r := d.hub.conn
	d.hub.mu.Unlock()
	return r != nil && d.Driver.Demoted(r.Conn)
}

// Reset is done by whoever is next outside of a transaction: it must not wait for
// one of somebody else.
func (d *virtualDriver) Reset(context.Context, driver.Conn) error {
	d.hub.mu.Lock()
	defer d.hub.mu.Unlock()
	d.hub.reset = true
	return nil
}

func (d *virtualDriver) Classify(err error) pool.Class {
	switch {
	case errors.Is(err, errQuit):
		return pool.Canceled
	case errors.Is(err, errKilled), errors.Is(err, errClosed):
		return pool.Lost
	case errors.Is(err, ErrWrapped):
		return pool.Foreign
	}
	return d.Driver.Classify(err)
}

func (d *virtualDriver) Kind(_ driver.Conn, err error) error {
	d.hub.mu.Lock()
	r := d.hub.conn
	d.hub.mu.Unlock()
	if r == nil || errors.Is(err, ErrWrapped) {
		return nil
	}
	return d.Driver.Kind(r.Conn, err)
}
