package postgres

import (
	"bytes"
	"database/sql/driver"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// rows are the answer to a query that was sent alone. Their values and types are those
// that pgx's package stdlib gives.
type rows struct {
	results *pgconn.MultiResultReader // of the connection: the next query has the same
	result  *pgconn.ResultReader      // likewise
	types   *pgtype.Map
	fields  []pgconn.FieldDescription // until the next query
	first   bool                      // the first row was read, and nobody has asked for it
	over    bool                      // results is no longer about this query
	err     error                     // what it ended with
}

func (r *rows) Columns() []string {
	names := make([]string, len(r.fields))
	for i := range r.fields {
		names[i] = r.fields[i].Name
	}
	return names
}

// Close reads what is left.
func (r *rows) Close() error {
	if !r.over {
		r.over = true
		_, err := r.result.Close()
		if r.err = r.results.Close(); r.err == nil {
			r.err = err
		}
	}
	return r.err
}

func (r *rows) Next(dest []driver.Value) error {
	if r.over || !r.first && !r.result.NextRow() {
		if err := r.Close(); err != nil {
			return err
		}
		return io.EOF
	}
	r.first = false
	for i, text := range r.result.Values() {
		value, err := r.value(r.fields[i].DataTypeOID, text)
		if err != nil {
			return fmt.Errorf("postgres: column %q: %w", r.fields[i].Name, err)
		}
		dest[i] = value
	}
	return nil
}

// value reads what the server has written as text. What it has no case for stays text.
func (r *rows) value(oid uint32, text []byte) (driver.Value, error) {
	if text == nil {
		return nil, nil
	}
	switch oid {
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID, pgtype.XIDOID, pgtype.CIDOID:
		return valueOf(strconv.ParseInt(string(text), 10, 64))
	case pgtype.BoolOID:
		return len(text) == 1 && text[0] == 't', nil
	case pgtype.Float4OID:
		return valueOf(strconv.ParseFloat(string(text), 32))
	case pgtype.Float8OID:
		return valueOf(strconv.ParseFloat(string(text), 64))
	case pgtype.JSONOID, pgtype.JSONBOID, pgtype.XMLOID:
		return bytes.Clone(text), nil
	case pgtype.ByteaOID:
		var v []byte
		err := r.scan(oid, text, &v)
		return v, err
	case pgtype.DateOID:
		return scanValue[pgtype.Date](r, oid, text)
	case pgtype.TimestampOID:
		return scanValue[pgtype.Timestamp](r, oid, text)
	case pgtype.TimestamptzOID:
		return scanValue[pgtype.Timestamptz](r, oid, text)
	}
	return string(text), nil
}

func valueOf[T any](v T, err error) (driver.Value, error) { return v, err }

func (r *rows) scan(oid uint32, text []byte, to any) error {
	return r.types.Scan(oid, pgtype.TextFormatCode, text, to)
}

// scanValue reads a time: before Christ, and infinite, as pgx does.
func scanValue[T driver.Valuer](r *rows, oid uint32, text []byte) (driver.Value, error) {
	var v T
	if err := r.scan(oid, text, &v); err != nil {
		return nil, err
	}
	return v.Value()
}

func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	oid := r.fields[i].DataTypeOID
	if known, ok := r.types.TypeForOID(oid); ok {
		return strings.ToUpper(known.Name)
	}
	return strconv.FormatUint(uint64(oid), 10)
}

// header is what PostgreSQL counts in the modifier of a type of variable length.
const header = 4

func (r *rows) ColumnTypeLength(i int) (length int64, ok bool) {
	switch f := &r.fields[i]; f.DataTypeOID {
	case pgtype.TextOID, pgtype.ByteaOID:
		return math.MaxInt64, true
	case pgtype.VarcharOID, pgtype.BPCharOID:
		return int64(f.TypeModifier - header), true
	case pgtype.VarbitOID:
		return int64(f.TypeModifier), true
	}
	return 0, false
}

func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	f := &r.fields[i]
	if f.DataTypeOID != pgtype.NumericOID {
		return 0, 0, false
	}
	modifier := int64(f.TypeModifier - header)
	return modifier >> 16 & 0xffff, modifier & 0xffff, true
}

func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	switch r.fields[i].DataTypeOID {
	case pgtype.Int2OID:
		return reflect.TypeFor[int16]()
	case pgtype.Int4OID:
		return reflect.TypeFor[int32]()
	case pgtype.Int8OID:
		return reflect.TypeFor[int64]()
	case pgtype.BoolOID:
		return reflect.TypeFor[bool]()
	case pgtype.Float4OID:
		return reflect.TypeFor[float32]()
	case pgtype.Float8OID, pgtype.NumericOID:
		return reflect.TypeFor[float64]()
	case pgtype.DateOID, pgtype.TimestampOID, pgtype.TimestamptzOID:
		return reflect.TypeFor[time.Time]()
	case pgtype.ByteaOID:
		return reflect.TypeFor[[]byte]()
	}
	return reflect.TypeFor[string]()
}
