package db

import (
	"context"
	"database/sql/driver"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// IterateOptions shape [Iterate]. The zero value means the defaults.
type IterateOptions struct {
	// BatchSize is how many rows one statement reads. 0 is 1000.
	BatchSize int
	// OrderBy are the columns that order the rows, together unique and never null;
	// a leading "-" turns the order round. Empty is the primary key.
	OrderBy []string
}

const defaultBatchSize = 1000

// Iterate reads the rows of a query in batches and holds no connection between
// them: each batch is a statement of its own that goes on after the last key of
// the one before. A row that is written meanwhile is seen when its key is still
// ahead; none is seen twice. T is the model, a struct.
//
// The query must have no order, limit or offset of its own and be no union: those
// are errors. It may join and load relations to one, but not to many: load these for
// each batch. It must not be used by anybody else while the iteration runs;
// iterating again starts anew. An error ends the iteration as its last pair.
func Iterate[T any](ctx context.Context, q *bun.SelectQuery, o ...IterateOptions) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		keys, err := keyset[T](q, o)
		if err == nil {
			q, err = unordered[T](q)
		}
		if err == nil {
			q, err = keys.selected(q)
		}
		if err != nil {
			yield(none, err)
			return
		}
		var last *T
		for {
			batch, err := keys.read(ctx, q, last)
			if err != nil {
				yield(none, err)
				return
			}
			for _, row := range batch {
				if !yield(row, nil) {
					return
				}
			}
			if len(batch) < keys.size {
				return
			}
			last = &batch[len(batch)-1]
			if err := keys.known(last); err != nil {
				yield(none, err)
				return
			}
		}
	}
}

// keys is the order of an iteration.
type keys[T any] struct {
	size   int
	fields []*schema.Field
	desc   []bool
}

