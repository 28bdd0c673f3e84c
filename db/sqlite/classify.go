package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/goquintet/quintet/db/pool"
)

// classify follows SQLite's result codes (sqlite.org/rescode.html).
func classify(err error) pool.Class {
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, errClosed) || errors.Is(err, errMoved) {
		return pool.Lost
	}
	// The driver answers a cancelled statement with the error of its context. SQLite
	// may have rolled the transaction back for it.
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return pool.Canceled
	}
	failed, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return pool.Foreign
	}
	switch failed.Code() & 0xff {
	case lib.SQLITE_CONSTRAINT, lib.SQLITE_TOOBIG, lib.SQLITE_MISMATCH, lib.SQLITE_RANGE,
		lib.SQLITE_BUSY, lib.SQLITE_LOCKED: // somebody else is faster: the connection is well
		return pool.Harmless
	case lib.SQLITE_INTERRUPT:
		return pool.Canceled
	case lib.SQLITE_IOERR, lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB, lib.SQLITE_CANTOPEN, lib.SQLITE_NOMEM,
		lib.SQLITE_MISUSE, lib.SQLITE_INTERNAL, lib.SQLITE_PROTOCOL:
		return pool.Lost // what the connection knows of the file may be wrong
	case lib.SQLITE_READONLY:
		if failed.Code() == lib.SQLITE_READONLY_DBMOVED {
			return pool.Lost
		}
	}
	return pool.Doubtful
}

// locked reports whether another connection was in the way.
func locked(err error) bool {
	failed, ok := errors.AsType[*sqlite.Error](err)
	return ok && (failed.Code()&0xff == lib.SQLITE_BUSY || failed.Code()&0xff == lib.SQLITE_LOCKED)
}
