package db

import (
	"context"
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
// The query must have no order, limit or offset of its own: that is an error. It
// may join, but not load relations of bun; load them for each batch. It must not be
// used by anybody else while the iteration runs; iterating again starts anew. An
// error ends the iteration as its last pair.
func Iterate[T any](ctx context.Context, q *bun.SelectQuery, o ...IterateOptions) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		keys, err := keyset[T](q, o)
		if err == nil {
			q, err = unordered[T](q)
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
		page = page.WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery { return k.after(q, last) })
	}
	if err := page.Scan(ctx, &batch); err != nil {
		return nil, err
	}
	return batch, nil
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
	switch {
	case own.String() != unlimited.String():
		return nil, fmt.Errorf("db: Iterate: the query has a limit or an offset; break off the loop instead: %s", own.String())
	case !strings.Contains(ordered.String(), "ORDER BY quintet"):
		return nil, fmt.Errorf("db: Iterate: the query has an order; name unique columns in OrderBy instead: %s", own.String())
	}
	return q, nil
}

func direction(desc bool) string {
	if desc {
		return "DESC"
	}
	return "ASC"
}

// after adds the condition "behind this row": (a > ?) OR (a = ? AND b > ?) and so
// on. A row comparison would be shorter, but cannot mix directions.
func (k *keys[T]) after(q *bun.SelectQuery, last *T) *bun.SelectQuery {
	row := reflect.ValueOf(last).Elem()
	for n := range k.fields {
		q = q.WhereGroup(" OR ", func(q *bun.SelectQuery) *bun.SelectQuery {
			for i, f := range k.fields[:n+1] {
				op := "="
				if i == n {
					op = ">"
					if k.desc[i] {
						op = "<"
					}
				}
				q = q.Where("?TableAlias.? "+op+" ?", bun.Ident(f.Name), f.Value(row).Interface())
			}
			return q
		})
	}
	return q
}
