package pool

import (
	"context"
	"database/sql/driver"
	"strings"
)

// tx is a transaction of database/sql, for libraries that need one.
type tx struct {
	h     *handle
	inner driver.Tx
	place Place
	end   context.CancelFunc // lets database/sql's goroutine go
	ender Ender              // hears that the transaction has ended
	cut   bool               // a release has ended it; guarded by conn.mu
}

func (c *conn) addTx(h *handle, st *Statement, inner driver.Tx) *tx {
	t := &tx{h: h, inner: inner, place: st.place, end: st.endTx, ender: st.txEnder}
	c.mu.Lock()
	c.tx = t
	c.mu.Unlock()
	return t
}

func (t *tx) Commit() error   { return t.finish("COMMIT", t.inner.Commit) }
func (t *tx) Rollback() error { return t.finish("ROLLBACK", t.inner.Rollback) }

func (t *tx) finish(query string, call func() error) error {
	c := t.h.conn
	c.mu.Lock()
	cut := t.cut
	c.mu.Unlock()
	if cut {
		return c.releasedError(t.h.lease.Load())
	}
	// Ending a transaction is clean-up: it does not depend on who still waits.
	st, err := t.h.begin(context.Background(), query)
	if err != nil {
		return err
	}
	err = call()
	c.mu.Lock()
	if c.tx == t {
		c.tx = nil
	}
	c.mu.Unlock()
	st.called()
	err = c.judge(st, err)
	st.observe(err)
	st.end()
	if t.end != nil {
		t.end()
	}
	if t.ender != nil {
		t.ender.Ended(st.lease)
	}
	return err
}

// stmt is a prepared statement.
type stmt struct {
	h     *handle
	inner driver.Stmt
	query string
	place Place
}

func (c *conn) addStmt(h *handle, inner driver.Stmt, query string) *stmt {
	s := &stmt{h: h, inner: inner, query: query, place: Here(3)}
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
	c := s.h.conn
	if !c.gate.within(busyLimit) {
		return nil // rows are open: the release will deallocate it
	}
	defer c.gate.give()
	c.wire.take()
	defer c.wire.give()
	c.mu.Lock()
	_, mine := c.stmts[s]
	delete(c.stmts, s)
	c.mu.Unlock()
	if !mine {
		return nil
	}
	return s.inner.Close()
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
