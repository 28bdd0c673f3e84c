package pool

import (
	"context"
	"database/sql/driver"
)

// Driver is what an engine knows about its own physical connections and the
// pool does not: how to open, check, stop and close one. Its methods may be
// called concurrently, for one connection at a time unless they say otherwise.
type Driver interface {
	// Connect opens one physical connection. When a Commit of its transactions
	// fails, they are over. The context carries the connect timeout.
	Connect(ctx context.Context) (driver.Conn, error)

	// Close says goodbye and waits, for a bounded time, until the server has let
	// the connection go, so that counts here and there agree.
	Close(c driver.Conn) error

	// Kill ends the socket without a goodbye. Any goroutine may call it while
	// another one is inside a call on c; that call then returns an error.
	Kill(c driver.Conn)

	// Peek looks without a round trip whether the other side has closed the
	// connection. Nil means that nothing says so.
	Peek(c driver.Conn) error

	// Ping makes one round trip within the deadline of ctx.
	Ping(ctx context.Context, c driver.Conn) error

	// Cancel stops the statement that another goroutine runs on c. It returns
	// when the server has taken note of it: a statement sent afterwards is not
	// hit.
	Cancel(ctx context.Context, c driver.Conn) error

	// InTransaction reports whether the session is inside a transaction; known
	// is false when the connection cannot tell.
	InTransaction(c driver.Conn) (in, known bool)

	// Begin is the statement that begins a transaction with these options, or says
	// which of them this engine cannot give.
	Begin(o TxOptions) (query string, err error)

	// Committable reports, without a round trip, why the transaction that was begun
	// on c with these options cannot be committed: the server has failed it, it
	// is not open any more, or the connection is gone ([ErrConnectionLost]). Nil
	// means that nothing speaks against it.
	Committable(c driver.Conn, o TxOptions) error

	// Reset takes back what the last holder may have set on the session: settings,
	// roles, temporary tables, locks, listeners, cursors.
	Reset(ctx context.Context, c driver.Conn) error

	// Dirties reports whether the statement may leave something on the session
	// that Reset would take back. It errs on the side of true.
	Dirties(query string) bool

	// Classify says what an error of a statement means for its connection.
	Classify(err error) Class

	// Kind returns the class of an error of a statement on c, one of [ErrDatabase]
	// and those below it; nil for errors that do not come from the database.
	Kind(c driver.Conn, err error) error

	// Demoted reports whether a session that could write when it was opened has become
	// read-only since, as far as the server has told; it asks nobody.
	Demoted(c driver.Conn) bool

	// Transient reports whether a failed Connect may succeed a moment later: the
	// server refuses, starts up, or is full.
	Transient(err error) bool

	// Traits never change for one Driver.
	Traits() Traits
}

// Traits are the ways in which engines differ that the pool must know.
type Traits struct {
	// Single: there is one connection and its loss loses the data (SQLite's
	// ":memory:"). It is opened once, and closed by Pool.Close only.
	Single bool

	// Pooled: something on the way gives each transaction another session.
	Pooled bool
}

// Class is what an error means for the connection it came from.
type Class int

const (
	// Foreign errors do not come from the database: no rows, a failed scan.
	Foreign Class = iota
	// Harmless errors are about data or integrity (Django's DataError and
	// IntegrityError).
	Harmless
	// Doubtful errors make the pool check the connection when it comes back.
	Doubtful
	// Canceled is the database's answer to Driver.Cancel or a statement timeout.
	Canceled
	// Lost means that the connection is gone.
	Lost
)
