package pool

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
)

// connector is what the *sql.DB above a connection dials: another handle to the
// same connection, for statements of its holder only.
type connector struct{ c *conn }

func (k connector) Connect(ctx context.Context) (driver.Conn, error) {
	st := statementOf(ctx)
	if st == nil || st.lease == nil {
		return nil, ErrOutsideScope // somebody has kept a *bun.DB
	}
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	return newHandle(st.lease, false), nil
}

func (k connector) Driver() driver.Driver { return driverOnly{} }

// bound is what the *sql.DB of a lease's prepared statements dials: they come
// with the context of their caller, which does not name the lease.
type bound struct{ l *Lease }

func (k bound) Connect(ctx context.Context) (driver.Conn, error) {
	c := k.l.conn
	c.mu.Lock()
	if c.lease != k.l {
		c.mu.Unlock()
		return nil, c.pool.late(ctx, k.l, c.pool.Here(), c.releasedError(k.l))
	}
	defer c.mu.Unlock()
	return newHandle(k.l, true), nil
}

func (k bound) Driver() driver.Driver { return driverOnly{} }

type driverOnly struct{}

func (driverOnly) Open(string) (driver.Conn, error) {
	return nil, errors.New("db: open connections through db.Open")
}

// handle is what database/sql takes for a connection.
type handle struct {
	conn  *conn
	epoch uint64
	bound bool                  // to one lease
	lease atomic.Pointer[Lease] // of the last statement that named one
	via   any                   // the block of the transaction that it is in; of who has the handle
}

// newHandle returns a handle for statements of l; conn.mu is taken.
func newHandle(l *Lease, bound bool) *handle {
	h := &handle{conn: l.conn, epoch: l.conn.epoch, bound: bound}
	h.lease.Store(l)
	return h
}

var (
	_ driver.ExecerContext      = (*handle)(nil)
	_ driver.QueryerContext     = (*handle)(nil)
	_ driver.ConnPrepareContext = (*handle)(nil)
	_ driver.ConnBeginTx        = (*handle)(nil)
	_ driver.SessionResetter    = (*handle)(nil)
	_ driver.Validator          = (*handle)(nil)
	_ driver.Pinger             = (*handle)(nil)
	_ driver.NamedValueChecker  = (*handle)(nil)
)

// ResetSession is called before each use. It names the lease and costs nothing.
func (h *handle) ResetSession(ctx context.Context) error {
	if !h.IsValid() {
		return driver.ErrBadConn
	}
	if h.bound {
		return nil
	}
	st := statementOf(ctx)
	if st == nil || st.lease == nil {
		return driver.ErrBadConn // Connect says why
	}
	h.lease.Store(st.lease)
	return nil
}

// IsValid tells database/sql whether to keep the handle.
func (h *handle) IsValid() bool {
	h.conn.mu.Lock()
	defer h.conn.mu.Unlock()
	return h.epoch == h.conn.epoch && !h.conn.lost
}

// Close lets the handle go; the connection belongs to the pool.
func (h *handle) Close() error { return nil }

func (h *handle) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := h.conn.inner.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (h *handle) Ping(ctx context.Context) error {
	st, err := h.begin(ctx, "")
	if err != nil {
		return err
	}
	err = h.conn.judge(st, h.conn.pool.cfg.Driver.Ping(st, h.conn.inner))
	st.called()
	st.end()
	return err
}

func (h *handle) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	st, err := h.begin(ctx, query)
	if err != nil {
		return nil, err
	}
	res, err := h.conn.exec.ExecContext(st, query, args)
	if err == nil {
		st.affects(res)
	}
	return res, h.executed(st, query, err)
}

// executed is the end of every statement that returns no rows.
func (h *handle) executed(st *Statement, query string, err error) error {
	text, name := h.conn.leaves(st, query)
	err = h.conn.judge(st, err)
	if err == nil && text > Ends && st.lease.blocks != nil {
		st.lease.blocks.Savepoint(text, name)
	}
	st.called()
	st.observe(err)
	st.end()
	return err
}

func (h *handle) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	st, err := h.begin(ctx, query)
	if err != nil {
		return nil, err
	}
	inner, err := h.conn.query.QueryContext(st, query, args)
	return h.queried(st, query, inner, err)
}

// queried is the end of every call that returns rows; the gate stays with them.
func (h *handle) queried(st *Statement, query string, inner driver.Rows, err error) (driver.Rows, error) {
	c := h.conn
	c.leaves(st, query)
	if err != nil {
		err = c.judge(st, err)
		st.called()
		st.observe(err)
		st.end()
		return nil, err
	}
	r := newRows(st, inner)
	c.mu.Lock()
	c.rows = r
	c.mu.Unlock()
	if st.told {
		st.answers()
	}
	st.called()
	st.observe(nil)
	return r, nil
}

// Prepare and Begin are the old forms; database/sql uses the others.
func (h *handle) Prepare(query string) (driver.Stmt, error) {
	return h.PrepareContext(context.Background(), query)
}

func (h *handle) Begin() (driver.Tx, error) {
	return h.BeginTx(context.Background(), driver.TxOptions{})
}

func (h *handle) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	preparer, ok := h.conn.inner.(driver.ConnPrepareContext)
	if !ok {
		return nil, errDriver
	}
	st, err := h.begin(ctx, query)
	if err != nil {
		return nil, err
	}
	inner, err := preparer.PrepareContext(st, query)
	if err != nil {
		err = h.conn.judge(st, err)
		st.called()
		st.observe(err)
		st.end()
		return nil, err
	}
	s := h.conn.addStmt(h, st, inner)
	st.called()
	st.leave() // it needs the lease until it is closed
	return s, nil
}

func (h *handle) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if st := statementOf(ctx); st != nil && st.adopt != nil && !st.begun {
		return h.adopt(st)
	}
	beginner, ok := h.conn.inner.(driver.ConnBeginTx)
	if !ok {
		return nil, errDriver
	}
	st, err := h.begin(ctx, "BEGIN")
	if err != nil {
		return nil, err
	}
	h.conn.mu.Lock()
	open := h.conn.tx
	h.conn.mu.Unlock()
	if open != nil {
		st.called()
		st.end()
		return nil, fmt.Errorf("%w: it was begun at %s; nest with its own BeginTx, which makes a savepoint", ErrInAtomicBlock, open.place.String())
	}
	inner, err := beginner.BeginTx(st, opts)
	var t *tx
	if err == nil {
		t = h.conn.addTx(h, st, inner)
	}
	err = h.conn.judge(st, err)
	st.called()
	st.observe(err)
	st.end()
	if err != nil {
		return nil, err
	}
	return t, nil
}
