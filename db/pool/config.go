package pool

import (
	"context"
	"database/sql"
	"log/slog"
	"time"
)

// Forever is the age or idle time of a connection that is kept while it works.
const Forever time.Duration = -1

const (
	// leakLimit is how long a release waits for what was left open.
	leakLimit = 250 * time.Millisecond
	// drainLimit is how long closing leaked rows may read on before they are cancelled.
	drainLimit = 20 * time.Millisecond
	// busyLimit is how long a statement waits for the rows of another one.
	busyLimit = time.Second
	// healthLimit bounds a ping, a rollback and a reset, each.
	healthLimit = time.Second
	// cancelLimit bounds a cancel: the requests and the statement's answer.
	cancelLimit = 2 * time.Second
	// cancelAgain is when the request is first repeated.
	cancelAgain = 50 * time.Millisecond
	// shortestBackoff and longestBackoff are between attempts to connect, less up
	// to a quarter: a dozen in ACQUIRE_TIMEOUT's five seconds.
	shortestBackoff = 25 * time.Millisecond
	longestBackoff  = time.Second
	// parkLimit is how long a connection with MaxAge 0 may idle between the
	// statements of one scope, and how fresh a health check must be.
	parkLimit = time.Second
)

// Config is what a pool is made of. Package db fills every field.
type Config struct {
	Alias  string
	Driver Driver

	Max            int           // physical connections at most
	MaxWaiting     int           // callers in the queue at most; 0 is no limit
	AcquireTimeout time.Duration // waiting, connecting, retrying and checking together
	ConnectTimeout time.Duration // one attempt
	MaxAge         time.Duration // 0 closes at give-back, Forever keeps
	MaxIdle        time.Duration // Forever keeps
	HealthChecks   bool          // ping before the first statement of a lease
	HoldIdleWarn   time.Duration // a lease that idles so long is logged; Forever never
	HoldLimit      time.Duration // a lease that is held so long is cut off; 0 never
	SlowStatement  time.Duration // one that takes so long in the database is logged; 0 and Forever never
	Reset          Reset
	Debug          bool // tell a goroutine that waits for itself

	// Setup runs on every new session, and again after a reset. Nil does nothing.
	Setup func(ctx context.Context, session Session) error
	// Created hears of each new physical connection, Released of each lease that
	// ended. They must not block. Nil is fine.
	Created  func(took time.Duration)
	Released func(Report)
	Logger   *slog.Logger
	Notices  *Notices // of all pools of a site; nil is of this one alone
}

// Session runs statements on one connection: a bun.IConn.
type Session interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Reset is when a session is reset at give-back.
type Reset int

const (
	// ResetAuto resets what Driver.Dirties flagged.
	ResetAuto Reset = iota
	// ResetAlways resets every session.
	ResetAlways
	// ResetNever only ends open transactions.
	ResetNever
)

// Owner is on whose behalf a lease is taken: a scope.
type Owner interface {
	// Name is the route or the task.
	Name() string
	// Responding reports whether the response of this request has begun.
	Responding() bool
	// Kept reports whether it says by name that it holds what it has.
	Kept() bool
}

// Claim is one wish for a connection.
type Claim struct {
	Owner Owner
	Place Place
	// Context is the owner's, for what the log says of the lease. Nil is nobody's.
	Context context.Context //nolint:containedctx // it is asked for its values only
	// Brief leases last for one statement or one block. With MaxAge 0 they share
	// connections that would otherwise be closed after each.
	Brief bool
	// Blocks knows the transactions of the owner. Nil leaves them to database/sql.
	Blocks Blocks
	// Waits are the scopes that wait for the owner, the nearest first. Nil is nobody.
	Waits *Wait
	// Observer hears of every statement when it was answered. Nil is fine.
	Observer func(Ran)
	// Trace hears of the lease from its wish to its end. Nil is fine.
	Trace Trace
}

// Ran is one statement that the database has answered: for one with rows, when
// the first of them was there.
type Ran struct {
	Query string
	Took  time.Duration
	At    Place
	Err   error

	Control bool // it begins or ends a transaction, or a part of one
	GoesOn  bool // it reads on where another one has stopped
}

// Report is how a lease ended.
type Report struct {
	Alias, Holder string
	Reason        string // who gave it back: "boundary", "first byte", "released", ...
	Held, Idle    time.Duration
	Queries       int
	Kept          bool // the physical connection lives on
	Owner         Owner
	LeftOpen      string // what the release had to end, with its places
}
