package pool

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one physical connection and everything that is open on it.
//
// Above it stands a *sql.DB of its own, because rows, results and transactions
// that users know can only be made by database/sql. That database never dials:
// its connector hands out handles to this connection, as many as it wants, and
// the gate below lets one statement through at a time. So nothing that a view
// leaks can block database/sql, and a connection whose holder left something open
// is usable again as soon as its handles are cut off.
type conn struct {
	pool  *Pool
	inner driver.Conn
	exec  driver.ExecerContext
	query driver.QueryerContext
	db    *sql.DB

	id        int64
	dedicated bool // it is not one of the pool's
	openedAt  time.Time
	expiresAt time.Time // zero: never

	// gate holds a token while a statement runs or its rows are open; wire while
	// some goroutine is inside a call on inner. Whoever holds rows open holds the
	// gate, but the wire only during Next and Close.
	gate lock
	wire mutex

	// Guarded by pool.mu.
	idleSince time.Time
	opener    Owner // whose scope opened it

	obsolete atomic.Bool // close at the next give-back
	stale    atomic.Bool // likewise: it was invalidated
	suspect  atomic.Bool // ask the server before anybody uses it again

	// Owned by who has the connection.
	verifiedAt time.Time // the last answer of the server to a check
	proven     bool      // nothing was sent since then

	mu         sync.Mutex   // guards the rest
	epoch      uint64       // handles of an older epoch are cut off
	lease      *Lease       // nil while idle
	last       *Lease       // the last one of an owner that ended
	flight     *Statement   // running, or with open rows
	rows       *rows        // the open rows of flight
	tx         *tx          // of database/sql and the driver
	adopted    []*adoptedTx // of database/sql over a block
	stmts      map[*stmt]struct{}
	lost       bool // the driver said that the connection is gone
	attachment any
	rawBegin   bool // a BEGIN was sent as text, and the driver cannot tell
}

// lock is a mutex whose taker may give up waiting.
type lock chan struct{}

func newLock() lock      { return make(lock, 1) }
func (l lock) take()     { l <- struct{}{} }
func (l lock) give()     { <-l }
func (l lock) try() bool { return l.within(0) }

func (l lock) within(d time.Duration) bool {
	select {
	case l <- struct{}{}:
		return true
	default:
	}
	if d <= 0 {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case l <- struct{}{}:
		return true
	case <-timer.C:
		return false
	}
}

// mutex is for what is taken several times in each statement and hardly
// ever waited for: half the price of a lock. Unlike a sync.Mutex it is handed on in
// order, and who waits at it may be in a bubble of testing/synctest.
type mutex struct {
	takers atomic.Int32 // who is in it, and who waits
	next   chan struct{}
}

func newMutex() mutex { return mutex{next: make(chan struct{}, 1)} }

func (t *mutex) take() {
	if t.takers.Add(1) > 1 {
		<-t.next
	}
}

func (t *mutex) give() {
	if t.takers.Add(-1) > 0 {
		t.next <- struct{}{}
	}
}

var errDriver = errors.New("db: the driver lacks ExecContext or QueryContext")

func newConn(p *Pool, inner driver.Conn, now time.Time) (*conn, error) {
	c := &conn{pool: p, id: p.ids.Add(1), inner: inner, openedAt: now, verifiedAt: now, proven: true, expiresAt: p.expiry(now), gate: newLock(), wire: newMutex()}
	var ok bool
	if c.exec, ok = inner.(driver.ExecerContext); !ok {
		return nil, errDriver
	}
	if c.query, ok = inner.(driver.QueryerContext); !ok {
		return nil, errDriver
	}
	c.db = sql.OpenDB(connector{c})
	return c, nil
}

