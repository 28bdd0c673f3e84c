package pool

import (
	"context"
	"database/sql/driver"
)

// rawQuery is what a Raw shows as its statement.
const rawQuery = "(the driver's own connection)"

// Lender is a connection that stands for another one, which Raw is about.
type Lender interface {
	Lend(ctx context.Context, fn func(driver.Conn) error) error
}

// Raw lends the driver's own connection to fn, as one statement: nobody else is on
// the connection meanwhile, the end of the statement's context cancels what it runs
// there, and a release cuts it off. The session counts as dirty afterwards. fn must
// not keep the connection.
func (l *Lease) Raw(st *Statement, fn func(driver.Conn) error) error {
	defer st.Abandon()
	c := l.conn
	c.mu.Lock()
	h := newHandle(l, true)
	c.mu.Unlock()
	st.raw = true
	if _, err := h.begin(st, rawQuery); err != nil {
		return err
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		c.mu.Lock()
		c.lost = true // it has panicked, at any moment
		c.mu.Unlock()
		st.called()
		st.end()
	}()
	l.dirty.Store(true)
	lend := fn
	if l, ok := c.inner.(Lender); ok {
		lend = func(driver.Conn) error { return l.Lend(st, fn) }
	}
	err := lend(c.inner)
	returned = true
	err = c.judgeRaw(st, err)
	st.called()
	st.observe(err)
	st.end()
	return err
}

// judgeRaw is judge for an error that may be fn's own, or of a wait that ended with
// its time and has harmed nothing.
func (c *conn) judgeRaw(st *Statement, err error) error {
	if err == nil {
		return nil
	}
	drv := c.pool.cfg.Driver
	class := drv.Classify(err)
	if class != Foreign && (class != Lost || drv.Peek(c.inner) != nil) {
		return c.judge(st, err)
	}
	c.mu.Lock()
	st.lease.doubtful = st.lease.doubtful || class == Lost
	canceled := st.canceled
	c.mu.Unlock()
	if canceled != nil {
		return &canceledError{ctx: canceled, driver: err}
	}
	return err
}
