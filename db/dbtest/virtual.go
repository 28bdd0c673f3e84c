package dbtest

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/goquintet/quintet/db/pool"
)

var (
	// ErrWrapped reports what cannot be done in a test that runs in one transaction.
	ErrWrapped = errors.New("dbtest: not in a wrapped test")

	errKilled = errors.New("dbtest: the virtual connection was killed")
	errClosed = errors.New("dbtest: the virtual connection is closed")
)

// virtual is a connection that a scope opens, uses and gives back as any other. What
// it sends goes to the hub: an autocommit statement as one savepoint, a transaction
// as another.
type virtual struct {
	hub *hub

	// Of who has the connection.
	block     *turn // while its transaction is open
	savepoint string
	readOnly  bool   // by its BEGIN, on PostgreSQL
	changes   string // of SQLite, when its transaction began

	mu       sync.Mutex // guards the rest
	dead     error
	quit     chan struct{}  // closed to stop a statement that waits for its turn; nil when none does
	running  *real          // while a statement is on the connection
	stopping sync.WaitGroup // cancels under way
}

var (
	_ driver.ExecerContext      = (*virtual)(nil)
	_ driver.QueryerContext     = (*virtual)(nil)
	_ driver.ConnPrepareContext = (*virtual)(nil)
	_ driver.ConnBeginTx        = (*virtual)(nil)
	_ driver.NamedValueChecker  = (*virtual)(nil)
	_ driver.Validator          = (*virtual)(nil)
)

func (v *virtual) alive() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.dead
}

// IsValid implements driver.Validator.
func (v *virtual) IsValid() bool { return v.alive() == nil }

// cancel stops what the connection does, or waits for.
func (v *virtual) cancel(ctx context.Context) error {
	v.mu.Lock()
	if v.quit != nil {
		close(v.quit)
		v.quit = nil
	}
	r := v.running
	if r != nil {
		v.stopping.Add(1)
	}
	v.mu.Unlock()
	if r == nil {
		return nil
	}
	defer v.stopping.Done()
	return v.hub.engine.Cancel(ctx, r.Conn)
}

// Close ends the connection. What its transaction has done is taken back.
func (v *virtual) Close() error {
	v.mu.Lock()
	if v.dead == nil {
		v.dead = errClosed
	}
	v.mu.Unlock()
	if v.block == nil {
		return nil
	}
	ctx, cancel := cleanup()
	defer cancel()
	return v.rollback(ctx)
}

// turn waits until the connection is this one's, which a transaction has already,
// and returns what ends that.
func (v *virtual) turn(ctx context.Context, block bool) (*real, func(), error) {
	v.mu.Lock()
	if v.dead != nil {
		defer v.mu.Unlock()
		return nil, nil, v.dead
	}
	quit := make(chan struct{})
	v.quit = quit
	v.mu.Unlock()
	defer func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.quit = nil
	}()

	r, err := v.hub.open()
	if err != nil {
		return nil, nil, err
	}
	if v.block != nil {
		return r, func() {}, nil
	}
	t := newTurn(ctx, block)
	if err := v.hub.turns.take(ctx, t, quit); err != nil {
		return nil, nil, err
	}
	v.hub.tidy(r)
	if block {
		v.block = t
	}
	return r, func() { v.hub.turns.give(t) }, nil
}

// lightReset is what of a reset can be done inside of a transaction.
const lightReset = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; RESET ROLE; UNLISTEN *; " +
	"SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES; "

// tidy takes back what a holder has left on the session, once nobody is on it.
func (h *hub) tidy(r *real) {
	h.mu.Lock()
	due, unused := h.reset && h.postgres, h.unused
	h.reset, h.unused = false, nil
	h.mu.Unlock()
	if !due && unused == nil {
		return
	}
	h.wire.Lock()
	defer h.wire.Unlock()
	for _, stmt := range unused {
		if err := stmt.Close(); err != nil {
			h.t.Errorf("dbtest: %s: close a prepared statement: %v", h.t.Name(), err)
		}
	}
	if !due {
		return
	}
	ctx, cancel := cleanup()
	defer cancel()
	if err := r.run(ctx, lightReset+h.naming()); err != nil {
		h.t.Errorf("dbtest: %s: the session could not be reset: %v", h.t.Name(), err)
	}
}

