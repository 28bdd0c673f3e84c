package pool

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
)

// tx is a transaction of database/sql, for libraries that need one.
type tx struct {
	h     *handle
	inner driver.Tx
	place Place
	end   func()        // lets database/sql's goroutine go, and the driver's
	gone  chan struct{} // closed when database/sql has ended it; nil if nobody waits
	ender Ender         // hears that the transaction has ended
	cut   bool          // a release has ended it; guarded by conn.mu
}

func (c *conn) addTx(h *handle, st *Statement, inner driver.Tx) *tx {
	t := &tx{h: h, inner: inner, place: st.place, ender: st.txEnder}
	if st.endTx != nil {
		t.gone = make(chan struct{})
	}
	st.keepInner = true // the driver uses it until the transaction ends
	t.end = func() {
		if st.endTx != nil {
			st.endTx()
		}
		if st.stopInner != nil {
			st.stopInner()
		}
	}
	c.mu.Lock()
	c.tx = t
	c.mu.Unlock()
	return t
}

// Ending a transaction is clean-up: it does not depend on who still waits. A commit
// may take its time; a rollback has nothing to do.

func (t *tx) Commit() error { return t.finish(context.Background(), "COMMIT", t.inner.Commit) }

func (t *tx) Rollback() error {
	ctx, cancel := context.WithTimeout(context.Background(), healthLimit)
	defer cancel()
	return t.finish(ctx, "ROLLBACK", t.inner.Rollback)
}

func (t *tx) finish(ctx context.Context, query string, call func() error) error {
	if t.gone != nil {
		defer close(t.gone) // database/sql calls once
	}
	c := t.h.conn
	c.mu.Lock()
	cut := t.cut
	c.mu.Unlock()
	if cut {
		return c.releasedError(t.h.lease.Load())
	}
	st, err := t.h.begin(ctx, query)
	if errors.Is(err, ErrConnectionLost) {
		t.over(t.h.lease.Load()) // with its connection
	}
	if err != nil {
		return err
	}
	err = c.judge(st, call())
	if err == nil {
		c.mu.Lock()
		st.lease.doubtful = false // the server has answered since
		c.mu.Unlock()
	}
	st.called()
	st.observe(err)
	st.end()
	t.over(st.lease)
	return err
}

// over forgets the transaction and tells who must know.
func (t *tx) over(l *Lease) {
	c := t.h.conn
	c.mu.Lock()
	if c.tx == t {
		c.tx, c.rawBegin = nil, false
	}
	c.mu.Unlock()
	t.end()
	if t.ender != nil {
		t.ender.Ended(l)
	}
}

// stmt is a prepared statement.
type stmt struct {
	h     *handle
	inner driver.Stmt
	made  *Statement // the one that prepared it; ends with it
	query string
}

func (c *conn) addStmt(h *handle, made *Statement, inner driver.Stmt) *stmt {
	s := &stmt{h: h, inner: inner, made: made, query: made.query}
	c.mu.Lock()
	if c.stmts == nil {
		c.stmts = make(map[*stmt]struct{})
	}
	c.stmts[s] = struct{}{}
	c.mu.Unlock()
	return s
}

func (s *stmt) NumInput() int { return s.inner.NumInput() }

// Close deallocates the statement; one that outlived its lease is gone already.
func (s *stmt) Close() error {
	defer s.made.finish()
	c := s.h.conn
	if !s.open() || !c.gate.within(busyLimit) { // rows are open: the release will deallocate it
		return nil
	}
	defer c.gate.give()
	c.wire.take()
	defer c.wire.give()
	if !s.open() {
		return nil // a release was faster
	}
	c.mu.Lock()
	delete(c.stmts, s)
	c.mu.Unlock()
	return s.inner.Close()
}

func (s *stmt) open() bool {
	c := s.h.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	_, open := c.stmts[s]
	return open
}

// Exec and Query are the old forms; database/sql uses the others.
func (s *stmt) Exec([]driver.Value) (driver.Result, error) { return nil, errDriver }
func (s *stmt) Query([]driver.Value) (driver.Rows, error)  { return nil, errDriver }

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	inner, ok := s.inner.(driver.StmtExecContext)
	if !ok {
		return nil, errDriver
	}
	st, err := s.h.begin(ctx, s.query)
	if err != nil {
		return nil, err
	}
	res, err := inner.ExecContext(st.driverContext(), args)
	return res, s.h.executed(st, s.query, err)
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	inner, ok := s.inner.(driver.StmtQueryContext)
	if !ok {
		return nil, errDriver
	}
	st, err := s.h.begin(ctx, s.query)
	if err != nil {
		return nil, err
	}
	rows, err := inner.QueryContext(st.driverContext(), args)
	return s.h.queried(st, s.query, rows, err)
}

// leaves notes what the statement may leave behind on the session.
func (c *conn) leaves(st *Statement, query string) {
	if c.pool.cfg.Reset == ResetAuto && !st.lease.dirty.Load() && c.pool.cfg.Driver.Dirties(query) {
		st.lease.dirty.Store(true)
	}
	if begins, ends := transactionText(query); begins || ends {
		c.mu.Lock()
		c.rawBegin = begins
		c.mu.Unlock()
	}
}

// transactionText recognises transactions written as SQL text, for engines that
// cannot tell whether they are inside one.
func transactionText(query string) (begins, ends bool) {
	word := strings.TrimLeft(query, " \t\r\n(")
	if i := strings.IndexAny(word, " \t\r\n;"); i >= 0 {
		word = word[:i]
	}
	switch {
	case len(word) > 9:
		return false, false
	case strings.EqualFold(word, "BEGIN"), strings.EqualFold(word, "START"), strings.EqualFold(word, "SAVEPOINT"):
		return true, false
	case strings.EqualFold(word, "COMMIT"), strings.EqualFold(word, "END"), strings.EqualFold(word, "ABORT"):
		return false, true
	case strings.EqualFold(word, "ROLLBACK"):
		return false, !strings.Contains(strings.ToUpper(query), " TO ")
	}
	return false, false
}
