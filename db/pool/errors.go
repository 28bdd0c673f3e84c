package pool

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

var (
	// ErrReleased reports the use of a connection, rows, transaction or statement
	// whose lease has ended. It unwraps to sql.ErrConnDone.
	ErrReleased = fmt.Errorf("db: the connection was released: %w", sql.ErrConnDone)

	// ErrBusy reports a statement that found the rows of another one open.
	ErrBusy = errors.New("db: the connection is busy")

	// ErrClosed reports the use of a pool after Close.
	ErrClosed = errors.New("db: connections are closed")

	// ErrConnectionLost reports that the server or the network ended the connection.
	// Whether a statement that was under way has run is unknown.
	ErrConnectionLost error = &class{"db: the connection was lost", ErrOperational}

	// ErrInAtomicBlock reports what cannot be done while a transaction is open.
	ErrInAtomicBlock = errors.New("db: a transaction is open")

	// ErrOutsideScope reports a statement that bypassed the scope, on the *bun.DB
	// behind a query builder or a transaction.
	ErrOutsideScope = errors.New("db: this *bun.DB does not dial; take the connection from db.From(ctx)")

	// ErrUnavailable is what every [AcquireError] is, but that of an [ErrSelfDeadlock].
	ErrUnavailable = errors.New("db: no connection available")
)

// Kind tells why no connection could be had.
type Kind string

const (
	// Exhausted: every connection was held by somebody for the whole wait.
	Exhausted Kind = "exhausted"
	// Unreachable: connecting failed.
	Unreachable Kind = "unreachable"
	// QueueFull: MAX_WAITING others were waiting already.
	QueueFull Kind = "queue full"
	// Locked: another connection was writing for the whole wait (SQLite).
	Locked Kind = "locked"
	// GaveUp: the caller's context ended first.
	GaveUp Kind = "caller gave up"
	// SelfDeadlock: every connection is held by who waits for this one.
	SelfDeadlock Kind = "self-deadlock"
)

// AcquireError reports that no connection could be leased, and who holds them; or that
// a statement got no turn to write, and who writes.
type AcquireError struct {
	Alias   string
	Kind    Kind
	Waited  time.Duration
	Stats   Stats
	Holders []Holder // the oldest first, five at most
	Err     error    // the last failure to connect, or the context's error
}

// Error is one line: what is missing, why, the numbers, and the oldest holders.
func (e *AcquireError) Error() string {
	var b strings.Builder
	if e.Kind == Locked {
		fmt.Fprintf(&b, "db: %q: no turn to write after %s (%s)", e.Alias, e.Waited.Round(time.Millisecond), e.Kind)
		for _, h := range e.Holders {
			fmt.Fprintf(&b, "; it is that of %s", h)
		}
		b.WriteString("; SQLite has one writer at a time: " + e.Hint())
		return b.String()
	}
	fmt.Fprintf(&b, "db: %q: no connection after %s (%s): max %d, in use %d, idle %d, connecting %d, waiting %d",
		e.Alias, e.Waited.Round(time.Millisecond), e.Kind, e.Stats.Max, e.Stats.InUse, e.Stats.Idle, e.Stats.Connecting, e.Stats.Waiting)
	if e.Err != nil {
		fmt.Fprintf(&b, "; %v", e.Err)
	}
	for i, h := range e.Holders {
		if i == 0 {
			b.WriteString("; oldest holders: ")
		} else {
			b.WriteString("; ")
		}
		b.WriteString(h.String())
	}
	if e.Kind == Exhausted || e.Kind == QueueFull {
		b.WriteString("; " + e.Hint())
	}
	return b.String()
}

// Hint says what to do now, as the error page of DEBUG shows it apart.
func (e *AcquireError) Hint() string {
	switch e.Kind {
	case Locked:
		return "write in shorter blocks, and wait for nothing else in them"
	case Exhausted, QueueFull:
		return "give connections back earlier or raise MAX_CONNECTIONS"
	case Unreachable:
		return "see whether the database runs, and is where HOST, PORT and NAME say"
	case SelfDeadlock:
		if deadlock, ok := errors.AsType[*deadlockError](e.Err); ok {
			return deadlock.Hint()
		}
	}
	return ""
}

// Unwrap gives the context's error or the driver's. A self-deadlock is a mistake of
// the program: it is not ErrUnavailable.
func (e *AcquireError) Unwrap() []error {
	switch {
	case e.Err == nil:
		return []error{ErrUnavailable}
	case e.Kind == SelfDeadlock:
		return []error{e.Err}
	}
	return []error{ErrUnavailable, e.Err}
}

// BusyError is an [ErrBusy] with both places.
type BusyError struct {
	Here, Open string // where the statement was to run, where the rows were opened
	Query      string // the statement whose rows are open
}

// Error names both places and what to do.
func (e *BusyError) Error() string {
	return fmt.Sprintf("%v: the statement at %s finds the rows of %q, opened at %s, still open; read them to the end or close them first",
		ErrBusy, e.Here, Fingerprint(e.Query), e.Open)
}

// Unwrap returns ErrBusy.
func (e *BusyError) Unwrap() error { return ErrBusy }

// ReleasedError is an [ErrReleased], or [ErrHoldLimit], with the places.
type ReleasedError struct {
	Opened, Released string // where it was taken, where it was given back; empty when unknown
	Used             string // the statement that comes too late; empty when unknown
	Reason           string
}

// Error names both places.
func (e *ReleasedError) Error() string {
	s := "db: the connection"
	if e.Opened != "" {
		s += " taken at " + e.Opened
	}
	s += " was released"
	if e.Released != "" {
		s += " at " + e.Released
	}
	if e.Reason != "" {
		s += " (" + e.Reason + ")"
	}
	if e.Used != "" {
		s += ", and is used at " + e.Used
	}
	if e.Reason == holdLimit {
		return s + "; it was held for too long: give it back with db.Release before waiting for something else, or raise HOLD_LIMIT"
	}
	return s + "; do not keep rows, transactions or statements beyond that"
}

// Unwrap returns ErrReleased, or ErrHoldLimit when it was taken away.
func (e *ReleasedError) Unwrap() error {
	if e.Reason == holdLimit {
		return ErrHoldLimit
	}
	return ErrReleased
}

// canceledError is a statement's error after its caller's context ended: the
// context's error first, the driver's kept beside it.
type canceledError struct{ ctx, driver error }

func (e *canceledError) Error() string   { return "db: statement canceled: " + e.ctx.Error() }
func (e *canceledError) Unwrap() []error { return []error{e.ctx, e.driver} }

// contextError is ctx's error, with its cause beside it when that is another.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// Shorten keeps a statement readable inside an error or a log. Values in its text are
// cut with it, but not hidden: [Fingerprint] hides them.
func Shorten(query string) string {
	query = strings.Join(strings.Fields(query), " ")
	const limit = 80
	if len(query) > limit {
		return strings.ToValidUTF8(query[:limit], "") + "..."
	}
	return query
}
