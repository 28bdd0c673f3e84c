package dbtest

import (
	"log/slog"
	"testing"

	"github.com/goquintet/quintet/db"
)

// Open opens a database as the alias "default". With options given it uses their
// first; without engines in them it builds in both, and without a logger it
// logs to the test.
//
// When the test ends, the connections are closed, and whoever still holds one
// fails the test, with the place where it was taken.
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
		if err := conns.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return conns
}
