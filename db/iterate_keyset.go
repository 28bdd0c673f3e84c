package db

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/goquintet/quintet/db/pool"
)

// iterateKeyset reads batches that each begin behind the last key of the one before.
func iterateKeyset[T any](ctx context.Context, place pool.Place, q *bun.SelectQuery, o IterateOptions, yield func(T, error) bool) (err error) {
	keys, err := keyset[T](q, o)
	if err == nil {
		q, err = unordered[T](q)
	}
	if err == nil {
		q, err = keys.selected(q)
	}
	if err != nil {
		return err
	}
	read := quickly{place: place}
	if read.conn, err = iteratedConn(ctx, q, ModeKeyset); err == nil {
		q = q.Clone().Conn(answering(read.query))
	} // else it is of a bun.Tx, say, and is sent there
	defer func() { err = errors.Join(err, read.close()) }()
	var last *T
	for {
		batch, err := keys.read(ctx, q, last)
		if err != nil {
			return err
		}
		for _, row := range batch {
			if !yield(row, nil) {
				return errStopped
			}
		}
		if len(batch) < keys.size {
			return nil
		}
		last = &batch[len(batch)-1]
		if err := keys.known(last); err != nil {
			return err
		}
	}
}

// keys is the order of an iteration.
type keys[T any] struct {
	size   int
	fields []*schema.Field
	desc   []bool
}

func keyset[T any](q *bun.SelectQuery, o IterateOptions) (*keys[T], error) {
	k, typ := &keys[T]{size: o.BatchSize}, reflect.TypeFor[T]()
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