// on runs call on the connection, in a savepoint of its own unless a transaction is
// open.
func (v *virtual) on(ctx context.Context, query string, call func(ctx context.Context, r *real) error) error {
	if err := v.hub.refuse(query); err != nil {
		return err
	}
	r, over, err := v.turn(ctx, false)
	if err != nil {
		return err
	}
	defer over()
	v.hub.wire.Lock()
	defer v.hub.wire.Unlock()
	// A statement that fails on PostgreSQL fails its transaction: this one may be
	// the test's.
	own := v.hub.postgres && v.block == nil
	if own {
		if err := v.run(ctx, r, "SAVEPOINT quintet_statement"); err != nil {
			return err
		}
	}
	err = v.call(ctx, r, query, call)
	if own {
		end := "RELEASE SAVEPOINT quintet_statement"
		if err != nil {
			end = "ROLLBACK TO SAVEPOINT quintet_statement; " + end
		}
		err = errors.Join(err, v.run(ctx, r, end))
	}
	return err
}

// call runs the statement itself, which can be stopped, and only it.
func (v *virtual) call(ctx context.Context, r *real, query string, call func(ctx context.Context, r *real) error) error {
	v.mu.Lock()
	if v.dead != nil {
		defer v.mu.Unlock()
		return v.dead
	}
	v.running = r
	v.mu.Unlock()
	wait := v.hub.watch(r, query)
	err := call(ctx, r)
	v.mu.Lock()
	v.running = nil
	dead := v.dead
	v.mu.Unlock()
	v.stopping.Wait()
	err = v.hub.explain(wait(err))
	if lost := v.hub.intact(err); lost != nil {
		return lost
	}
	if dead != nil {
		return dead
	}
	return err
}

// run sends what a statement stands between, which nothing may stop.
func (v *virtual) run(ctx context.Context, r *real, query string) error {
	err := r.run(context.WithoutCancel(ctx), query)
	if lost := v.hub.intact(err); lost != nil {
		return lost
	}
	return err
}

func (v *virtual) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	switch text, _ := pool.TextOf(query); {
	case text == pool.Begins:
		if err := v.alone(query); err != nil {
			return nil, err
		}
		return driver.ResultNoRows, v.begin(ctx, strings.Contains(strings.ToUpper(query), "READ ONLY"))
	case text == pool.Ends:
		if err := v.alone(query); err != nil {
			return nil, err
		}
		return driver.ResultNoRows, v.ends(ctx, query)
	case text != pool.NoTxText && v.block == nil:
		return nil, fmt.Errorf("%w: %q outside of a transaction; use db.Atomic", ErrWrapped, query)
	}
	err = v.on(ctx, query, func(ctx context.Context, r *real) (err error) {
		res, err = r.exec.ExecContext(ctx, query, args)
		return err
	})
	return res, err
}

var _ pool.Lender = (*virtual)(nil)

// Lend lends the connection of the test: for postgres.Raw.
func (v *virtual) Lend(ctx context.Context, fn func(driver.Conn) error) error {
	return v.on(ctx, "", func(_ context.Context, r *real) error { return fn(r.Conn) })
}

// alone refuses a text that begins or ends a transaction and does more.
func (v *virtual) alone(query string) error {
	if _, more, found := strings.Cut(query, ";"); found && strings.TrimSpace(more) != "" {
		return fmt.Errorf("%w: several statements with %q among them; use db.Atomic", ErrWrapped, query)
	}
	return nil
}

func (v *virtual) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if text, _ := pool.TextOf(query); text != pool.NoTxText {
		_, err := v.ExecContext(ctx, query, args)
		return &readRows{}, err
	}
	var rows *readRows
	err := v.on(ctx, query, func(ctx context.Context, r *real) error {
		inner, err := r.query.QueryContext(ctx, query, args)
		if err == nil {
			rows, err = readAll(inner)
		}
		return err
	})
	return rows.queried(err)
}
