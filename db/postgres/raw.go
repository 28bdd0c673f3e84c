package postgres

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/goquintet/quintet/db"
)

// Raw lends pgx's own connection to fn: COPY, batches, pgx's types. It is [db.Conn.Raw]
// of the connection that the scope of ctx has to the alias: in the block of ctx or
// refused outside of it, one at a time with the statements of the scope, cancelled
// with ctx, and the session is reset when it is given back. A context that ends in fn
// costs no connection. fn must not keep it; to LISTEN, take one with
// [db.Connections.Dedicated].
//
// Behind PgBouncer (POOLER: pgbouncer) each transaction may be on another session: what
// needs one for longer belongs into a block.
func Raw(ctx context.Context, alias string, fn func(*pgx.Conn) error) error {
	return db.Using(ctx, alias).Raw(ctx, func(driverConn any) error {
		s, err := sessionOf(alias, driverConn)
		if err != nil {
			return err
		}
		s.raw.Store(true)
		defer s.raw.Store(false)
		return fn(s.Conn())
	})
}

// RawOf is [Raw] on a dedicated connection. Contexts are fn's own affair: one that ends
// in WaitForNotification costs nothing, one that ends in mid-statement costs the
// connection.
func RawOf(ctx context.Context, d *db.Dedicated, fn func(*pgx.Conn) error) error {
	return d.Raw(ctx, func(driverConn any) error {
		s, err := sessionOf(d.Alias(), driverConn)
		if err != nil {
			return err
		}
		return fn(s.Conn())
	})
}

func sessionOf(alias string, driverConn any) (*session, error) {
	s, ok := driverConn.(*session)
	if !ok {
		return nil, fmt.Errorf("postgres: alias %q is not PostgreSQL: its connection is a %T", alias, driverConn)
	}
	return s, nil
}

// watcher is what pgx does when a context of its caller ends. The pool's own calls
// have deadlines, and then the connection is of no use; a Raw's context is a
// client that has gone, and its statement is cancelled.
type watcher struct {
	raw      *atomic.Bool
	deadline pgconn.DeadlineContextWatcherHandler
	cancel   pgconn.CancelRequestContextWatcherHandler
	cancels  bool // what the last one has begun; pgx calls one after the other
}

var _ ctxwatch.Handler = (*watcher)(nil)

// rawDeadline is how long a cancelled statement of a Raw may take to end.
const rawDeadline = time.Second

func newWatcher(raw *atomic.Bool, pg *pgconn.PgConn) *watcher {
	return &watcher{
		raw:      raw,
		deadline: pgconn.DeadlineContextWatcherHandler{Conn: pg.Conn()},
		cancel:   pgconn.CancelRequestContextWatcherHandler{Conn: pg, DeadlineDelay: rawDeadline},
	}
}

func (w *watcher) HandleCancel(ctx context.Context) {
	if w.cancels = w.raw.Load(); w.cancels {
		w.cancel.HandleCancel(ctx)
		return
	}
	w.deadline.HandleCancel(ctx)
}

func (w *watcher) HandleUnwatchAfterCancel() {
	if w.cancels {
		w.cancel.HandleUnwatchAfterCancel()
		return
	}
	w.deadline.HandleUnwatchAfterCancel()
}
