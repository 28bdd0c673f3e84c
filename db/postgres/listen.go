package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun/dialect"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/signals/hub"
)

// Notification is what a NOTIFY has said.
type Notification struct {
	Channel string
	Payload string
}

// Listen is a source of a hub that LISTENs to channels on one dedicated connection, for
// as long as somebody subscribes to the hub: a process needs one, whatever the number
// of its open pages.
//
//	changes := hub.New(site.Context(), postgres.Listen(site.Connections(), db.DefaultAlias, "sales"))
//
// It is ready when it listens: a state that is read after Subscribe has all that the
// notifications do not tell. When the connection is lost it opens another, again and
// again, and subscribers stay. Once it listens again they are told of a gap
// ([hub.ErrGap]) with the reason: what was notified meanwhile is lost, and has to be
// read anew. A connection that says nothing for half a minute is asked whether it lives.
//
// It does not start without a server within ACQUIRE_TIMEOUT ([db.ErrUnavailable]), and
// it ends with [db.ErrClosed] when the connections are closed. It cannot work in a
// wrapped test (dbtest.ErrWrapped), where nothing commits; use dbtest.Database there. A
// channel is written as it is: "Sales" and "sales" are two.
func Listen(conns *db.Connections, alias string, channels ...string) hub.Source[Notification] {
	return listener{conns, alias, channels, listenCheck, checkLimit}.run
}

const (
	listenCheck = 30 * time.Second // without a word, before the server is asked for one
	checkLimit  = 5 * time.Second  // for its answer
	soonest     = 50 * time.Millisecond
	latest      = 5 * time.Second
)

type listener struct {
	conns    *db.Connections
	alias    string
	channels []string
	check    time.Duration
	limit    time.Duration
}

// run listens until ctx ends, on one connection after the other.
func (l listener) run(ctx context.Context, feed hub.Feed[Notification]) error {
	if err := l.valid(); err != nil {
		return err
	}
	var lost error
	ready := false
	wait := soonest
	for {
		err := l.listen(ctx, feed, func() {
			if ready {
				feed.Gap(lost)
			} else {
				feed.Ready()
			}
			ready, wait = true, soonest
		})
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !ready || errors.Is(err, db.ErrClosed):
			return err
		}
		lost = err
		timer := time.NewTimer(wait - rand.N(wait/4))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		wait = min(2*wait, latest)
	}
}

// valid reports what no server would accept, or would cut short without an error.
func (l listener) valid() error {
	if len(l.channels) == 0 {
		return errors.New("postgres: Listen names no channel")
	}
	for _, channel := range l.channels {
		if channel == "" || len(channel) > 63 || strings.ContainsRune(channel, 0) {
			return fmt.Errorf("postgres: Listen: %q is no channel: it has 1 to 63 bytes", channel)
		}
	}
	return nil
}

// listen listens on one connection until it is lost, or ctx ends.
func (l listener) listen(ctx context.Context, feed hub.Feed[Notification], established func()) error {
	d, err := l.conns.Dedicated(ctx, l.alias, "LISTEN "+strings.Join(l.channels, ", "))
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // which never fails
	if err := RawOf(ctx, d, func(*pgx.Conn) error { return nil }); err != nil {
		return err // it is no PostgreSQL
	}
	for _, channel := range l.channels {
		if _, err := d.ExecContext(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
			return err
		}
	}
	established()
	return RawOf(ctx, d, func(c *pgx.Conn) error {
		for {
			switch n, silent, err := l.wait(ctx, c); {
			case err == nil:
				feed.Publish(Notification{n.Channel, n.Payload})
			case ctx.Err() != nil || !silent:
				return err
			default:
				if err := l.ping(ctx, c); err != nil {
					return err
				}
			}
		}
	})
}

// wait waits for a notification; silent is that none came for as long as it looks.
func (l listener) wait(ctx context.Context, c *pgx.Conn) (n *pgconn.Notification, silent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.check)
	defer cancel()
	n, err = c.WaitForNotification(ctx)
	return n, ctx.Err() != nil, err
}

func (l listener) ping(ctx context.Context, c *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	if err := c.Ping(ctx); err != nil {
		return fmt.Errorf("postgres: the connection that listens does not answer: %w", err)
	}
	return nil
}

// Notify sends a notification to all who [Listen], in this process and in others, as
// NOTIFY does: in a block, when that commits, and not at all when it rolls back. Equal
// ones of one block are sent once. A payload has less than 8000 bytes: send a key,
// and let who listens read the row.
func Notify(ctx context.Context, alias, channel, payload string) error {
	conn := db.Using(ctx, alias)
	if name := conn.Dialect().Name(); name != dialect.PG {
		return fmt.Errorf("postgres: Notify: alias %q is not PostgreSQL: it is %s", alias, name)
	}
	_, err := conn.ExecContext(ctx, "SELECT pg_notify(?, ?)", channel, payload)
	return err
}
