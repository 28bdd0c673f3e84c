package db_test

import (
	"context"
	"errors"
	"net"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// The scenarios F37 and F40 of FAULTS.md: a database that is somewhere else now, or not
// what it was. F38 is beside the other demotions.

// ports are the servers that five holders at the same time are on.
func ports(t *testing.T, conns *db.Connections, n int) map[int]int {
	t.Helper()
	found := make(map[int]int)
	var scopes []*db.Scope
	for range n {
		ctx, sc := conns.NewScope(t.Context(), "test")
		port, err := serverPort(ctx)
		if err != nil {
			t.Error(err)
		}
		found[port]++
		scopes = append(scopes, sc)
	}
	for _, sc := range scopes {
		if err := sc.End(); err != nil {
			t.Error(err)
		}
	}
	return found
}

func TestF37_ANameThatMovesLeadsNewConnectionsThereAndOldOnesOnceInvalidated(t *testing.T) {
	t.Parallel()
	first, second := ownServer(t, nil), ownServer(t, nil)
	alsoAt(t, second, net.JoinHostPort("127.0.0.2", strconv.Itoa(first.Port)))
	names.point("moves.test.", "127.0.0.1")
	settings := on(first)
	settings.Host = "moves.test."
	conns := dbtest.Open(t, settings)
	expect(t, "on the first one", ports(t, conns, 2)[first.Port], 2)

	names.point("moves.test.", "127.0.0.2")
	happened(t, "the name leads to another server")
	found := ports(t, conns, 5)
	expect(t, "old connections on the first one", found[first.Port], 2)
	expect(t, "new connections on the second", found[second.Port], 3)

	if err := conns.Invalidate(db.DefaultAlias); err != nil {
		t.Fatal(err)
	}
	expect(t, "on the second, once invalidated", ports(t, conns, 5)[second.Port], 5)
	expect(t, "acquires that failed", stats(conns).Refused, 0)
}

// One of two addresses of a name takes connections and is silent: what CONNECT_TIMEOUT
// leaves must be enough for the other.
func TestConnect_ADeadAddressOfANameLeavesTimeForTheNext(t *testing.T) {
	t.Parallel()
	for name, dead := range map[string]func(t *testing.T, address string){
		"deaf": func(t *testing.T, address string) {
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
			if err != nil {
				t.Skip("this system has no second loopback address: ", err)
			}
			t.Cleanup(func() { _ = l.Close() })
		},
		"nobody": func(*testing.T, string) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := dbtest.Database(t, dbtest.Postgres)
			_, settings = dbtest.NewProxy(t, settings) // a port of this test's own
			dead(t, net.JoinHostPort("127.0.0.2", strconv.Itoa(settings.Port)))
			names.point(name+".test.", "127.0.0.2", "127.0.0.1")
			settings.Host = name + ".test."
			settings.ConnectTimeout = 2 * time.Second
			conns := dbtest.Open(t, settings)
			scope(t, conns, func(ctx context.Context, _ *db.Conn) error { return query(ctx) })
		})
	}
}

func TestF40_AServerThatRecoversIsNamedAndNotTriedInATightLoop(t *testing.T) {
	t.Parallel()
	srv := ownServer(t, map[string]string{"wal_level": "replica"})
	for _, row := range []struct {
		name string
		hot  bool
		text string
		wait time.Duration
	}{
		{"a hot standby that should be a primary", true, "target_session_attrs", time.Second},
		{"a server that refuses", false, "57P03", 5 * time.Second},
	} {
		if err := srv.Standby(t.Context(), row.hot); err != nil {
			t.Fatal(err)
		}
		settings := on(srv)
		settings.AcquireTimeout = row.wait
		settings.Options["target_session_attrs"] = "read-write"
		refused := refusal(t, t.Context(), dbtest.Open(t, settings))
		t.Logf("%s: refused after %s: %v", row.name, refused.Waited, refused)
		expect(t, row.name+": kind", string(refused.Kind), "unreachable")
		expectText(t, row.name, refused.Error(), row.text)
		if refused.Waited < row.wait || refused.Waited > row.wait+5*time.Second {
			t.Errorf("%s: it waited %s, want %s", row.name, refused.Waited, row.wait)
		}
		said := regexp.MustCompile(`(\d+) attempts in`).FindStringSubmatch(refused.Error())
		if said == nil {
			t.Fatalf("%s: the attempts are missing: %v", row.name, refused)
		}
		if n, err := strconv.Atoi(said[1]); err != nil || n < 2 || n > 12 {
			t.Errorf("%s: %d attempts, want a dozen at most", row.name, n)
		}
	}
	if err := srv.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	scope(t, dbtest.Open(t, on(srv)), func(ctx context.Context, _ *db.Conn) error { return errors.Join(query(ctx), write(ctx)) })
}
