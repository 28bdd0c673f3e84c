package dbtest

import (
	"bytes"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
)

// readRows are rows that have been read: those of one scope are open as long as it
// likes, and others use the connection.
type readRows struct {
	sets []*readSet
	at   int
}

type readSet struct {
	columns []string
	types   []columnType
	rows    [][]driver.Value
	next    int
	err     error // behind the last row
}

type columnType struct {
	scan             reflect.Type
	name             string
	length           int64
	nullable         bool
	precision, scale int64

	hasLength, hasNull, hasPrecision bool
}

// readAll reads rows to their end and closes them. It returns what it has read
// beside an error.
func readAll(inner driver.Rows) (*readRows, error) {
	r := &readRows{}
	for {
		set, err := readOne(inner)
		r.sets = append(r.sets, set)
		more, ok := inner.(driver.RowsNextResultSet)
		if err == nil && ok && more.HasNextResultSet() {
			if err = more.NextResultSet(); err == nil {
				continue
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
		}
		if closing := inner.Close(); err == nil {
			err = closing
		}
		return r, err
	}
}

// queried is what a query returns of its rows and its error: one that comes after
// some rows is met behind them, as on any connection.
func (r *readRows) queried(err error) (driver.Rows, error) {
	if err == nil {
		return r, nil
	}
	if r == nil || !r.some() {
		return nil, err
	}
	r.sets[len(r.sets)-1].err = err
	return r, nil
}

func readOne(inner driver.Rows) (*readSet, error) {
	set := &readSet{columns: inner.Columns()}
	for i := range set.columns {
		set.types = append(set.types, typeOf(inner, i))
	}
	for {
		row := make([]driver.Value, len(set.columns))
		if err := inner.Next(row); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return set, err
		}
		for i, value := range row {
			if b, ok := value.([]byte); ok { // valid until Next
				row[i] = bytes.Clone(b)
			}
		}
		set.rows = append(set.rows, row)
	}
}

func typeOf(inner driver.Rows, i int) (t columnType) {
	t.scan = reflect.TypeFor[any]()
	if typed, ok := inner.(driver.RowsColumnTypeScanType); ok {
		t.scan = typed.ColumnTypeScanType(i)
	}
	if typed, ok := inner.(driver.RowsColumnTypeDatabaseTypeName); ok {
		t.name = typed.ColumnTypeDatabaseTypeName(i)
	}
	if typed, ok := inner.(driver.RowsColumnTypeLength); ok {
		t.length, t.hasLength = typed.ColumnTypeLength(i)
	}
	if typed, ok := inner.(driver.RowsColumnTypeNullable); ok {
		t.nullable, t.hasNull = typed.ColumnTypeNullable(i)
	}
	if typed, ok := inner.(driver.RowsColumnTypePrecisionScale); ok {
		t.precision, t.scale, t.hasPrecision = typed.ColumnTypePrecisionScale(i)
	}
	return t
}

func (r *readRows) set() *readSet { return r.sets[r.at] }

// some reports whether there is any row.
func (r *readRows) some() bool {
	for _, set := range r.sets {
		if len(set.rows) > 0 {
			return true
		}
	}
	return false
}

// Columns implements driver.Rows.
func (r *readRows) Columns() []string {
	if len(r.sets) == 0 {
		return nil
	}
	return r.set().columns
}

// Next implements driver.Rows.
func (r *readRows) Next(dest []driver.Value) error {
	if len(r.sets) == 0 {
		return io.EOF
	}
	set := r.set()
	if set.next == len(set.rows) {
		if set.err != nil {
			return set.err
		}
		return io.EOF
	}
	copy(dest, set.rows[set.next])
	set.next++
	return nil
}

// Close implements driver.Rows.
func (r *readRows) Close() error { return nil }

// HasNextResultSet implements driver.RowsNextResultSet.
func (r *readRows) HasNextResultSet() bool { return r.at+1 < len(r.sets) }

// NextResultSet implements driver.RowsNextResultSet.
func (r *readRows) NextResultSet() error {
	if !r.HasNextResultSet() {
		return io.EOF
	}
	r.at++
	return nil
}

// ColumnTypeScanType implements driver.RowsColumnTypeScanType.
func (r *readRows) ColumnTypeScanType(i int) reflect.Type { return r.set().types[i].scan }

// ColumnTypeDatabaseTypeName implements driver.RowsColumnTypeDatabaseTypeName.
func (r *readRows) ColumnTypeDatabaseTypeName(i int) string { return r.set().types[i].name }

// ColumnTypeLength implements driver.RowsColumnTypeLength.
func (r *readRows) ColumnTypeLength(i int) (length int64, ok bool) {
	t := r.set().types[i]
	return t.length, t.hasLength
}

// ColumnTypeNullable implements driver.RowsColumnTypeNullable.
func (r *readRows) ColumnTypeNullable(i int) (nullable, ok bool) {
	t := r.set().types[i]
	return t.nullable, t.hasNull
}

// ColumnTypePrecisionScale implements driver.RowsColumnTypePrecisionScale.
func (r *readRows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	t := r.set().types[i]
	return t.precision, t.scale, t.hasPrecision
}