// enter takes the gate for one statement of st. The context is the caller's own.
func (c *conn) enter(ctx context.Context, st *Statement) error {
	select {
	case c.gate <- struct{}{}:
		return nil
	default:
	}
	began := time.Now()
	timer := time.NewTimer(busyLimit)
	defer timer.Stop()
	for {
		if c.pool.cfg.Debug {
			if f, open := c.openRows(); open > 0 && f.goroutine == goroutineID() {
				return busy(st, f)
			}
		}
		select {
		case c.gate <- struct{}{}:
			if ctx.Err() != nil { // both at once
				c.gate.give()
				return contextError(ctx)
			}
			return nil
		case <-ctx.Done():
			return contextError(ctx)
		case <-timer.C:
		}
		// A statement that runs is waited for; rows that stay open are not.
		wait := busyLimit
		if f, open := c.openRows(); open > 0 {
			if wait = busyLimit - min(open, time.Since(began)); wait <= 0 {
				return busy(st, f)
			}
		}
		timer.Reset(wait)
	}
}

// openRows returns the statement whose rows are open and for how long they are. What
// has the driver's own connection counts as one: it may wait for itself.
func (c *conn) openRows() (*Statement, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.rows != nil:
		return c.flight, max(1, c.pool.clock()-c.rows.openedAt)
	case c.flight != nil && c.flight.raw:
		return c.flight, max(1, c.pool.clock()-c.flight.started)
	}
	return nil, 0
}

func busy(st, open *Statement) error {
	return &BusyError{Here: st.place.String(), Open: open.place.String(), Query: open.query}
}

// cancel stops st on the wire if it is still under way, from any goroutine. It
// returns when the server has taken note.
func (c *conn) cancel(st *Statement, cause error) {
	c.mu.Lock()
	if c.flight != st || st.canceled != nil {
		c.mu.Unlock()
		return
	}
	st.canceled = cause
	noted, left := make(chan struct{}), make(chan struct{})
	st.noted = noted
	if st.inCall {
		st.left = left
	} else {
		close(left)
	}
	c.mu.Unlock()
	c.pool.canceled.Add(1)

	defer close(noted)
	c.cancelOnWire(st, left)
}

// cancelOnWire asks again until the call has returned: a server that has not begun
// with the statement yet takes no notice. One that never answers is as good as gone.
func (c *conn) cancelOnWire(st *Statement, left <-chan struct{}) {
	ctx, done := context.WithTimeout(context.Background(), cancelLimit)
	defer done()
	for wait := cancelAgain; ; wait *= 2 {
		err := c.pool.cfg.Driver.Cancel(ctx, c.inner)
		if err != nil || ctx.Err() != nil {
			c.mu.Lock()
			over := c.flight != st
			c.mu.Unlock()
			if !over {
				c.pool.cfg.Driver.Kill(c.inner)
			}
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-left:
			timer.Stop()
			return
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// judge turns a driver's error into ours and remembers what it says about the
// connection. database/sql never sees driver.ErrBadConn: it would send again.
func (c *conn) judge(st *Statement, err error) error {
	if err == nil {
		return nil
	}
	class := c.pool.cfg.Driver.Classify(err)
	if errors.Is(err, driver.ErrBadConn) {
		class, err = Lost, ErrConnectionLost
	}
	c.mu.Lock()
	switch class {
	case Lost:
		c.lost = true
	case Doubtful, Canceled:
		st.lease.doubtful = true
	case Foreign, Harmless:
	}
	canceled := st.canceled
	c.mu.Unlock()
	switch kind := c.pool.cfg.Driver.Kind(c.inner, err); {
	case class == Lost && !errors.Is(err, ErrConnectionLost):
		err = &lostError{err}
	case class != Lost && kind != nil:
		err = &databaseError{class: kind, driver: err, query: st.query}
	}
	if canceled != nil {
		err = &canceledError{ctx: canceled, driver: err}
	}
	if class != Foreign && st.lease.blocks != nil {
		st.lease.blocks.Failed(st, err)
	}
	return err
}

type lostError struct{ driver error }

func (e *lostError) Error() string   { return ErrConnectionLost.Error() + ": " + e.driver.Error() }
func (e *lostError) Unwrap() []error { return []error{ErrConnectionLost, e.driver} }

// releasedError explains to a statement of lease l why it comes too late.
func (c *conn) releasedError(l *Lease) *ReleasedError {
	if l == nil {
		return &ReleasedError{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &ReleasedError{Opened: l.place.String(), Reason: l.reason}
	if !l.releasedAt.IsZero() {
		e.Released = l.releasedAt.String()
	}
	return e
}
