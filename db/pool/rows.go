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
	openedAt time.Time

	// Guarded by conn.wire.
	closed bool
	byUser bool  // closed by their own Close, before a release came to it
	err    error // why they were closed
}

func newRows(st *Statement, inner driver.Rows) *rows {
	return &rows{inner: inner, st: st, openedAt: time.Now()}
}

func (r *rows) Columns() []string { return r.inner.Columns() }

// Next reads a row. Once the statement's context has ended, or its lease, it
// returns that as its error.
func (r *rows) Next(dest []driver.Value) error {
	return r.step(func() error { return r.inner.Next(dest) })
}

func (r *rows) step(call func() error) error {
	st, c := r.st, r.st.lease.conn
	c.wire.take()
	if r.closed {
		defer c.wire.give()
		return r.err
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
	st.called()
	if err == io.EOF { //nolint:errorlint // database/sql compares it so
		return io.EOF
	}
	return c.judge(st, err)
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
	err := r.inner.Close()
	r.st.called()
	err = c.judge(r.st, err)
	r.st.end()
	return err
}

func (r *rows) HasNextResultSet() bool {
	if n, ok := r.inner.(driver.RowsNextResultSet); ok {
		return n.HasNextResultSet()
	}
	return false
}

func (r *rows) NextResultSet() error {
	n, ok := r.inner.(driver.RowsNextResultSet)
	if !ok {
		return io.EOF
	}
	return r.step(n.NextResultSet)
}

func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	if t, ok := r.inner.(driver.RowsColumnTypeScanType); ok {
		return t.ColumnTypeScanType(i)
	}
	return reflect.TypeFor[any]()
}

func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	if t, ok := r.inner.(driver.RowsColumnTypeDatabaseTypeName); ok {
		return t.ColumnTypeDatabaseTypeName(i)
	}
	return ""
}

func (r *rows) ColumnTypeLength(i int) (int64, bool) {
	if t, ok := r.inner.(driver.RowsColumnTypeLength); ok {
		return t.ColumnTypeLength(i)
	}
	return 0, false
}

func (r *rows) ColumnTypeNullable(i int) (nullable, ok bool) {
	if t, ok := r.inner.(driver.RowsColumnTypeNullable); ok {
		return t.ColumnTypeNullable(i)
	}
	return false, false
}

func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	if t, ok := r.inner.(driver.RowsColumnTypePrecisionScale); ok {
		return t.ColumnTypePrecisionScale(i)
	}
	return 0, 0, false
}
