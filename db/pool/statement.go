package pool

import (
	"context"
	"sync/atomic"
	"time"
)

// Statement is one statement on its way through database/sql. It travels as the
// context: without a Done channel, so that database/sql and the driver start no
// goroutine to watch it: see beginners for what ends it.
type Statement struct {
	context.Context // the caller's
	lease           *Lease
	place           Place
	query           string
	text            string        // what is sent, where that is not the query
	started         time.Duration // the last call on the driver; on the pool's clock
	returned        time.Duration // likewise
	goroutine       uint64        // when debugging

	rows     rows // when it returns some
	begun    bool
	finished atomic.Bool
	ender    Ender
	adopt    *adoptedTx   // of a BeginTx
	via      any          // the block of the transaction that it came through
	before   func() error // of a Control, and of nothing else: may refuse

	took   time.Duration // in the database, so far
	raw    bool          // of Raw: what runs is a function of the user's
	goesOn bool          // where another one has stopped
	failed bool

	// For the trace of the lease.
	told     bool // it has heard of this statement
	answered time.Time
	outcome  error
	count    int64 // rows affected; also without a trace

	// Guarded by conn.mu.
	inCall   bool // inside a call on the driver
	canceled error
	left     chan struct{} // closed when the call returns that a cancel waits for
	noted    chan struct{} // closed when the last cancel request is done

	stop func() bool // ends watching the context; nil while nobody does
}

// Ender hears that a statement and its rows have ended.
type Ender interface{ Ended(l *Lease) }

type statementKey struct{}

// Deadline returns none: the caller's deadline ends in a cancel on the wire.
func (*Statement) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Done returns nil.
func (*Statement) Done() <-chan struct{} { return nil }

// Err returns nil.
func (*Statement) Err() error { return nil }

// Value finds the caller's values.
func (st *Statement) Value(key any) any {
	if key == (statementKey{}) {
		return st
	}
	return st.Context.Value(key)
}

func statementOf(ctx context.Context) *Statement {
	if st, ok := ctx.(*Statement); ok {
		return st
	}
	st, _ := ctx.Value(statementKey{}).(*Statement)
	return st
}

// Statement prepares the context of one statement on l. The ender, when not nil,
// hears once that it has ended, also when it never began.
func (l *Lease) Statement(ctx context.Context, place Place, ender Ender) *Statement {
	return &Statement{Context: ctx, lease: l, place: place, ender: ender}
}

// GoesOn says that the statement reads on where another one has stopped: of a batch.
func (st *Statement) GoesOn() { st.goesOn = true }

// Abandon ends a statement that database/sql refused before it reached the
// connection. It does nothing to one that began.
func (st *Statement) Abandon() {
	if !st.begun {
		st.finish()
	}
}

func (st *Statement) finish() {
	if st.ender != nil && !st.finished.Swap(true) {
		st.ender.Ended(st.lease)
	}
}

// begin lets a statement of handle h onto the connection: through the gate, with
// the wire taken. called and end are its counterparts.
func (h *handle) begin(ctx context.Context, query string) (*Statement, error) {
	c := h.conn
	st := statementOf(ctx)
	if st == nil || st.begun {
		// From a transaction or a prepared statement, which pass the user's context.
		st = &Statement{Context: ctx, lease: h.lease.Load(), place: c.pool.Here(), via: h.via}
	} else {
		ctx = st.Context
	}
	st.begun = true
	st.query = query
	if c.pool.cfg.Debug {
		st.goroutine = goroutineID()
	}
	if err := c.admit(ctx, h, st); err != nil {
		st.finish()
		return nil, err
	}
	if query != "" && st.lease.counted() {
		c.pool.statements.Add(1)
	}
	if st.lease.trace != nil {
		st.sends()
	}
	return st, nil
}

