package dbtest

import (
	"context"
	"database/sql/driver"
	"fmt"
)

// CheckNamedValue asks the connection.
func (v *virtual) CheckNamedValue(value *driver.NamedValue) error {
	r, err := v.hub.open()
	if err != nil {
		return err
	}
	if checker, ok := r.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(value)
	}
	return driver.ErrSkip
}

// Prepare is the old form; database/sql uses the other.
func (v *virtual) Prepare(query string) (driver.Stmt, error) {
	return v.PrepareContext(context.Background(), query)
}

func (v *virtual) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s := &virtualStmt{v: v, query: query}
	err := v.on(ctx, query, func(ctx context.Context, r *real) (err error) {
		s.inner, err = r.prepare.PrepareContext(ctx, query)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// virtualStmt is a prepared statement.
type virtualStmt struct {
	v     *virtual
	query string
	inner driver.Stmt
}

func (s *virtualStmt) NumInput() int { return s.inner.NumInput() }

// Close leaves it to whoever is next on the connection: it must not wait for a
// statement of somebody else.
func (s *virtualStmt) Close() error {
	h := s.v.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unused = append(h.unused, s.inner)
	return nil
}

// Exec and Query are the old forms; database/sql uses the others.
func (s *virtualStmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }
func (s *virtualStmt) Query([]driver.Value) (driver.Rows, error)  { return nil, driver.ErrSkip }

func (s *virtualStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (res driver.Result, err error) {
	inner, ok := s.inner.(driver.StmtExecContext)
	if !ok {
		return nil, fmt.Errorf("dbtest: a %T has no ExecContext", s.inner)
	}
	err = s.v.on(ctx, s.query, func(ctx context.Context, _ *real) (err error) {
		res, err = inner.ExecContext(ctx, args)
		return err
	})
	return res, err
}

func (s *virtualStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	inner, ok := s.inner.(driver.StmtQueryContext)
	if !ok {
		return nil, fmt.Errorf("dbtest: a %T has no QueryContext", s.inner)
	}
	var rows *readRows
	err := s.v.on(ctx, s.query, func(ctx context.Context, _ *real) error {
		found, err := inner.QueryContext(ctx, args)
		if err == nil {
			rows, err = readAll(found)
		}
		return err
	})
	return rows.queried(err)
}
