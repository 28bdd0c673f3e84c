package views

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"iter"
	"reflect"
	"slices"
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
func CSV[T any](rows iter.Seq2[T, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		table, err := newTable(reflect.TypeFor[T]())
		if err != nil {
			yield(nil, err)
			return
		}
		var chunk bytes.Buffer
		writer := csv.NewWriter(&chunk)
		begun := false
		for row, err := range rows {
			if err == nil && !begun {
				err = table.writeHeader(writer)
				begun = true
			}
			if err == nil {
				err = table.writeRow(writer, reflect.ValueOf(&row).Elem())
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(chunk.Bytes(), nil) {
				return
			}
			chunk.Reset()
		}
		if begun {
			return
		}
		if err := table.writeHeader(writer); err != nil {
			yield(nil, err)
		} else if chunk.Len() > 0 {
			yield(chunk.Bytes(), nil)
		}
	}
}

// table knows how the rows of one type are written.
type table struct {
	row     reflect.Type
	columns []column // none: the row is a []string
	cells   []string
}

type column struct {
	name  string
	index []int
	format
}

func newTable(row reflect.Type) (*table, error) {
	t := &table{row: row}
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
	if err := t.addColumns(model, model, nil); err != nil {
		return nil, err
	}
	if len(t.columns) == 0 {
		return nil, fmt.Errorf("views: CSV: %v has no exported field: there is nothing to write", model)
	}
	t.cells = make([]string, len(t.columns))
	return t, nil
}

// addColumns adds the fields of part, which stands in the model at that index.
func (t *table) addColumns(model, part reflect.Type, at []int) error {
	for i := range part.NumField() {
		field := part.Field(i)
		index := append(slices.Clip(at), i)
		tag := field.Tag.Get("csv")
		promoted, _ := model.FieldByName(field.Name)
		if tag == "-" || !slices.Equal(promoted.Index, index) { // or hidden, as Go hides it
			continue
		}
		if inner, ok := embedded(field); ok && tag == "" {
			if err := t.addColumns(model, inner, index); err != nil {
				return err
			}
			continue
		}
		if !field.IsExported() {
			continue
		}
		format := cellFormat(field.Type)
		if format == nil {
			return fmt.Errorf("views: CSV: field %s of %v is a %v, which is no cell: give it a MarshalText or the tag `csv:\"-\"`", field.Name, part, field.Type)
		}
		t.columns = append(t.columns, column{cmp.Or(tag, snakeCase(field.Name)), index, format})
	}
	return nil
}

// embedded returns the struct whose fields are columns in the place of field.
func embedded(field reflect.StructField) (reflect.Type, bool) {
	inner := field.Type
	if inner.Kind() == reflect.Pointer {
		inner = inner.Elem()
	}
	if !field.Anonymous || inner.Kind() != reflect.Struct {
		return nil, false
	}
	return inner, byMethod(textCell)(inner) == nil && byMethod(valuerCell)(inner) == nil
}

func (t *table) writeHeader(w *csv.Writer) error {
	for i, c := range t.columns {
		t.cells[i] = c.name
	}
	return t.write(w, t.cells)
}

func (t *table) writeRow(w *csv.Writer, row reflect.Value) error {
	if t.columns == nil {
		return t.write(w, row.Interface().([]string))
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
	return t.write(w, t.cells)
}

// write writes through to the chunk.
func (t *table) write(w *csv.Writer, cells []string) error {
	if len(cells) == 0 {
		return nil
	}
	if err := w.Write(cells); err != nil {
		return fmt.Errorf("views: CSV: %w", err)
	}
	w.Flush()
	return w.Error()
}
