package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
)

// goodbye is how long Close waits for the server to end the session.
const goodbye = 250 * time.Millisecond

var (
	errLingers    = errors.New("postgres: the server did not end the session within 250ms of the goodbye; it may still count it")
	errUnsuitable = errors.New("the server's role is not what target_session_attrs asks for")
	errForeign    = errors.New("postgres: the connection is not one of this engine's")
)

// sessions opens and tends PostgreSQL sessions.
type sessions struct {
	alias    string
	settings db.Settings
	pooled   bool // by PgBouncer, in transaction mode
}

var _ pool.Driver = (*sessions)(nil)

// stdConn is pgx's connection for database/sql, under a name that leaves its method
// Conn to be promoted.
type stdConn = stdlib.Conn

// session is one connection. It has every method of pgx's.
type session struct {
	*stdConn
	wire   *wire
	peeker peeker
	raw    atomic.Bool // a Raw has it
	pooled bool
	writes bool // it could write when it was opened
	exec   bool // is its exec_mode

	bye    sync.Once
	byeErr error
}

func (d *sessions) Connect(ctx context.Context) (driver.Conn, error) {
	cfg, dialer, err := configure(d.alias, d.settings)
	if err != nil {
		return nil, err
	}
	resolve(ctx, cfg, d.settings.ConnectTimeout)
	w := newWire(dialer)
	cfg.DialFunc = w.dial
	s := &session{wire: w, pooled: d.pooled, exec: cfg.DefaultQueryExecMode == pgx.QueryExecModeExec}
	cfg.BuildContextWatcherHandler = func(pg *pgconn.PgConn) ctxwatch.Handler { return newWatcher(&s.raw, pg) }
	c, err := stdlib.GetConnector(*cfg, stdlib.OptionShouldPing(never)).Connect(ctx)
	if err != nil {
		w.cut()
		return nil, fmt.Errorf("postgres: %w", err)
	}
	s.stdConn = c.(*stdConn)
	s.writes = !s.readOnly()
	s.peeker.attach(s.pg().Conn())
	return s, nil
}

// never is when pgx may ping by itself: the pool decides that.
func never(context.Context, stdlib.ShouldPingParams) bool { return false }

func (s *session) pg() *pgconn.PgConn { return s.Conn().PgConn() }

func (d *sessions) Close(c driver.Conn) error { return c.Close() }

// Close says goodbye and waits until the server has ended the session: the server
// process closes the socket when it ends, after it has left pg_stat_activity and
// given up its connection slot.
func (s *session) Close() error {
	s.bye.Do(func() { s.byeErr = s.leave() })
	return s.byeErr
}

func (s *session) leave() error {
	defer s.wire.cut()
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	pg := s.pg()
	if pg.IsClosed() {
		// pgx has met an error and takes its leave in a goroutine
		return s.outlast(ctx, pg.CleanupDone())
	}
	if pg.IsBusy() {
		// a running statement would not see the goodbye; if this fails it runs out
		_ = pg.CancelRequest(ctx)
	}
	err := farewell(ctx, pg.Conn())
	// the socket is closed: this only tells pgx
	_ = s.stdConn.Close()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errLingers
	}
	return nil
}

// outlast waits for pgx's own goodbye, and without its sockets if it takes too long.
func (s *session) outlast(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.wire.cut()
	select {
	case <-done:
	case <-time.After(goodbye): // never, unless somebody has hijacked the connection
	}
	return errLingers
}

// farewell sends Terminate and reads what still comes until the server hangs up.
func farewell(ctx context.Context, c net.Conn) error {
	defer c.Close()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := c.Write([]byte{'X', 0, 0, 0, 4}); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, c)
	return err
}

func (d *sessions) Kill(c driver.Conn) {
	if s, ok := c.(*session); ok {
		// that it is closed already is as good
		_ = socket(s.pg().Conn()).Close()
	}
}

func (d *sessions) Peek(c driver.Conn) error {
	s, ok := c.(*session)
	if !ok {
		return errForeign
	}
	if s.pg().IsClosed() {
		return errGone
	}
	return s.peeker.peek()
}

func (d *sessions) Ping(ctx context.Context, c driver.Conn) error {
	s, ok := c.(*session)
	if !ok {
		return errForeign
	}
	if err := s.pg().Ping(ctx); err != nil {
		return fmt.Errorf("postgres: ping: %w", err)
	}
	return nil
}

func (d *sessions) Cancel(ctx context.Context, c driver.Conn) error {
	s, ok := c.(*session)
	if !ok {
		return errForeign
	}
	// The server hangs up after it has sent the signal, and pgx waits for that but
	// does not say when the wait was cut short.
	if err := errors.Join(s.pg().CancelRequest(ctx), ctx.Err()); err != nil {
		return fmt.Errorf("postgres: cancel: %w", err)
	}
	return nil
}

func (d *sessions) InTransaction(c driver.Conn) (in, known bool) {
	s, ok := c.(*session)
	if !ok {
		return false, false
	}
	return s.pg().TxStatus() != 'I', true
}

// The reset leaves what DISCARD ALL would take and pgx relies on: the statements
// that it has prepared. Those of SQL's PREPARE are looked for, see Reset. RESET ALL
// leaves the role, and the default session authorization has none: RESET ROLE brings
// back the one of OPTIONS or of ALTER ROLE.
const lightReset = "CLOSE ALL;" +
	"SET SESSION AUTHORIZATION DEFAULT;" +
	"RESET ALL;" +
	"RESET ROLE;" +
	"UNLISTEN *;" +
	"SELECT EXISTS (SELECT FROM pg_catalog.pg_prepared_statement() WHERE from_sql), pg_catalog.pg_advisory_unlock_all();" +
	"DISCARD TEMP;" +
	"DISCARD SEQUENCES"

func (d *sessions) Reset(ctx context.Context, c driver.Conn) error {
	s, ok := c.(*session)
	if !ok {
		return errForeign
	}
	var batch strings.Builder
	if in, _ := d.InTransaction(c); in {
		batch.WriteString("ROLLBACK;")
	}
	batch.WriteString(lightReset)
	prepared := false
	results := s.pg().Exec(ctx, batch.String())
	for results.NextResult() {
		for _, row := range results.ResultReader().Read().Rows {
			prepared = string(row[0]) == "t"
		}
	}
	if err := results.Close(); err != nil {
		return fmt.Errorf("postgres: reset: %w", err)
	}
	if prepared {
		if err := s.Conn().DeallocateAll(ctx); err != nil {
			return fmt.Errorf("postgres: reset: deallocate: %w", err)
		}
	}
	return nil
}

func (d *sessions) Demoted(c driver.Conn) bool {
	s, ok := c.(*session)
	return ok && s.writes && s.readOnly()
}

// readOnly is what the server has reported last; one before version 14, or behind
// PgBouncer, reports nothing.
func (s *session) readOnly() bool {
	return s.pg().ParameterStatus("default_transaction_read_only") == "on" || s.pg().ParameterStatus("in_hot_standby") == "on"
}

func (d *sessions) Dirties(query string) bool { return dirties(query) }

func (d *sessions) Classify(err error) pool.Class { return classify(err) }

func (d *sessions) Transient(err error) bool { return transient(err) }

func (d *sessions) Traits() pool.Traits { return pool.Traits{Pooled: d.pooled} }
