package pool

import (
	"database/sql/driver"
	"time"
)

// Trace hears what one owner does with its connections: what a live page, a log or a
// tracer is made of. Its methods run in the goroutine of whoever does it, before that
// goes on; several may run at once. They must not block, and not use the connections.
//
// An owner without a trace costs a comparison here and there, and nothing else.
type Trace interface {
	// Asks hears of an owner that begins to wait for a connection.
	Asks(Asked)
	// Acquires hears of the end of that: a lease, or the error of an acquire.
	Acquires(Acquired)
	// Sends hears of a statement that goes to the database. Its text has its values:
	// whoever keeps it keeps its [Normalize].
	Sends(Sent)
	// Answers hears of a statement that was answered with rows, which are open now.
	Answers(Answered)
	// Ends hears of a statement that has ended, with its rows.
	Ends(Ended)
	// Returns hears of a lease that has ended.
	Returns(Returned)
}

// Asked is a wish for a connection. An owner has one for each alias at a time.
type Asked struct {
	Alias string
	Time  time.Time
	At    Place
}

// Acquired is how a wish came out.
type Acquired struct {
	Alias      string
	Lease      int64 // a number that no other lease of the pool has
	Connection int64 // the ID of a [Connection]
	Time       time.Time
	Err        error // there is no lease
}

// Sent is a statement on its way. A connection has one at a time.
type Sent struct {
	Alias   string
	Lease   int64
	Query   string
	Control bool // it begins or ends a transaction, or a part of one
	GoesOn  bool // it reads on where another one has stopped
	Time    time.Time
	At      Place
}

// Answered is a statement whose rows are open.
type Answered struct {
	Alias string
	Lease int64
	Time  time.Time
}

// Ended is a statement that is over.
type Ended struct {
	Alias    string
	Lease    int64
	Answered time.Time // when the database had answered; zero when it never did
	Time     time.Time
	Rows     int64 // read or affected
	Err      error
}

// Returned is a lease that is over.
type Returned struct {
	Alias  string
	Lease  int64
	Time   time.Time
	Reason string // "boundary", "first byte", "statement", ...
	At     Place  // zero when nobody's line has asked for it
	Idle   time.Duration
	Kept   bool // the physical connection lives on
}

// tell makes the trace hear of the lease, before anybody else can see that.
func (l *Lease) tell(trace Trace) {
	p := l.conn.pool
	l.trace, l.id = trace, p.traced.Add(1)
	trace.Acquires(Acquired{Alias: p.cfg.Alias, Lease: l.id, Connection: l.conn.id, Time: l.since})
}

// sends is for a statement that a call on the driver follows. A ping is none.
func (st *Statement) sends() {
	if st.query == "" {
		return
	}
	st.told = true
	st.lease.trace.Sends(Sent{
		Alias: st.lease.conn.pool.cfg.Alias, Lease: st.lease.id, Query: st.query, Control: st.before != nil, GoesOn: st.goesOn,
		Time: st.lease.at(st.started), At: st.place,
	})
}

// answers is for a statement whose rows have just been opened; the wire is taken.
func (st *Statement) answers() {
	st.answered = st.lease.at(st.rows.openedAt)
	st.lease.trace.Answers(Answered{Alias: st.lease.conn.pool.cfg.Alias, Lease: st.lease.id, Time: st.answered})
}

func (st *Statement) ends() {
	now := st.answered
	if st.rows.inner != nil || now.IsZero() {
		now = st.lease.at(st.returned)
	}
	st.lease.trace.Ends(Ended{
		Alias: st.lease.conn.pool.cfg.Alias, Lease: st.lease.id, Answered: st.answered, Time: now,
		Rows: st.count + st.rows.count, Err: st.outcome,
	})
}

// affects counts the rows of a statement that returns none.
func (st *Statement) affects(res driver.Result) {
	if n, err := res.RowsAffected(); err == nil { // not every statement has a number
		st.count = n
	}
}

// giveBack ends the use of the leased connection, and tells the trace.
func (l *Lease) giveBack(f fate, reason string, place Place) (kept bool) {
	p := l.conn.pool
	if l.trace == nil {
		return p.giveBack(l.conn, f, l.brief)
	}
	now := time.Now()
	idle := max(0, now.Sub(l.since)-l.Inside())
	kept = p.giveBack(l.conn, f, l.brief)
	l.trace.Returns(Returned{Alias: p.cfg.Alias, Lease: l.id, Time: now, Reason: reason, At: place, Idle: idle, Kept: kept})
	return kept
}
