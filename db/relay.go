package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
)

// relay makes *sql.Rows of values that are there already: only database/sql can make
// them, and bun reads nothing else. Each query is answered with the next rows of the
// source. It is for one goroutine.
type relay struct {
	db      *sql.DB
	columns []string
	next    func(dest []driver.Value) error // io.EOF after the last row
	limit   int
}

func newRelay(columns []string, next func(dest []driver.Value) error) *relay {
	r := &relay{columns: columns, next: next}
	r.db = sql.OpenDB(relayConn{r})
	r.db.SetMaxIdleConns(1)
	return r
}

// query returns the next rows, at most so many.
func (r *relay) query(ctx context.Context, limit int) (*sql.Rows, error) {
	r.limit = limit
	// Nothing here can be waited for, and a context that cannot end costs no goroutine.
	return r.db.QueryContext(context.WithoutCancel(ctx), "")
}

func (r *relay) close() error { return r.db.Close() }

// relayConn is the connection of a relay, and what makes it.
type relayConn struct{ *relay }

var (
	_ driver.Connector      = relayConn{}
	_ driver.QueryerContext = relayConn{}
)

var errRelay = errors.New("db: a relay answers queries only")

func (c relayConn) Connect(context.Context) (driver.Conn, error) { return c, nil }
func (relayConn) Driver() driver.Driver                          { return nil }
func (relayConn) Close() error                                   { return nil }
func (relayConn) Begin() (driver.Tx, error)                      { return nil, errRelay }
func (relayConn) Prepare(string) (driver.Stmt, error)            { return nil, errRelay }

func (c relayConn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &relayRows{c.relay, c.limit}, nil
}

type relayRows struct {
	relay *relay
	left  int
}

func (r *relayRows) Columns() []string { return r.relay.columns }
func (r *relayRows) Close() error      { return nil }

func (r *relayRows) Next(dest []driver.Value) error {
	if r.left == 0 {
		return io.EOF
	}
	r.left--
	return r.relay.next(dest)
}
