package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"os"
	"sync/atomic"
)

// inner is what a connection of modernc.org/sqlite can do. Its Validator is left
// out: it would give up every connection with an interrupted statement, which are
// as good as new.
type inner interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
}

// session is one connection.
type session struct {
	inner
	handle *handle
	file   os.FileInfo // as it was when it was opened; nil for memory
	killed atomic.Bool
}

func newSession(c driver.Conn) (*session, error) {
	in, ok := c.(inner)
	if !ok {
		return nil, fmt.Errorf("sqlite: %T lacks methods of database/sql/driver; use the version of modernc.org/sqlite that go.mod names", c)
	}
	return &session{inner: in, handle: newHandle(c)}, nil
}

// Unwrap returns modernc.org/sqlite's connection, for its backup and hooks.
func (s *session) Unwrap() driver.Conn { return s.inner }

// IsValid reports whether the connection may be used again.
func (s *session) IsValid() bool { return !s.killed.Load() }

// Close closes the file.
func (s *session) Close() error {
	s.killed.Store(true)
	s.handle.close()
	if err := s.inner.Close(); err != nil {
		return fmt.Errorf("sqlite: close: %w", err)
	}
	return nil
}

// QueryContext is the driver's, and has the context stop the rows as well: the
// driver's own contexts end with the first row.
func (s *session) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := s.inner.QueryContext(ctx, query, args)
	if err != nil || ctx.Done() == nil {
		return rows, err
	}
	return s.watch(ctx, rows), nil
}

// PrepareContext returns a statement whose rows stop with their context as well.
func (s *session) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	stmt, err := s.inner.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	full, ok := stmt.(fullStmt)
	if !ok {
		return stmt, nil
	}
	return &prepared{fullStmt: full, session: s}, nil
}

type fullStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type prepared struct {
	fullStmt
	session *session
}

func (p *prepared) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := p.fullStmt.QueryContext(ctx, args)
	if err != nil || ctx.Done() == nil {
		return rows, err
	}
	return p.session.watch(ctx, rows), nil
}
