package dbtest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/goquintet/quintet/db"
)

// Open opens a database as the alias "default". With options given it uses their
// first; without engines in them it builds in both, and without a logger it
// logs to the test.
//
// When the test ends, the connections are closed, and whoever still holds one
// fails the test, with the place where it was taken; so does a session of PostgreSQL
// that nobody holds and that is in a transaction.
func Open(t testing.TB, settings db.Settings, options ...db.Options) *db.Connections {
	t.Helper()
	return OpenAll(t, map[string]db.Settings{db.DefaultAlias: settings}, options...)
}

// OpenAll is [Open] for several aliases.
func OpenAll(t testing.TB, databases map[string]db.Settings, options ...db.Options) *db.Connections {
	t.Helper()
	var o db.Options
	if len(options) > 0 {
		o = options[0]
	}
	if o.Engines == nil {
		o.Engines = engines()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	conns, err := db.Open(databases, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, h := range conns.Holders() {
			t.Errorf("dbtest: a connection of %q is still leased: %s", h.Alias, h)
		}
		ctx, cancel := cleanup()
		defer cancel()
		for alias, settings := range databases {
			if conns.Stats(alias).Quarantined == 0 { // the server may not have heard of one that was cut off
				idleInTransaction(ctx, t, alias, settings)
			}
		}
		if err := conns.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return conns
}

// idleInTransaction fails the test when a session was given back inside of a
// transaction. Databases of servers that the test has started itself have none here.
func idleInTransaction(ctx context.Context, t testing.TB, alias string, settings db.Settings) {
	t.Helper()
	shared.mu.Lock()
	srv := shared.server
	shared.mu.Unlock()
	if settings.Engine != Postgres || srv == nil {
		return
	}
	rows, err := srv.Query(ctx, "postgres", "SELECT pid, query FROM pg_stat_activity WHERE datname = $1 AND state LIKE 'idle in transaction%'", settings.Name)
	if err != nil {
		t.Errorf("dbtest: look for open transactions: %v", err)
	}
	for _, row := range rows {
		t.Errorf("dbtest: session %s of %q is idle in transaction; its last statement: %s", row[0], alias, row[1])
	}
}
