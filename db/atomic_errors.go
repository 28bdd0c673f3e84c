package db

import (
	"errors"
	"fmt"

	"github.com/goquintet/quintet/db/pool"
)

// The classes of errors that databases report, as Django has them. What a statement
// returns unwraps to its class and to the driver's own error, on every engine:
//
//	if errors.Is(err, db.ErrUnique) { ... }
//	pg, ok := errors.AsType[*pgconn.PgError](err)
var (
	// ErrDatabase is any error that the database has reported.
	ErrDatabase = pool.ErrDatabase
	// ErrData reports a value that the database cannot take or compute.
	ErrData = pool.ErrData

	// ErrIntegrity reports a violated constraint: one of the four below, or another.
	ErrIntegrity = pool.ErrIntegrity
	// ErrUnique reports a double key.
	ErrUnique = pool.ErrUnique
	// ErrForeignKey reports a reference to what is not there.
	ErrForeignKey = pool.ErrForeignKey
	// ErrNotNull reports a missing value.
	ErrNotNull = pool.ErrNotNull
	// ErrCheck reports a value that a CHECK refuses.
	ErrCheck = pool.ErrCheck

	// ErrOperational reports what is not the statement's fault: a lost connection, a
	// lock that could not be had, a full disk.
	ErrOperational = pool.ErrOperational
	// ErrSerialization reports that the transaction collided with another one, and
	// may succeed when it is run again from its beginning: a serialization failure, a
	// deadlock; on SQLite a reader that wanted to write. It is an ErrOperational.
	ErrSerialization = pool.ErrSerialization

	// ErrProgramming reports a mistake in the statement: its syntax, or a name that
	// does not exist.
	ErrProgramming = pool.ErrProgramming
	// ErrNotSupported reports what this database cannot do.
	ErrNotSupported = pool.ErrNotSupported
	// ErrInternal reports that the database is confused.
	ErrInternal = pool.ErrInternal
)

var (
	// ErrRollback is for the function of a block to return: the block is rolled back,
	// and [Atomic] returns nil. Wrapped with %w it still is one; joined to another
	// error it is not.
	ErrRollback = errors.New("db: roll back")

	// ErrOutsideBlock is what every [OutsideBlockError] is.
	ErrOutsideBlock = errors.New("db: outside of the open block")

	// ErrTransactionAborted is what every [AbortedError] is.
	ErrTransactionAborted = errors.New("db: the transaction has failed and can only be rolled back")

	// ErrBlockOrder reports a block that was left while one inside of it was open.
	// Both are rolled back.
	ErrBlockOrder = errors.New("db: blocks are left innermost first")

	// ErrCommitUnknown reports that the connection was lost before the answer to
	// COMMIT came: the changes are stored, all of them, or none is. Functions given to
	// [OnCommit] have not run.
	ErrCommitUnknown = errors.New("db: the answer to COMMIT was lost, so that nobody knows whether it happened")

	// ErrNoBlock reports an [OnCommit] directly under a [Conn.BeginTx].
	ErrNoBlock = errors.New("db: no block")

	// ErrOnCommit reports that the block is committed, and that functions given to
	// [OnCommit] have failed. It unwraps to their errors.
	ErrOnCommit = errors.New("db: committed, but what was to run after the commit has failed")
)

// OutsideBlockError is an [ErrOutsideBlock] with both places. Nothing was sent.
type OutsideBlockError struct {
	Alias string
	Here  string // file:line of the statement
	Begun string // file:line where the open block was begun

	tx, inner bool
}

// Error names both places and what to do.
func (e *OutsideBlockError) Error() string {
	hint := "use the context that the block's function was given, or wait until it has ended"
	switch {
	case e.tx:
		hint = "use the bun.Tx, or wait until it has ended"
	case e.inner:
		hint = "its context is one of a block around that; " + hint
	}
	return fmt.Sprintf("%v: on %q, the statement at %s is not in the block begun at %s; %s", ErrOutsideBlock, e.Alias, e.Here, e.Begun, hint)
}

// Unwrap returns ErrOutsideBlock.
func (e *OutsideBlockError) Unwrap() error { return ErrOutsideBlock }

// AbortedError is an [ErrTransactionAborted] that tells what went wrong first. It
// unwraps to that error as well.
type AbortedError struct {
	Alias string
	Here  string // file:line of the statement that was not sent, or of the block that ends
	First string // file:line of the first failure
	Query string // that failed; empty when it was no statement
	Err   error  // the first failure
}

// Error names the first failure and its place.
func (e *AbortedError) Error() string {
	what := ""
	if e.Query != "" {
		what = fmt.Sprintf(" of %q", pool.Fingerprint(e.Query))
	}
	return fmt.Sprintf("%v: on %q, at %s, because%s at %s: %v; return the error, or put what may fail into a block of its own",
		ErrTransactionAborted, e.Alias, e.Here, what, e.First, e.Err)
}

// Unwrap returns ErrTransactionAborted and the first failure.
func (e *AbortedError) Unwrap() []error {
	if withoutRollback(e.Err) == nil { // of a block without a savepoint: nobody's wish any more
		return []error{ErrTransactionAborted}
	}
	return []error{ErrTransactionAborted, e.Err}
}
