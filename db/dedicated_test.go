package db_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres"
)

func dedicated(t *testing.T, conns *db.Connections, name string) *db.Dedicated {
	t.Helper()
	d, err := conns.Dedicated(t.Context(), db.DefaultAlias, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// notification waits for one.
func notification(ctx context.Context, d *db.Dedicated) (n *pgconn.Notification, err error) {
	err = postgres.RawOf(ctx, d, func(c *pgx.Conn) (err error) {
		n, err = c.WaitForNotification(ctx)
		return err
	})
	return n, err
}

func TestDedicated_ListensBesideAPoolOfOne(t *testing.T) {
	t.Parallel()
	settings := onlyOne(dbtest.Database(t, dbtest.Postgres))
	settings.HoldIdleWarn = time.Millisecond // nobody complains of this holder
	var log logs
	conns := dbtest.Open(t, settings, db.Options{Logger: log.logger()})
	listener := dedicated(t, conns, "mailer")
	if err := exec(t.Context(), listener, "LISTEN mail"); err != nil {
		t.Fatal(err)
	}
	pid, err := one[uint32](t.Context(), listener, "SELECT pg_backend_pid()")
	if err != nil {
		t.Fatal(err)
	}

	s := stats(conns)
	expect(t, "dedicated", s.Dedicated, 1)
	expect(t, "open, in use and idle", s.Open+s.InUse+s.Idle, 0)
	holders := conns.Holders()
	if len(holders) != 1 || !holders[0].Dedicated || holders[0].Name != "mailer" || holders[0].Alias != "default" {
		t.Errorf("holders: %+v", holders)
	}
	expectText(t, "its place", holders[0].At, "dedicated_test.go:")

	// A wait that ends with its time costs nothing.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = notification(ctx, listener)
	expectError(t, "a wait in vain", err, context.DeadlineExceeded)

	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return db.Atomic(ctx, func(ctx context.Context) error { return exec(ctx, conn, "NOTIFY mail, 'hello'") })
	})
	n, err := notification(t.Context(), listener)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "channel and payload", n.Channel+" "+n.Payload, "mail hello")
	after, err := one[uint32](t.Context(), listener, "SELECT pg_backend_pid()")
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "its backend", after, pid)
	expect(t, "the log", log.String(), "")
}

func TestDedicated_EndsWithTheConnectionsAlsoWhileItWaits(t *testing.T) {
	t.Parallel()
	dbtest.Goroutines(t)
	settings := onlyOne(dbtest.Database(t, dbtest.Postgres))
	conns := dbtest.Open(t, settings)
	listener := dedicated(t, conns, "waits")
	idle := dedicated(t, conns, "idle")
	waits, over := make(chan struct{}), make(chan error)
	go func() {
		over <- postgres.RawOf(t.Context(), listener, func(c *pgx.Conn) error {
			close(waits)
			_, err := c.WaitForNotification(context.Background())
			return err
		})
	}()
	<-waits
	within(t, time.Second, "Close", func() {
		if err := conns.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	expectError(t, "who waited", <-over, db.ErrConnectionLost)
	expectError(t, "a statement afterwards", exec(t.Context(), idle, "SELECT 1"), db.ErrReleased)
	expect(t, "dedicated", stats(conns).Dedicated, 0)
	await(t, "no backend", func() bool { return len(dbtest.Backends(t, settings)) == 0 })
	_, err := conns.Dedicated(t.Context(), db.DefaultAlias, "late")
	expectError(t, "another one", err, db.ErrClosed)
}

func TestDedicated_IsASessionOfItsOwnOnBothEngines(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		conns := dbtest.Open(t, onlyOne(settings))
		d := dedicated(t, conns, "worker")
		defer hold(t, conns, 1)() // everything else is in use
		if err := exec(t.Context(), d, "CREATE TEMPORARY TABLE mine (n integer)", "INSERT INTO mine VALUES (42)"); err != nil {
			t.Fatal(err)
		}
		n, err := one[int](t.Context(), d, "SELECT n FROM mine WHERE n = ?", 42)
		if err != nil || n != 42 {
			t.Errorf("%d, %v", n, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err = one[int](ctx, d, endless)
		expectError(t, "a statement that takes too long", err, context.DeadlineExceeded)
		n, err = one[int](t.Context(), d, "SELECT n FROM mine")
		if err != nil || n != 42 {
			t.Errorf("after a cancel: %d, %v", n, err)
		}
		expectText(t, "it", d.Alias()+" "+d.Name(), "default worker")
	})
}

func TestDedicated_FailsWithAReason(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, db.Settings{Engine: "sqlite", Name: ":memory:"})
	_, err := conns.Dedicated(t.Context(), db.DefaultAlias, "worker")
	expectError(t, "of a database in memory", err, db.ErrNoDedicated)
	_, err = conns.Dedicated(t.Context(), "reports", "worker")
	if _, ok := errors.AsType[*db.UnknownAliasError](err); !ok {
		t.Errorf("of an unknown alias: %v", err)
	}
	away := db.Settings{Engine: "postgres", Name: "x", Host: "127.0.0.1", Port: 1, AcquireTimeout: time.Second}
	_, err = dbtest.Open(t, away).Dedicated(t.Context(), db.DefaultAlias, "worker")
	expectError(t, "of a server that is away", err, db.ErrUnavailable)
	expectText(t, "the error", err.Error(), "refused", "unreachable")
}
