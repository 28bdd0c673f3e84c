package pool

import (
	"context"
	"database/sql/driver"
	"errors"
)

// tx is a transaction of a *sql.DB that a library has, see [Connector].
type tx struct {
	h     *handle
	inner driver.Tx
	place Place
	cut   bool // a release has ended it; guarded by conn.mu
}

func (c *conn) addTx(h *handle, st *Statement, inner driver.Tx) *tx {
	t := &tx{h: h, inner: inner, place: st.place}
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
	c := t.h.conn
	c.mu.Lock()
	cut := t.cut
	c.mu.Unlock()
	if cut {
		l := t.h.lease.Load()
		if err := c.releasedError(l); query == "COMMIT" {
			return c.pool.late(ctx, l, c.pool.Here(), err)
		} else { // of a defer: it has nothing to lose
			return err
		}
	}
	st, err := t.h.begin(ctx, query)
	if errors.Is(err, ErrConnectionLost) {
		t.over() // with its connection
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
	t.over()
	return err
}

// over forgets the transaction.
func (t *tx) over() {
	c := t.h.conn
	c.mu.Lock()
	if c.tx == t {
		c.tx, c.rawBegin = nil, false
	}
	c.mu.Unlock()
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
	res, err := inner.ExecContext(st, args)
	if err == nil {
		st.affects(res)
	}
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
	rows, err := inner.QueryContext(st, args)
	return s.h.queried(st, s.query, rows, err)
}

// leaves notes what the statement may leave behind on the session, and returns what
// it does to transactions.
func (c *conn) leaves(st *Statement, query string) (text TxText, name string) {
	if c.pool.cfg.Reset == ResetAuto && !st.lease.dirty.Load() && c.pool.cfg.Driver.Dirties(query) {
		st.lease.dirty.Store(true)
	}
	text, name = TextOf(query)
	if text != NoTxText {
		c.mu.Lock()
		switch text {
		case Begins, Saves: // which begins one on SQLite, outside of any
			c.rawBegin = true
		case Ends:
			c.rawBegin = false
		}
		c.mu.Unlock()
	}
	return text, name
}
