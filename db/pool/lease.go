package pool

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
	"time"
)

// Lease is the right to one connection, from Acquire to Release. Statements of
// several goroutines wait for each other.
type Lease struct {
	conn  *conn
	owner Owner
	place Place
	since time.Time

	observer func(Ran)
	blocks   Blocks
	waits    *Wait
	trace    Trace           // nil without
	id       int64           // for the trace
	asker    context.Context // the holder's, for the log; nil is nobody's

	inside atomic.Int64 // nanoseconds spent in the database
	dirty  atomic.Bool  // the session may need a reset
	reset  bool         // it was; owned by the release
	brief  bool

	// Guarded by conn.mu.
	doubtful  bool // an error made the connection doubtful
	warned    bool // it idled for too long, and that was logged
	lastQuery string
	queries   int
	touched   time.Duration // when it last had an answer, or began; on the pool's clock
	queued    time.Time     // since when a statement waits for its turn to write; zero when none does
	prepared  *sql.DB       // for prepared statements; nil without

	mu         sync.Mutex // guards the rest; taken inside conn.mu, never around it
	released   bool
	releasedAt Place
	reason     string
}

// begin makes l the lease of its connection.
func (l *Lease) begin() {
	c := l.conn
	c.mu.Lock()
	c.lease = l
	c.mu.Unlock()
}

// ExecContext runs a statement. The query is sent as it is.
func (l *Lease) ExecContext(st *Statement, query string) (sql.Result, error) {
	res, err := l.conn.db.ExecContext(st, query)
	st.Abandon()
	return res, err
}

// QueryContext runs a statement that returns rows. The query is sent as it is.
func (l *Lease) QueryContext(st *Statement, query string) (*sql.Rows, error) {
	rows, err := l.conn.db.QueryContext(st, query)
	st.Abandon()
	return rows, err
}

// PrepareContext prepares a statement on the leased connection. It needs the lease
// until it is closed.
func (l *Lease) PrepareContext(st *Statement, query string) (*sql.Stmt, error) {
	defer st.Abandon()
	c := l.conn
	c.mu.Lock()
	if c.lease != l {
		c.mu.Unlock()
		return nil, c.pool.late(st.Context, l, st.place, c.releasedError(l))
	}
	if l.prepared == nil {
		l.prepared = sql.OpenDB(bound{l})
	}
	prepared := l.prepared
	c.mu.Unlock()
	return prepared.PrepareContext(st, query) //nolint:sqlclosecheck // the caller closes it
}

// DB is the *sql.DB above the leased connection. Contexts of its calls must come
// from [Lease.Statement] or [Lease.TxContext].
func (l *Lease) DB() *sql.DB { return l.conn.db }

// TxContext prepares the context of a BeginTx that sends nothing: the transaction
// is open already, and block is what its statements belong to. database/sql ends it
// with life, or with the lease, or when the function that is returned is called,
// which must be when it never began. commit and rollback are what ending it does.
func (l *Lease) TxContext(life context.Context, place Place, block any, commit, rollback func() error) (context.Context, context.CancelFunc) {
	st := &Statement{Context: life, lease: l, place: place}
	life, cancel := context.WithCancel(life)
	st.adopt = &adoptedTx{place: place, block: block, commit: commit, rollback: rollback, end: cancel, gone: make(chan struct{})}
	return txContext{life, st}, cancel
}

// txContext is a Statement that database/sql may watch.
type txContext struct {
	context.Context
	st *Statement
}

func (c txContext) Value(key any) any {
	if key == (statementKey{}) {
		return c.st
	}
	return c.Context.Value(key)
}

// Attachment returns what the first call for this connection made over its
// *sql.DB: package db keeps a *bun.DB there.
func (l *Lease) Attachment(make func(*sql.DB) any) any {
	l.conn.mu.Lock()
	defer l.conn.mu.Unlock()
	if l.conn.attachment == nil {
		l.conn.attachment = make(l.conn.db)
	}
	return l.conn.attachment
}

// Open describes what is open on the lease: rows, a transaction, a prepared
// statement. The zero value is nothing.
type Open struct {
	What    string // "the rows of \"SELECT ...\"", "a transaction"
	Place   string
	Tx      bool // a transaction
	Running bool // a statement that is under way and has no rows yet: it ends by itself
}

// Open returns what is open, the most telling thing first.
func (l *Lease) Open() (Open, bool) {
	c := l.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.lease != l:
		return Open{}, false
	case l.inTransactionLocked():
		at, _ := l.begunLocked()
		return Open{What: "a transaction", Place: at.String(), Tx: true}, true
	case c.rows != nil:
		return Open{What: "the rows of " + quote(c.flight.query), Place: c.flight.place.String()}, true
	case c.flight != nil:
		return Open{What: "the statement " + quote(c.flight.query), Place: c.flight.place.String(), Running: true}, true
	}
	for s := range c.stmts {
		return Open{What: "the prepared statement " + quote(s.query), Place: s.made.place.String()}, true
	}
	return Open{}, false
}

func quote(query string) string { return `"` + Fingerprint(query) + `"` }

// begunLocked returns where the open transaction was begun; conn.mu is taken.
func (l *Lease) begunLocked() (Place, bool) {
	c := l.conn
	switch {
	case c.tx != nil:
		return c.tx.place, true
	case l.blocks != nil:
		if at, open := l.blocks.Begun(); open {
			return at, true
		}
	}
	if len(c.adopted) > 0 {
		return c.adopted[0].place, true
	}
	return Place{}, false
}

func (l *Lease) inTransactionLocked() bool {
	_, open := l.begunLocked()
	return open
}

// Err is nil while the lease lasts, and then the *[ReleasedError] that says who has
// ended it.
func (l *Lease) Err() error {
	l.mu.Lock()
	released := l.released
	l.mu.Unlock()
	if !released {
		return nil
	}
	return l.conn.releasedError(l)
}

// at is a time of the pool's clock as others know it: counted from the lease, because
// the time of the day may have been set since the pool was made.
func (l *Lease) at(t time.Duration) time.Time {
	return l.since.Add(t - l.since.Sub(l.conn.pool.born))
}

// Queries and Inside are what the lease has done so far.
func (l *Lease) Queries() int {
	l.conn.mu.Lock()
	defer l.conn.mu.Unlock()
	return l.queries
}

// Inside is the time spent in the database so far.
func (l *Lease) Inside() time.Duration { return time.Duration(l.inside.Load()) }

// Ping makes one round trip, as Django's is_usable does, within a second.
func (l *Lease) Ping(ctx context.Context, place Place) error {
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	return l.conn.db.PingContext(l.Statement(ctx, place, nil))
}

// Holder is the lease as others see it; ok is false once it has ended.
func (l *Lease) Holder() (h Holder, ok bool) {
	c := l.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lease != l {
		return Holder{}, false
	}
	return l.holderLocked(), true
}
