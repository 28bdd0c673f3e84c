package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/goquintet/quintet/db/pool"
)

// classify follows the SQLSTATE (PostgreSQL manual, appendix A) and, where there
// is none, what pgx and the network say.
func classify(err error) pool.Class {
	if err == nil {
		return pool.Foreign
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return classifyState(pg)
	}
	if lost(err) {
		return pool.Lost
	}
	return pool.Foreign
}

func classifyState(pg *pgconn.PgError) pool.Class {
	if severity := pg.SeverityUnlocalized; severity == "FATAL" || severity == "PANIC" ||
		severity == "" && pg.Severity == "FATAL" {
		return pool.Lost
	}
	switch pg.Code {
	case "57014": // query_canceled: Cancel, or statement_timeout
		return pool.Canceled
	case "57P01", "57P02", "57P03", "57P04", "57P05", // shut down, dropped, idle too long
		"25P03", "25P04": // idle in transaction, transaction too long
		return pool.Lost
	}
	switch class := pg.Code[:min(2, len(pg.Code))]; class {
	case "08": // connection exception
		return pool.Lost
	case "22", "23": // data exception, integrity constraint violation
		return pool.Harmless
	}
	return pool.Doubtful
}

func lost(err error) bool {
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, errGone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return true
	}
	// A context that ended before anything was sent does no harm; in mid-statement
	// pgx gives the connection up.
	if pgconn.Timeout(err) {
		return !pgconn.SafeToRetry(err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	_, ok := errors.AsType[syscall.Errno](err)
	return ok
}

// several is an error that has more than one: pgx joins one for each host, and two
// with sslmode prefer.
type several interface {
	error
	Unwrap() []error
}

// transient: one attempt that may succeed a moment later is enough to try again.
func transient(err error) bool {
	if joined, ok := errors.AsType[several](err); ok {
		return slices.ContainsFunc(joined.Unwrap(), transient)
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		// shuts down, crashed, starts up, full
		return slices.Contains([]string{"57P01", "57P02", "57P03", "53300"}, pg.Code) || pg.Code == "08P01" && saysPgBouncer(pg.Message)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.IsTemporary
	}
	return slices.ContainsFunc([]error{
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF,
		syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ETIMEDOUT, // a host that starts again
		syscall.ENOENT, // the unix socket of a server that is down
		syscall.EAGAIN, // and of one whose queue is full
		errUnsuitable,  // a standby that is being promoted
	}, func(target error) bool { return errors.Is(err, target) })
}

// saysPgBouncer knows what PgBouncer says of a server that is away and of too many
// clients. It has one SQLSTATE for all of that, and for mistakes that will not pass.
func saysPgBouncer(message string) bool {
	return slices.ContainsFunc([]string{
		"cannot connect to server", "server login has been failing", "server_login_retry",
		"query_wait_timeout", "no more connections allowed", "shutting down",
	}, func(text string) bool { return strings.Contains(message, text) })
}
