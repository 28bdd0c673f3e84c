package sqlite

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/goquintet/quintet/db/pool"
)

var (
	errNoTx    = errors.New("sqlite: the connection is not in a transaction any more: SQLite has rolled it back, or something has sent COMMIT or ROLLBACK")
	errWritten = errors.New("sqlite: a statement has written, and the transaction was to read only")
)

// Begin takes the lock that OPTIONS transaction_mode says, immediate by default; a
// transaction that only reads waits for nobody.
func (d *sessions) Begin(o pool.TxOptions) (string, error) {
	switch level := sql.IsolationLevel(o.Isolation); level {
	case sql.LevelDefault, sql.LevelSerializable:
	default:
		return "", fmt.Errorf("sqlite: there is no isolation level %s: transactions are Serializable; leave it out", level)
	}
	if o.ReadOnly || o.Deferred {
		return "BEGIN DEFERRED", nil
	}
	return "BEGIN " + strings.ToUpper(d.lock), nil
}

// Committable is where a transaction that was to read only is held to it: SQLite has
// no such mode.
func (d *sessions) Committable(c driver.Conn, o pool.TxOptions) error {
	s, ok := c.(*session)
	switch {
	case !ok:
		return errForeign
	case !s.IsValid():
		return fmt.Errorf("%w: %w", pool.ErrConnectionLost, errClosed)
	}
	if in, known := s.handle.inTransaction(); known && !in {
		return errNoTx
	}
	if o.ReadOnly && s.handle.wrote() {
		return errWritten
	}
	return nil
}

// Kind follows the result codes. That another connection is in the way is a
// serialization failure inside of a transaction: waiting would not help, because what
// it has read is old by now.
func (d *sessions) Kind(c driver.Conn, err error) error {
	failed, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return nil
	}
	switch failed.Code() {
	case lib.SQLITE_CONSTRAINT_UNIQUE, lib.SQLITE_CONSTRAINT_PRIMARYKEY, lib.SQLITE_CONSTRAINT_ROWID:
		return pool.ErrUnique
	case lib.SQLITE_CONSTRAINT_FOREIGNKEY:
		return pool.ErrForeignKey
	case lib.SQLITE_CONSTRAINT_NOTNULL:
		return pool.ErrNotNull
	case lib.SQLITE_CONSTRAINT_CHECK:
		return pool.ErrCheck
	case lib.SQLITE_BUSY_SNAPSHOT:
		return pool.ErrSerialization
	}
	switch failed.Code() & 0xff {
	case lib.SQLITE_CONSTRAINT:
		return pool.ErrIntegrity
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		if in, _ := d.InTransaction(c); in {
			return pool.ErrSerialization
		}
		return pool.ErrOperational
	case lib.SQLITE_TOOBIG, lib.SQLITE_MISMATCH:
		return pool.ErrData
	case lib.SQLITE_ERROR, lib.SQLITE_MISUSE, lib.SQLITE_RANGE, lib.SQLITE_AUTH:
		return pool.ErrProgramming
	case lib.SQLITE_INTERNAL:
		return pool.ErrInternal
	}
	return pool.ErrOperational
}