func keyset[T any](q *bun.SelectQuery, options []IterateOptions) (*keys[T], error) {
	var o IterateOptions
	if len(options) > 0 {
		o = options[0]
	}
	if o.BatchSize < 0 {
		return nil, fmt.Errorf("db: Iterate: BatchSize %d is negative; leave it out for %d", o.BatchSize, defaultBatchSize)
	}
	k := &keys[T]{size: o.BatchSize}
	if k.size == 0 {
		k.size = defaultBatchSize
	}
	typ := reflect.TypeFor[T]()
	if typ.Kind() != reflect.Struct {
		return nil, fmt.Errorf("db: Iterate: %s is no struct; iterate over the model itself", typ)
	}
	table := q.DB().Table(typ)
	if len(o.OrderBy) == 0 {
		k.fields, k.desc = table.PKs, make([]bool, len(table.PKs))
		if len(k.fields) == 0 {
			return nil, fmt.Errorf("db: Iterate: %s has no primary key; name unique columns in OrderBy", typ)
		}
		return k, nil
	}
	for _, column := range o.OrderBy {
		name, desc := strings.CutPrefix(column, "-")
		i := slices.IndexFunc(table.Fields, func(f *schema.Field) bool { return f.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("db: Iterate: %s has no column %q to order by", typ, name)
		}
		k.fields, k.desc = append(k.fields, table.Fields[i]), append(k.desc, desc)
	}
	return k, nil
}

// read returns the rows that follow last.
func (k *keys[T]) read(ctx context.Context, q *bun.SelectQuery, last *T) ([]T, error) {
	batch := make([]T, 0, k.size)
	page := q.Clone().Limit(int64(k.size))
	for i, f := range k.fields {
		page = page.OrderExpr("?TableAlias.? "+direction(k.desc[i]), bun.Ident(f.Name))
	}
	if last != nil {
		// Beside the conditions of the query, which may have an OR, not among them.
		behind, args := k.after(last)
		page = page.Join("JOIN (SELECT 1) AS quintet ON "+behind, args...)
	}
	if err := page.Scan(ctx, &batch); err != nil {
		return nil, err
	}
	return batch, nil
}

// known returns an error when a key of the row is null: nothing is behind null.
func (k *keys[T]) known(last *T) error {
	for _, f := range k.fields {
		value := f.Value(reflect.ValueOf(last).Elem())
		null := value.Kind() == reflect.Pointer && value.IsNil()
		if valuer, ok := value.Interface().(driver.Valuer); ok && !null {
			v, err := valuer.Value()
			if err != nil {
				return fmt.Errorf("db: Iterate: column %q: %w", f.Name, err)
			}
			null = v == nil
		}
		if null {
			return fmt.Errorf("db: Iterate: column %q is null in a row; order by columns that never are", f.Name)
		}
	}
	return nil
}

// selected returns the query with the key columns among those that it names; one
// that names none reads them all.
func (k *keys[T]) selected(q *bun.SelectQuery) (*bun.SelectQuery, error) {
	text, err := q.Clone().ColumnExpr("quintet").AppendQuery(q.DB().QueryGen(), nil)
	if err != nil {
		return nil, fmt.Errorf("db: Iterate: %w", err)
	}
	for _, all := range []string{"SELECT quintet", "SELECT DISTINCT quintet"} {
		if strings.Contains(string(text), all) {
			return q, nil
		}
	}
	q = q.Clone()
	for _, f := range k.fields {
		q = q.ColumnExpr("?TableAlias.?", bun.Ident(f.Name))
	}
	return q, nil
}

// unordered returns the query with a model, and an error when it has an order or a
// limit: those would lose rows. bun does not tell, but the text does.
func unordered[T any](q *bun.SelectQuery) (*bun.SelectQuery, error) {
	if q.GetModel() == nil {
		q = q.Clone().Model((*T)(nil))
	}
	var own, unlimited, ordered strings.Builder
	for _, text := range []struct {
		to    *strings.Builder
		query *bun.SelectQuery
	}{{&own, q}, {&unlimited, q.Clone().Limit(0).Offset(0)}, {&ordered, q.Clone().OrderExpr("quintet")}} {
		b, err := text.query.AppendQuery(q.DB().QueryGen(), nil)
		if err != nil {
			return nil, fmt.Errorf("db: Iterate: %w", err)
		}
		text.to.Write(b)
	}
	_, behind, unordered := strings.Cut(ordered.String(), " ORDER BY quintet")
	switch {
	case own.String() != unlimited.String():
		return nil, fmt.Errorf("db: Iterate: the query has a limit or an offset; break off the loop instead: %s", own.String())
	case !unordered:
		return nil, fmt.Errorf("db: Iterate: the query has an order; name unique columns in OrderBy instead: %s", own.String())
	case behind != "" && !strings.HasPrefix(behind, " FOR "):
		return nil, fmt.Errorf("db: Iterate: the query is a union; iterate over a subquery or over each part: %s", own.String())
	}
	return q, nil
}

func direction(desc bool) string {
	if desc {
		return "DESC"
	}
	return "ASC"
}

// after is the condition "behind this row": a > ? OR (a = ? AND b > ?) and so on. A
// row comparison would be shorter, but cannot mix directions. The bound of the
// first column says the same as the rest and is what an index can use.
func (k *keys[T]) after(last *T) (condition string, args []any) {
	row := reflect.ValueOf(last).Elem()
	compare := func(i int, operator string) string {
		args = append(args, bun.Ident(k.fields[i].Name), k.fields[i].Value(row).Interface())
		return "?TableAlias.? " + operator + " ?"
	}
	beyond := func(i int) string {
		if k.desc[i] {
			return "<"
		}
		return ">"
	}
	bound := compare(0, beyond(0)+"=")
	cases := make([]string, len(k.fields))
	for n := range k.fields {
		for i := range n {
			cases[n] += compare(i, "=") + " AND "
		}
		cases[n] += compare(n, beyond(n))
	}
	return bound + " AND ((" + strings.Join(cases, ") OR (") + "))", args
}
