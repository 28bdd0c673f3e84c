package migrate

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

// session is the one connection of a run. goose wants a *sql.DB and takes a
// connection from it for each migration; this one has a single connection, the
// run's own, so that the lock, the table and the files share it and a pool of one
// is enough.
type session struct {
	db   *sql.DB
	conn *pinned
}

// hold runs fn on one connection of db. A connection that broke meanwhile does not
// go back to db.
func hold(ctx context.Context, db *sql.DB, fn func(*session) error) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("migrate: no connection: %w", err)
	}
	defer func() {
		if closeErr := conn.Close(); !errors.Is(closeErr, sql.ErrConnDone) { // Raw closes a broken one itself
			err = also(err, closeErr)
		}
	}()
	rawErr := conn.Raw(func(inner any) error {
		c, ok := inner.(driver.Conn)
		if !ok {
			return fmt.Errorf("migrate: %T is no connection", inner)
		}
		s := &session{conn: &pinned{Conn: c}}
		s.db = sql.OpenDB(s.conn)
		s.db.SetMaxOpenConns(1)
		defer func() { err = also(err, s.db.Close()) }()
		if err = fn(s); s.conn.lost {
			return driver.ErrBadConn
		}
		return nil
	})
	if errors.Is(rawErr, driver.ErrBadConn) {
		return err
	}
	return also(err, rawErr)
}

// settle ends a transaction that a failed file has left open, so that nobody
// inherits it.
func (s *session) settle(ctx context.Context) error {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	// BEGIN gives ROLLBACK something to end. Its error means that there is a
	// transaction already; ROLLBACK reports every other one too.
	_, _ = s.db.ExecContext(ctx, "BEGIN")
	_, err := s.db.ExecContext(ctx, "ROLLBACK")
	if s.conn.lost {
		return nil // the server has ended it
	}
	return err
}

// cleanup is a context for what must happen after the caller has gone.
func cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
}

// pinned is the run's connection for database/sql above it, and the connector that
// hands it out. Closing it does nothing: it belongs to the pool below.
type pinned struct {
	driver.Conn
	lost   bool  // the connection has ended
	ran    int   // statements of the migration that have ended well
	failed error // the driver's error of the first one that has not
	query  string
}

func (p *pinned) Connect(context.Context) (driver.Conn, error) {
	if p.lost {
		return nil, errors.New("migrate: the connection was lost")
	}
	return p, nil
}

func (p *pinned) Driver() driver.Driver { return nil }
func (p *pinned) Close() error          { return nil }

// watch begins to count for the next migration.
func (p *pinned) watch() { p.ran, p.failed, p.query = 0, nil, "" }

// note remembers what an error means for the connection.
func (p *pinned) note(err error) error {
	if errors.Is(err, driver.ErrBadConn) {
		p.lost = true
	}
	return err
}

func (p *pinned) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	inner, ok := p.Conn.(driver.ExecerContext)
	if !ok {
		return nil, fmt.Errorf("migrate: the driver's %T knows no ExecContext", p.Conn)
	}
	result, err := inner.ExecContext(ctx, query, args)
	switch {
	case errors.Is(err, driver.ErrSkip):
	case err == nil:
		p.ran++
	case p.failed == nil:
		p.failed, p.query = err, query
	}
	return result, p.note(err)
}

func (p *pinned) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	inner, ok := p.Conn.(driver.QueryerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	rows, err := inner.QueryContext(ctx, query, args)
	return rows, p.note(err)
}

func (p *pinned) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if inner, ok := p.Conn.(driver.ConnPrepareContext); ok {
		stmt, err := inner.PrepareContext(ctx, query)
		return stmt, p.note(err)
	}
	stmt, err := p.Prepare(query)
	return stmt, p.note(err)
}

// BeginTx begins without the caller's cancel: drivers keep the context for the
// rollback, which must still be sent when the caller has gone.
func (p *pinned) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if inner, ok := p.Conn.(driver.ConnBeginTx); ok {
		tx, err := inner.BeginTx(context.WithoutCancel(ctx), opts)
		return tx, p.note(err)
	}
	return nil, fmt.Errorf("migrate: the driver's %T knows no BeginTx", p.Conn)
}

func (p *pinned) CheckNamedValue(value *driver.NamedValue) error {
	if inner, ok := p.Conn.(driver.NamedValueChecker); ok {
		return inner.CheckNamedValue(value)
	}
	return driver.ErrSkip
}

// ResetSession and IsValid keep the connection between migrations and after a
// cancelled one; the pool below resets it afterwards.
func (p *pinned) ResetSession(context.Context) error { return nil }
func (p *pinned) IsValid() bool                      { return !p.lost }
