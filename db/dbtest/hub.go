package dbtest

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
)

// hub is the one real connection of a wrapped test to an alias, and the transaction on
// it that is rolled back at the end. It is opened by the first statement. All virtual
// connections share it.
type hub struct {
	t        testing.TB
	alias    string
	postgres bool // its failed statements fail the transaction, and its rows are typed
	engine   pool.Driver
	turns    turns
	names    int // of savepoints; of whose turn it is

	opening sync.Mutex // held while the connection is opened
	wire    sync.Mutex // held during each call on it

	mu     sync.Mutex // guards the rest
	conn   *real
	lost   error         // why there is no transaction any more
	reset  bool          // a holder has left something on the session
	unused []driver.Stmt // prepared statements that were closed
	over   bool
}

// real is the connection.
type real struct {
	driver.Conn
	exec    driver.ExecerContext
	query   driver.QueryerContext
	prepare driver.ConnPrepareContext
	pid     string // of the session, where that is a process
	defers  bool   // constraints may be deferred to the end
	free    func()
}

func newHub(t testing.TB, alias string, settings db.Settings, engine pool.Driver) *hub {
	h := &hub{t: t, alias: alias, engine: engine}
	h.postgres = strings.HasPrefix(strings.ToLower(settings.Engine), Postgres)
	var stop context.CancelFunc
	h.turns.patience, stop = patience(t) //nolint:fatcontext // the test's, which it does not outlive
	t.Cleanup(func() {
		defer stop()
		h.end()
	})
	return h
}

// open returns the connection, in its transaction, and opens it for the first caller.
func (h *hub) open() (*real, error) {
	if r, err := h.opened(); r != nil || err != nil {
		return r, err
	}
	h.opening.Lock()
	defer h.opening.Unlock()
	if r, err := h.opened(); r != nil || err != nil {
		return r, err
	}
	ctx := h.turns.patience
	free, err := shared.seat(ctx, h.postgres)
	if err != nil {
		return nil, err
	}
	r, err := h.dial(ctx)
	if err != nil {
		free()
		return nil, fmt.Errorf("dbtest: the connection of %s to %q: %w", h.t.Name(), h.alias, err)
	}
	r.free = free
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conn = r
	return r, nil
}

func (h *hub) opened() (*real, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn == nil && h.over {
		return nil, fmt.Errorf("%w: %s has ended", ErrWrapped, h.t.Name())
	}
	return h.conn, h.lost
}

// dial connects, again and again while the server is full.
func (h *hub) dial(ctx context.Context) (*real, error) {
	c, err := h.engine.Connect(ctx)
	for wait := connectAgain; err != nil && h.engine.Transient(err) && sleep(ctx, wait); wait = min(2*wait, longestWait) {
		c, err = h.engine.Connect(ctx)
	}
	if err != nil {
		return nil, err
	}
	r, ok := newReal(c)
	if !ok {
		return nil, errors.Join(fmt.Errorf("dbtest: a %T cannot be shared", c), h.engine.Close(c))
	}
	if err := h.begin(ctx, r); err != nil {
		return nil, errors.Join(err, h.engine.Close(c))
	}
	return r, nil
}

func newReal(c driver.Conn) (*real, bool) {
	r := &real{Conn: c}
	var ok [3]bool
	r.exec, ok[0] = c.(driver.ExecerContext)
	r.query, ok[1] = c.(driver.QueryerContext)
	r.prepare, ok[2] = c.(driver.ConnPrepareContext)
	return r, ok == [3]bool{true, true, true}
}

// begin names the session after the test, for others that wait for it, and begins.
func (h *hub) begin(ctx context.Context, r *real) error {
	if !h.postgres {
		return r.run(ctx, "BEGIN")
	}
	var err error
	if r.pid, err = r.text(ctx, "SELECT pg_backend_pid()::text"); err != nil {
		return err
	}
	if err := r.run(ctx, h.naming()); err != nil {
		return err
	}
	deferrable, err := r.text(ctx, "SELECT EXISTS (SELECT FROM pg_constraint WHERE condeferrable)::text")
	if err != nil {
		return err
	}
	r.defers = deferrable == "true"
	return r.run(ctx, "BEGIN")
}

func (h *hub) naming() string {
	name := strings.ReplaceAll(h.t.Name(), "'", "''")
	return "SET application_name = '" + name[:min(len(name), 63)] + "'"
}

func (r *real) run(ctx context.Context, query string) error {
	_, err := r.exec.ExecContext(ctx, query, nil)
	return err
}

// text reads the first column of the first row, "" without one.
func (r *real) text(ctx context.Context, query string) (_ string, err error) {
	inner, err := r.query.QueryContext(ctx, query, nil)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, inner.Close()) }()
	row := make([]driver.Value, len(inner.Columns()))
	if err := inner.Next(row); errors.Is(err, io.EOF) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	return fmt.Sprint(row[0]), nil
}

// intact remembers when the transaction of the test is gone: its connection is, or
// something has ended it.
func (h *hub) intact(err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost != nil || h.conn == nil {
		return h.lost
	}
	if err != nil && h.engine.Classify(err) == pool.Lost {
		h.lost = fmt.Errorf("%w: the connection of %s to %q is gone, and with it all that the test has done: %w", ErrWrapped, h.t.Name(), h.alias, err)
		return h.lost
	}
	if in, known := h.engine.InTransaction(h.conn.Conn); known && !in {
		h.lost = fmt.Errorf("%w: a statement has ended the transaction of %s on %q; leave BEGIN, COMMIT and ROLLBACK to db.Atomic", ErrWrapped, h.t.Name(), h.alias)
		return h.lost
	}
	return nil
}

// end checks what would be checked by a commit, and rolls back.
func (h *hub) end() {
	h.mu.Lock()
	r := h.conn
	lost := h.lost
	h.over = true
	h.mu.Unlock()
	if r == nil {
		return
	}
	defer r.free()
	ctx, cancel := cleanup()
	defer cancel()
	h.wire.Lock()
	defer h.wire.Unlock()
	if lost == nil {
		if err := h.constraints(ctx, r); err != nil {
			h.t.Errorf("dbtest: what %s has left in %q could not be committed: %v", h.t.Name(), h.alias, err)
		}
		if err := r.run(ctx, "ROLLBACK"); err != nil {
			h.t.Errorf("dbtest: %s: roll back: %v", h.t.Name(), err)
		}
	}
	if err := h.engine.Close(r.Conn); err != nil {
		h.t.Logf("dbtest: %s: close: %v", h.t.Name(), err) // a server that is slow to say goodbye is no failure
	}
}

// constraints checks those that are deferred to the commit.
func (h *hub) constraints(ctx context.Context, r *real) error {
	if h.postgres {
		return r.run(ctx, "SET CONSTRAINTS ALL IMMEDIATE")
	}
	on, err := r.text(ctx, "PRAGMA foreign_keys")
	if err != nil || on != "1" {
		return err
	}
	table, err := r.text(ctx, "PRAGMA foreign_key_check")
	if err == nil && table != "" {
		err = fmt.Errorf("FOREIGN KEY constraint failed: a row of the table %q points nowhere", table)
	}
	return err
}
