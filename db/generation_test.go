package db_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres/server"
)

// ownServer starts a server that the test may change.
func ownServer(t *testing.T, parameters map[string]string) *server.Server {
	t.Helper()
	dbtest.Server(t) // where there is one, there can be another
	srv, err := server.Start(t.Context(), server.Options{Settings: parameters})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Stop(); err != nil {
			t.Error(err)
		}
	})
	return srv
}

func ask(t *testing.T, srv *server.Server, queries ...string) {
	t.Helper()
	for _, query := range queries {
		if _, err := srv.Query(t.Context(), "postgres", query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
}

// readOnly makes the server one that refuses to write, as a primary that was demoted.
func readOnly(t *testing.T, srv *server.Server) {
	t.Helper()
	ask(t, srv, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
	await(t, "read-only", func() bool {
		rows, err := srv.Query(t.Context(), "postgres", "SHOW default_transaction_read_only")
		return err == nil && rows[0][0] == "on"
	})
}

// alsoAt makes the server reachable at the address as well, over plain TCP.
func alsoAt(t *testing.T, srv *server.Server, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip("this system has no second loopback address: ", err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", net.JoinHostPort(srv.Host, strconv.Itoa(srv.Port)))
			if err != nil {
				_ = client.Close()
				continue
			}
			all.Go(func() { _, _ = io.Copy(up, client); _ = up.Close() })
			all.Go(func() { _, _ = io.Copy(client, up); _ = client.Close() })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
}

func write(ctx context.Context) error {
	_, err := db.From(ctx).ExecContext(ctx, "CREATE TABLE IF NOT EXISTS written (n int); INSERT INTO written VALUES (1)")
	return err
}

// address is the server's port as it knows it, which tells servers apart.
func serverPort(ctx context.Context) (int, error) {
	return one[int](ctx, db.From(ctx), "SELECT inet_server_port()")
}

func TestF38_OneFailedWriteAndTheNextLandsOnTheNewPrimary(t *testing.T) {
	t.Parallel()
	first, second := ownServer(t, nil), ownServer(t, nil)
	alsoAt(t, second, net.JoinHostPort("127.0.0.2", strconv.Itoa(first.Port)))
	settings := kept(db.Settings{
		Engine: "postgres", Name: "postgres", Host: "127.0.0.1,127.0.0.2", Port: first.Port, User: first.User, MaxConnections: 5,
		Options: map[string]string{"sslmode": "disable", "target_session_attrs": "read-write", "exec_mode": "simple_protocol"},
	})
	var log logs
	conns := dbtest.Open(t, settings, db.Options{Logger: log.logger()})
	hold(t, conns, 4)() // four idle ones
	write := func() error {
		return try(t.Context(), conns, func(ctx context.Context, _ *db.Conn) error { return write(ctx) })
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	readOnly(t, first)
	if err := write(); err == nil {
		t.Fatal("a server that is read-only has written")
	} else {
		expectError(t, "the write", err, db.ErrDatabase)
	}
	for range 8 {
		if err := write(); err != nil {
			t.Error(err)
		}
		scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
			port, err := serverPort(ctx)
			expect(t, "the server's port", port, second.Port)
			return err
		})
	}
	await(t, "nobody left on the old one", func() bool {
		pids, err := first.Backends(t.Context(), "quintet")
		return err == nil && len(pids) == 0
	})
	if log.find("read-only", "alias=default") == "" {
		t.Errorf("nothing is logged of it: %s", log.String())
	}
}

func TestDemotion_AReadOnlyBlockIsNone(t *testing.T) {
	t.Parallel()
	settings := onlyOne(dbtest.Database(t, dbtest.Postgres))
	conns := dbtest.Open(t, settings)
	pid := backend(t, conns)
	scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
		err := db.AtomicWith(ctx, db.AtomicOptions{ReadOnly: true}, write)
		expectError(t, "a write in a block that only reads", err, db.ErrDatabase)
		return nil
	})
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return exec(ctx, conn, "SET default_transaction_read_only = on")
	})
	expect(t, "the backend", backend(t, conns), pid)
}

func TestTargetSessionAttrs_ChooseAmongSeveralHosts(t *testing.T) {
	t.Parallel()
	standby, primary := ownServer(t, map[string]string{"default_transaction_read_only": "on"}), ownServer(t, nil)
	alsoAt(t, primary, net.JoinHostPort("127.0.0.2", strconv.Itoa(standby.Port)))
	for attrs, want := range map[string]int{"any": standby.Port, "read-write": primary.Port, "read-only": standby.Port, "": standby.Port} {
		settings := db.Settings{
			Engine: "postgres", Name: "postgres", Host: "127.0.0.1,127.0.0.2", Port: standby.Port, User: standby.User,
			Options: map[string]string{"sslmode": "disable"},
		}
		if attrs != "" {
			settings.Options["target_session_attrs"] = attrs
		}
		conns := dbtest.Open(t, settings)
		scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
			port, err := serverPort(ctx)
			expect(t, "with "+attrs+", the server's port", port, want)
			return err
		})
	}

	// Nobody suits: an error with the reason, after the whole wait and few attempts.
	conns := dbtest.Open(t, db.Settings{
		Engine: "postgres", Name: "postgres", Host: standby.Host, Port: standby.Port, User: standby.User, AcquireTimeout: time.Second,
		Options: map[string]string{"sslmode": "disable", "target_session_attrs": "read-write"},
	})
	refused := refusal(t, t.Context(), conns)
	expect(t, "kind", string(refused.Kind), "unreachable")
	expectText(t, "the error", refused.Error(), "target_session_attrs", "attempts")
}

func TestInvalidate_MovesEverybodyToNewConnections(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		settings = kept(settings)
		settings.MaxConnections = 3
		conns := dbtest.Open(t, settings)
		hold(t, conns, 3)()
		expect(t, "idle", stats(conns).Idle, 3)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return db.Atomic(ctx, func(ctx context.Context) error {
				if err := query(ctx); err != nil {
					return err
				}
				if err := conns.Invalidate(db.DefaultAlias); err != nil {
					return err
				}
				expect(t, "open", stats(conns).Open, 1)
				return query(ctx) // the block goes on
			})
		})
		expect(t, "open afterwards", stats(conns).Open, 0)
		scope(t, conns, func(ctx context.Context, _ *db.Conn) error { return query(ctx) })
		expect(t, "opened", stats(conns).Opened, 4)
		if _, ok := errors.AsType[*db.UnknownAliasError](conns.Invalidate("nowhere")); !ok {
			t.Error("an alias that does not exist is invalidated")
		}
	})
}
