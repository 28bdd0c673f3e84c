package pool

import (
	"database/sql/driver"
	"io"
	"reflect"
	"time"
)

// rows are the open rows of one statement. They hold the gate of their connection.
type rows struct {
	inner    driver.Rows
	st       *Statement
	openedAt time.Duration // on the pool's clock
	count    int64         // read so far

	// Guarded by conn.wire.
	closed bool  // by themselves, or by a release
	err    error // why they were closed
}

// newRows returns the rows of st, which has room for them: it has no others.
func newRows(st *Statement, inner driver.Rows) *rows {
	st.rows = rows{inner: inner, st: st, openedAt: st.lease.conn.pool.clock()}
	return &st.rows
}

func (r *rows) Columns() []string { return described(r, r.inner.Columns) }

// described looks at the rows of a driver, unless they are closed: by then it may
// have begun with others.
func described[T any](r *rows, look func() T) (v T) {
	c := r.st.lease.conn
	c.wire.take()
	defer c.wire.give()
	if !r.closed {
		v = look()
	}
	return v
}

// Next reads a row. Once the statement's context has ended, or its lease, it
// returns that as its error.
func (r *rows) Next(dest []driver.Value) error {
	return r.step(func() error {
		err := r.inner.Next(dest)
		if err == nil {
			r.count++
		}
		return err
	})
}

func (r *rows) step(call func() error) error {
	st, c := r.st, r.st.lease.conn
	c.wire.take()
	if r.closed {
		err := r.err
		c.wire.give()
		if released, ok := err.(*ReleasedError); ok { //nolint:errorlint // endOpen's, never wrapped
			late := *released
			return c.pool.late(st.Context, st.lease, c.pool.Here(), &late)
		}
		return err
	}
	c.mu.Lock()
	canceled := st.canceled
	if canceled == nil {
		c.callLocked(st)
	}
	c.mu.Unlock()
	if canceled != nil {
		c.wire.give()
		return canceled
	}
	err := call()
	if err != io.EOF { //nolint:errorlint // database/sql compares it so
		err = c.judge(st, err)
		st.failed = err != nil
	}
	st.called()
	return err
}

// Close ends the statement. Rows that a release has closed say why.
func (r *rows) Close() error {
	c := r.st.lease.conn
	c.wire.take()
	if r.closed {
		c.wire.give()
		return nil
	}
	r.closed = true
	r.err = io.EOF
	c.mu.Lock()
	c.callLocked(r.st)
	c.mu.Unlock()
	err := c.judge(r.st, r.inner.Close())
	r.st.called()
	r.st.end()
	return err
}

func (r *rows) HasNextResultSet() bool {
	n, ok := r.inner.(driver.RowsNextResultSet)
	return ok && described(r, n.HasNextResultSet)
}

func (r *rows) NextResultSet() error {
	n, ok := r.inner.(driver.RowsNextResultSet)
	if !ok {
		return io.EOF
	}
	return r.step(n.NextResultSet)
}

func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	t, ok := r.inner.(driver.RowsColumnTypeScanType)
	if ok {
		if found := described(r, func() reflect.Type { return t.ColumnTypeScanType(i) }); found != nil {
			return found
		}
	}
	return reflect.TypeFor[any]()
}

func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	t, ok := r.inner.(driver.RowsColumnTypeDatabaseTypeName)
	if !ok {
		return ""
	}
	return described(r, func() string { return t.ColumnTypeDatabaseTypeName(i) })
}

func (r *rows) ColumnTypeLength(i int) (length int64, ok bool) {
	if t, has := r.inner.(driver.RowsColumnTypeLength); has {
		length = described(r, func() (n int64) { n, ok = t.ColumnTypeLength(i); return n })
	}
	return length, ok
}

func (r *rows) ColumnTypeNullable(i int) (nullable, ok bool) {
	if t, has := r.inner.(driver.RowsColumnTypeNullable); has {
		nullable = described(r, func() (null bool) { null, ok = t.ColumnTypeNullable(i); return null })
	}
	return nullable, ok
}

func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	if t, has := r.inner.(driver.RowsColumnTypePrecisionScale); has {
		precision = described(r, func() (p int64) { p, scale, ok = t.ColumnTypePrecisionScale(i); return p })
	}
	return precision, scale, ok
}
