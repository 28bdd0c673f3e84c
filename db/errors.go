package db

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goquintet/quintet/db/pool"
)

var (
	// ErrNoScope reports a statement on a context that belongs to no request, task
	// or command. Use [Run], or hand the view's context on.
	ErrNoScope = errors.New("db: no scope: this context belongs to no request, task or command; use db.Run or pass the view's context on")

	// ErrScopeEnded reports a statement of a scope that has ended. It unwraps to
	// ErrReleased.
	ErrScopeEnded = fmt.Errorf("db: the scope has ended: %w", pool.ErrReleased)

	// ErrOutsideScope reports a statement that bypassed the scope, on the *bun.DB
	// behind a query builder or a transaction.
	ErrOutsideScope = pool.ErrOutsideScope

	// ErrHeldAcrossYield is what every [HeldError] is.
	ErrHeldAcrossYield = errors.New("db: a stream yields while it holds its connection")

	// ErrReleased reports the use of rows, a transaction or a statement whose lease
	// has ended. It unwraps to sql.ErrConnDone.
	ErrReleased = pool.ErrReleased

	// ErrHoldLimit reports the use of a connection that was taken away because it was
	// held for longer than HOLD_LIMIT. It unwraps to ErrReleased. The scope may go on
	// after [Release].
	ErrHoldLimit = pool.ErrHoldLimit

	// ErrBusy reports a statement that found the rows of another one open for more
	// than a second.
	ErrBusy = pool.ErrBusy

	// ErrInAtomicBlock reports what cannot be done inside a transaction; nothing
	// has changed.
	ErrInAtomicBlock = pool.ErrInAtomicBlock

	// ErrConnectionLost reports that the server or the network ended the
	// connection. Whether the statement under way has run is unknown.
	ErrConnectionLost = pool.ErrConnectionLost

	// ErrUnavailable is what every [AcquireError] is, but that of an ErrSelfDeadlock.
	ErrUnavailable = pool.ErrUnavailable

	// ErrSelfDeadlock reports a wait that could never end: every connection of the
	// alias is held by a scope that waits, in [Run], for the one that wants another, or
	// for one that waits for it in turn, at another alias; or, with SQLite, that scope
	// has begun to write, and the other one wants to.
	// It comes at once where the goroutine that holds is seen to wait; where others
	// run beside it, when the holders have left their connections alone for a
	// quarter of a second. The error names the places and the ways out. It is an
	// [AcquireError].
	ErrSelfDeadlock = pool.ErrSelfDeadlock

	// ErrNoDedicated reports a database that has one connection only.
	ErrNoDedicated = pool.ErrNoDedicated

	// ErrNeedsSession reports what lives on a session for longer than a transaction,
	// which cannot work with POOLER: pgbouncer. Nothing was sent.
	ErrNeedsSession = pool.ErrNeedsSession

	// ErrClosed reports the use of connections after [Connections.Close].
	ErrClosed = pool.ErrClosed
)

// AcquireError reports that no connection could be leased, why, and who holds them.
type AcquireError = pool.AcquireError

// BusyError is an [ErrBusy] with both places.
type BusyError = pool.BusyError

// ReleasedError is an [ErrReleased] with both places.
type ReleasedError = pool.ReleasedError

// UnknownAliasError reports an alias that DATABASES does not have: Django's
// ConnectionDoesNotExist.
type UnknownAliasError struct {
	Alias string
	Have  []string
}

// Error names the alias and those that exist.
func (e *UnknownAliasError) Error() string {
	if len(e.Have) == 0 {
		return fmt.Sprintf("db: alias %q does not exist: this site has no database; add it to DATABASES", e.Alias)
	}
	return fmt.Sprintf("db: alias %q does not exist; DATABASES has %s", e.Alias, strings.Join(e.Have, ", "))
}

// HeldError is an [ErrHeldAcrossYield] with both places.
type HeldError struct {
	Alias   string
	What    string // what is open: rows, a transaction
	Opened  string // file:line
	Yielded string // file:line
}

// Error names both places and the way out.
func (e *HeldError) Error() string {
	return fmt.Sprintf("%v: %s of %q, opened at %s, are open while it yields at %s; read in batches with db.Iterate, or set KeepConnection",
		ErrHeldAcrossYield, e.What, e.Alias, e.Opened, e.Yielded)
}

// Unwrap returns ErrHeldAcrossYield.
func (e *HeldError) Unwrap() error { return ErrHeldAcrossYield }

// Loggable is an error as a log may have it: err itself, or its text where that has had
// values of the statements that failed, which databases quote and which may be secrets.
func Loggable(err error) any { return pool.Loggable(err) }
