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
		// A prepared statement that looks for a second connection, or one that was
		// kept beyond its lease.
		k.c.mu.Lock()
		flight, last := k.c.flight, k.c.last
		k.c.mu.Unlock()
		if flight != nil {
			return nil, busy(&Statement{place: Here(1)}, flight)
		}
		return nil, k.c.releasedError(last)
	}
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	h := &handle{conn: k.c, epoch: k.c.epoch}
	h.lease.Store(st.lease)
	return h, nil
}

func (k connector) Driver() driver.Driver { return driverOnly{} }

type driverOnly struct{}

func (driverOnly) Open(string) (driver.Conn, error) {
	return nil, errors.New("db: open connections through db.Open")
}

// handle is what database/sql takes for a connection.
type handle struct {
	conn  *conn
	epoch uint64
	lease atomic.Pointer[Lease] // of the last statement that named one
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
	if st := statementOf(ctx); st != nil && st.lease != nil {
		h.lease.Store(st.lease)
	}
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
	err = h.conn.pool.cfg.Driver.Ping(st.driverContext(), h.conn.inner)
	st.called()
	err = h.conn.judge(st, err)
	st.end()
	return err
}

func (h *handle) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	st, err := h.begin(ctx, query)
	if err != nil {
		return nil, err
	}
	res, err := h.conn.exec.ExecContext(st.driverContext(), query, args)
	return res, h.executed(st, query, err)
}

// executed is the end of every statement that returns no rows.
func (h *handle) executed(st *Statement, query string, err error) error {
	h.conn.leaves(st, query)
	st.called()
	err = h.conn.judge(st, err)
	st.observe(err)
	st.end()
	return err
}

func (h *handle) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	st, err := h.begin(ctx, query)
	if err != nil {
		return nil, err
	}
	inner, err := h.conn.query.QueryContext(st.driverContext(), query, args)
	return h.queried(st, query, inner, err)
}

// queried is the end of every call that returns rows; the gate stays with them.
func (h *handle) queried(st *Statement, query string, inner driver.Rows, err error) (driver.Rows, error) {
	c := h.conn
	c.leaves(st, query)
	if err != nil {
		st.called()
		err = c.judge(st, err)
		st.observe(err)
		st.end()
		return nil, err
	}
	r := newRows(st, inner)
	c.mu.Lock()
	c.rows = r
	c.mu.Unlock()
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
	inner, err := preparer.PrepareContext(st.driverContext(), query)
	var s *stmt
	if err == nil {
		s = h.conn.addStmt(h, inner, query)
	}
	st.called()
	err = h.conn.judge(st, err)
	st.end()
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (h *handle) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
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
	inner, err := beginner.BeginTx(st.driverContext(), opts)
	var t *tx
	if err == nil {
		t = h.conn.addTx(h, st, inner)
	}
	st.called()
	err = h.conn.judge(st, err)
	st.observe(err)
	st.end()
	if err != nil {
		return nil, err
	}
	return t, nil
}
