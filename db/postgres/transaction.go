package postgres

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/goquintet/quintet/db/pool"
)

var (
	errFailedTx = errors.New("postgres: a statement has failed; the server would answer COMMIT with a rollback")
	errNoTx     = errors.New("postgres: the session is not in a transaction any more: something has sent COMMIT or ROLLBACK")
)

// Begin writes BEGIN as the manual has it.
func (d *sessions) Begin(o pool.TxOptions) (string, error) {
	query := "BEGIN"
	switch level := sql.IsolationLevel(o.Isolation); level {
	case sql.LevelDefault:
	case sql.LevelReadUncommitted:
		query += " ISOLATION LEVEL READ UNCOMMITTED"
	case sql.LevelReadCommitted:
		query += " ISOLATION LEVEL READ COMMITTED"
	case sql.LevelSerializable:
		query += " ISOLATION LEVEL SERIALIZABLE"
	case sql.LevelRepeatableRead, sql.LevelSnapshot: // which it implements by snapshots
		query += " ISOLATION LEVEL REPEATABLE READ"
	default:
		return "", fmt.Errorf("postgres: there is no isolation level %s; say Read Committed, Repeatable Read or Serializable", level)
	}
	if o.ReadOnly {
		query += " READ ONLY"
	}
	return query, nil
}

func (d *sessions) Committable(c driver.Conn, _ pool.TxOptions) error {
	s, ok := c.(*session)
	if !ok {
		return errForeign
	}
	if err := d.Peek(c); err != nil {
		return fmt.Errorf("%w: %w", pool.ErrConnectionLost, err)
	}
	switch s.pg().TxStatus() {
	case 'E':
		return errFailedTx
	case 'I':
		return errNoTx
	}
	return nil
}

// Kind follows the SQLSTATE as psycopg does, which is what Django's users know.
func (d *sessions) Kind(_ driver.Conn, err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return nil
	}
	switch pg.Code {
	case "23502":
		return pool.ErrNotNull
	case "23503":
		return pool.ErrForeignKey
	case "23505":
		return pool.ErrUnique
	case "23514":
		return pool.ErrCheck
	case "40001", "40P01": // serialization failure, deadlock
		return pool.ErrSerialization
	case "40002": // a constraint, checked when the transaction ends
		return pool.ErrIntegrity
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "0A":
		return pool.ErrNotSupported
	case "22":
		return pool.ErrData
	case "23":
		return pool.ErrIntegrity
	case "20", "21", "26", "34", "3D", "3F", "42", "44":
		return pool.ErrProgramming
	case "08", "28", "40", "53", "54", "55", "57", "58", "F0":
		return pool.ErrOperational
	case "24", "25", "2B", "2D", "2F", "38", "39", "3B", "XX":
		return pool.ErrInternal
	}
	return pool.ErrDatabase
}
