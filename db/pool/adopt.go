package pool

import (
	"database/sql/driver"
	"slices"
)

// adoptedTx is a block that database/sql takes for a transaction of its own: it
// sends nothing, and tells when database/sql ends it.
type adoptedTx struct {
	h                *handle
	place            Place
	block            any
	commit, rollback func() error
	end              func()        // lets database/sql's goroutine go
	gone             chan struct{} // closed when database/sql has ended it
	cut              bool          // a release has ended it; guarded by conn.mu
}

// adopt makes the handle one of a block that is open already.
func (h *handle) adopt(st *Statement) (driver.Tx, error) {
	t := st.adopt
	t.h = h
	c := h.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.epoch != c.epoch || c.lease != st.lease {
		return nil, c.releasedError(st.lease)
	}
	st.begun = true // statements in its context are others
	h.via = t.block
	c.adopted = append(c.adopted, t)
	return t, nil
}

func (t *adoptedTx) Commit() error   { return t.finish(t.commit) }
func (t *adoptedTx) Rollback() error { return t.finish(t.rollback) }

// finish is called once, by database/sql.
func (t *adoptedTx) finish(end func() error) error {
	defer close(t.gone)
	defer t.end()
	c := t.h.conn
	c.mu.Lock()
	cut := t.cut
	c.adopted = slices.DeleteFunc(c.adopted, func(a *adoptedTx) bool { return a == t })
	c.mu.Unlock()
	t.h.via = nil
	if cut {
		return c.releasedError(t.h.lease.Load())
	}
	return end()
}