// admit takes the gate and the wire and makes st the flight of its connection, or
// says why not.
func (c *conn) admit(ctx context.Context, h *handle, st *Statement) error {
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	if st.lease == nil {
		return c.releasedError(nil)
	}
	if err := c.enter(ctx, st); err != nil {
		return err
	}
	if err := st.permitted(); err != nil {
		c.gate.give()
		return err
	}
	if err := c.takeTurn(ctx, st); err != nil {
		c.gate.give()
		return err
	}
	// A release cuts the lease off first and takes the wire then: with the wire in
	// hand, what board sees stays true for the whole call on the driver.
	c.wire.take()
	err := c.board(h, st)
	if err != nil {
		c.wire.give()
		c.endTurn()
		c.gate.give()
	}
	if late, ok := err.(*ReleasedError); ok { //nolint:errorlint // board's, never wrapped
		return c.pool.late(ctx, st.lease, st.place, late)
	}
	return err
}

// permitted asks who knows the transactions; a ping belongs to none.
func (st *Statement) permitted() error {
	switch {
	case st.before != nil:
		return st.before()
	case st.lease.blocks == nil || st.query == "":
		return nil
	}
	return st.lease.blocks.Admit(st)
}

func (c *conn) board(h *handle, st *Statement) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.epoch != c.epoch || c.lease == nil || st.lease != c.lease {
		return c.releasedError(st.lease)
	}
	if c.lost {
		return ErrConnectionLost
	}
	c.flight = st
	c.callLocked(st)
	c.pool.beginsLocked(st)
	if st.query != "" { // a ping
		st.lease.lastQuery = st.query
		st.lease.queries++
	}
	return nil
}

// counted reports whether the statements of the lease are in Stats: those that set a
// session up are the pool's own, and a dedicated connection is none of its.
func (l *Lease) counted() bool { return l.owner != nil && !l.conn.dedicated }

// callLocked notes that st goes into the driver.
func (c *conn) callLocked(st *Statement) {
	st.inCall = true
	st.started = c.pool.clock()
}

// called ends the call on the driver and gives up the wire: what its error says
// about the connection must be known by then, see judge.
func (st *Statement) called() {
	c := st.lease.conn
	now := c.pool.clock()
	st.returned = now
	took := now - st.started
	c.mu.Lock()
	st.returnedLocked()
	st.lease.touched = now
	st.lease.inside.Add(int64(took))
	c.mu.Unlock()
	st.took += took
	c.wire.give()
}

func (st *Statement) returnedLocked() {
	st.inCall = false
	if st.left != nil {
		close(st.left)
		st.left = nil
	}
}

// end takes the statement off the connection and opens the gate.
func (st *Statement) end() {
	st.leave()
	st.finish()
}

// leave is end for a statement whose lease is still needed.
func (st *Statement) leave() {
	c := st.lease.conn
	c.land(st)
	st.disarm()
	if st.told {
		st.ends()
	}
	c.endTurn()
	took := st.took
	c.gate.give()
	if slow := c.pool.cfg.SlowStatement; slow > 0 && took >= slow {
		st.slowly(took)
	}
}

// observe tells who listens that the statement was answered.
func (st *Statement) observe(err error) {
	if st.told && st.answered.IsZero() {
		st.answered, st.outcome = st.lease.at(st.returned), err
	}
	if err != nil && st.lease.counted() {
		st.lease.conn.pool.failures.Add(1)
	}
	st.failed = err != nil
	if f := st.lease.observer; f != nil {
		f(Ran{Query: st.query, Took: st.returned - st.started, At: st.place, Err: err, Control: st.before != nil, GoesOn: st.goesOn})
	}
}

// land makes st no longer the statement that a cancel would hit.
func (c *conn) land(st *Statement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flight == st {
		c.flight, c.rows = nil, nil
	}
	st.returnedLocked()
}

// disarm stops the watcher. If it has fired, the server must have taken note of
// the cancel before anything else may follow on this connection.
func (st *Statement) disarm() {
	if st.stop != nil {
		st.stop()
	}
	c := st.lease.conn
	c.mu.Lock()
	noted := st.noted
	c.mu.Unlock()
	if noted != nil {
		<-noted
	}
}
