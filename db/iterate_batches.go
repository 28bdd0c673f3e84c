package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/uptrace/bun"
)

// iteratedConn returns the connection of ctx' scope that the query is sent to.
func iteratedConn(ctx context.Context, q *bun.SelectQuery, mode IterateMode) (*Conn, error) {
	sc := scopeOf(ctx)
	if sc == nil {
		return nil, ErrNoScope
	}
	for alias, d := range sc.connections.databases {
		if d.builder != q.DB() {
			continue
		}
		if c := sc.conn(alias); isSentTo(q, c) {
			return c, nil
		}
	}
	return nil, fmt.Errorf("db: Iterate: the query is not one of db.From or db.Using with this context, which mode %q needs; it is of another scope, transaction or database", mode)
}

// isSentTo reports whether the query is sent to c. bun does not tell: this looks into
// its query, and a bun that has that no more is noticed by every test.
func isSentTo(q *bun.SelectQuery, c *Conn) bool {
	conn := reflect.ValueOf(q).Elem().FieldByName("conn")
	if !conn.IsValid() || conn.Kind() != reflect.Interface || conn.IsNil() {
		return false
	}
	conn = conn.Elem()
	return conn.Type() == reflect.TypeOf(c) && conn.Pointer() == reflect.ValueOf(c).Pointer()
}

// answering is a connection that has bun make the text of a query and read its rows,
// and answers with rows of its own.
type answering func(ctx context.Context, query string) (*sql.Rows, error)

var _ bun.IConn = (answering)(nil)

func (a answering) QueryContext(ctx context.Context, query string, _ ...any) (*sql.Rows, error) {
	return a(ctx, query)
}

func (answering) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return nil, errNotAsked
}

func (answering) QueryRowContext(context.Context, string, ...any) *sql.Row {
	return errorRow(errNotAsked)
}

var (
	errNotAsked = errors.New("db: Iterate: only rows are read here")
	errAsked    = errors.New("db: Iterate: the query would do")
)

// readable returns the query, of T's table if it names none, and an error when bun
// cannot read it into T, before anything is sent.
func readable[T any](ctx context.Context, q *bun.SelectQuery) (*bun.SelectQuery, error) {
	if q.GetModel() == nil {
		text, err := q.Clone().TableExpr("quintet").AppendQuery(q.DB().QueryGen(), nil)
		if err != nil {
			return nil, fmt.Errorf("db: Iterate: %w", err)
		}
		if strings.Contains(string(text), " FROM quintet") { // the first of its tables
			q = q.Clone().Model((*T)(nil))
		}
	}
	var none []T
	refuse := answering(func(context.Context, string) (*sql.Rows, error) { return nil, errAsked })
	if err := q.Clone().Conn(refuse).Scan(ctx, &none); !errors.Is(err, errAsked) {
		return nil, errors.Join(errors.New("db: Iterate: the query cannot be read in batches"), err)
	}
	return q, nil
}

// yieldBatches reads batch after batch from where the query is sent to, until one has
// fewer rows than it might.
func yieldBatches[T any](ctx context.Context, q *bun.SelectQuery, size int, answer answering, yield func(T, error) bool) error {
	for {
		if ctx.Err() != nil {
			return contextError(ctx)
		}
		batch := make([]T, 0, size)
		if err := q.Clone().Conn(answer).Scan(ctx, &batch); err != nil {
			return err
		}
		for _, row := range batch {
			if !yield(row, nil) {
				return errStopped
			}
		}
		if len(batch) < size {
			return nil
		}
	}
}
