package views

import (
	"bytes"
	"cmp"
	"database/sql/driver"
	"encoding"
	"encoding/csv"
	"fmt"
	"iter"
	"reflect"
)

// CSV is the body of a stream of rows, as encoding/csv writes them (RFC 4180,
// with lines that end in \n). Each row is a chunk. The first row takes the header
// with it, so that a source that fails at once is still an ordinary error; a
// source without rows gives the header alone.
//
// T is a struct or a pointer to one, or []string, which has no header. The columns
// of a struct are its exported fields in their order, those of embedded structs
// included; a column is named by the tag `csv:"name"`, else like the field in
// snake case, and `csv:"-"` leaves the field out. Embedded structs of no size,
// such as a model's base, are skipped.
//
// A value is written by its MarshalText, its driver.Valuer or its String, the
// first that it has, or as strings, numbers, booleans and bytes are. Times are in
// RFC 3339. A nil pointer, a NULL and the zero time are empty. Fields of other
// types are an error before the first byte that names the field.
//
// An error in the middle breaks the response off behind the last whole row.
func CSV[T any](rows iter.Seq2[T, error]) iter.Seq2[[]byte, error] {
	return CSVWith(CSVOptions{}, rows)
}

// CSVWith is [CSV] for those who read it otherwise than programs do: see
// [CSVOptions].
func CSVWith[T any](o CSVOptions, rows iter.Seq2[T, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		table, err := newTable(reflect.TypeFor[T](), o)
		if err != nil {
			yield(nil, err)
			return
		}
		begun := false
		for row, err := range rows {
			if err == nil && !begun {
				begun, err = true, table.begin()
			}
			if err == nil {
				err = table.writeRow(reflect.ValueOf(&row).Elem())
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(table.chunk.Bytes(), nil) {
				return
			}
			table.chunk.Reset()
		}
		if begun {
			return
		}
		err = table.begin()
		yield(table.chunk.Bytes(), err)
	}
}

// table writes the rows of one type into a chunk.
type table struct {
	CSVOptions
	row     reflect.Type
	columns []column // none: the row is a []string
	cells   []string
	safe    []string // cells without formulas
	chunk   bytes.Buffer
	writer  *csv.Writer
}

type column struct {
	name  string
	index []int
	format
}

func newTable(row reflect.Type, o CSVOptions) (*table, error) {
	t := &table{CSVOptions: o, row: row}
	t.writer = csv.NewWriter(&t.chunk)
	t.writer.Comma, t.writer.UseCRLF = cmp.Or(o.Comma, t.writer.Comma), o.CRLF
	if row == reflect.TypeFor[[]string]() {
		return t, nil
	}
	model := row
	if model.Kind() == reflect.Pointer {
		model = model.Elem()
	}
	if model.Kind() != reflect.Struct {
		return nil, fmt.Errorf("views: CSV: rows of %v have no columns: use a struct, a pointer to one or []string", row)
	}
	for _, field := range fieldsOf(model, csvTag, isCell) {
		format := cellFormat(field.Type)
		if format == nil {
			return nil, fmt.Errorf("views: CSV: field %s of %v is a %v, which is no cell: give it a MarshalText or the tag `csv:\"-\"`", field.Name, model, field.Type)
		}
		t.columns = append(t.columns, column{cmp.Or(field.tag, snakeCase(field.Name)), field.Index, format})
	}
	if len(t.columns) == 0 {
		return nil, fmt.Errorf("views: CSV: %v has no exported field: there is nothing to write", model)
	}
	t.cells = make([]string, len(t.columns))
	return t, nil
}

func csvTag(f reflect.StructField) string { return f.Tag.Get("csv") }

// isCell reports whether an embedded struct is a column, not several.
func isCell(t reflect.Type) bool {
	return has[encoding.TextMarshaler](t) || has[driver.Valuer](t)
}

// begin writes what stands before the first row.
func (t *table) begin() error {
	if t.BOM {
		t.chunk.WriteString(byteOrderMark)
	}
	if t.NoHeader {
		return nil
	}
	for i, c := range t.columns {
		t.cells[i] = c.name
	}
	return t.write(t.cells)
}

func (t *table) writeRow(row reflect.Value) error {
	if t.columns == nil {
		return t.write(row.Interface().([]string))
	}
	if row.Kind() == reflect.Pointer {
		if row.IsNil() {
			return fmt.Errorf("views: CSV: a row is a nil %v", t.row)
		}
		row = row.Elem()
	}
	for i, c := range t.columns {
		field, err := row.FieldByIndexErr(c.index)
		if err != nil { // of an embedded pointer that is nil
			t.cells[i] = ""
			continue
		}
		if t.cells[i], err = c.format(field); err != nil {
			return fmt.Errorf("views: CSV: column %q: %w", c.name, err)
		}
	}
	return t.write(t.cells)
}

func (t *table) write(cells []string) error {
	switch {
	case len(cells) == 0:
		return nil
	case len(cells) == 1 && cells[0] == "":
		t.chunk.WriteString("\"\"") // encoding/csv writes an empty line, and skips it when reading
		if t.CRLF {
			t.chunk.WriteByte('\r')
		}
		t.chunk.WriteByte('\n')
		return nil
	}
	if t.FormulaSafe {
		cells = t.harmless(cells)
	}
	if err := t.writer.Write(cells); err != nil {
		return fmt.Errorf("views: CSV: %w", err)
	}
	t.writer.Flush()
	return t.writer.Error()
}

// harmless returns the cells without formulas. The caller's are not touched.
func (t *table) harmless(cells []string) []string {
	t.safe = append(t.safe[:0], cells...)
	for i, cell := range t.safe {
		t.safe[i] = harmless(cell)
	}
	return t.safe
}
