package dbtest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
)

// Atomic runs the rest of the test in one transaction for each alias, which is rolled
// back at its end, and returns the context of a scope in it: Django's TestCase. Every
// scope of the connections is in it. With aliases, statements on others fail with
// [ErrFenced].
//
// Scopes have virtual connections. They open, use and give them back as in production:
// ages, health, counters and signals are what they are there, and the transaction
// underneath stays. So does what a view commits, for the rest of the test: an
// autocommit statement is a savepoint, and so is a block, whose OnCommit functions run
// when it commits.
//
// What follows from one transaction:
//
//   - Blocks of two scopes take turns, and so do their statements. A scope that waits
//     in its block for another one, [db.Run], would wait for ever: it fails with
//     [ErrWrapped].
//   - Isolation levels, LISTEN and NOTIFY, CREATE INDEX CONCURRENTLY, VACUUM and what
//     else is no part of a transaction are refused with [ErrWrapped]. Nobody can see
//     that now() stands still, that sequences go on, and that a lock is kept to
//     the end.
//   - Constraints that are deferred are checked when a block commits, on PostgreSQL,
//     and at the end of the test.
//   - Rows are read to their end before a query returns.
//   - On SQLite, PRAGMA and temporary tables stay until the test ends.
//   - Parallel tests on one PostgreSQL do not see each other. One that writes a row
//     that another has written waits for that one's end, and the log says for whose.
//
// Where one of these matters, use [Database].
//
// The test must have the connections for itself, and nothing in use; those in memory
// cannot be wrapped.
func Atomic(t testing.TB, conns *db.Connections, aliases ...string) context.Context {
	t.Helper()
	for _, alias := range aliases {
		if !slices.Contains(conns.Aliases(), alias) {
			t.Fatalf("dbtest: Atomic names the alias %q, and there are %q", alias, conns.Aliases())
		}
	}
	if held := conns.Holders(); len(held) > 0 {
		t.Fatalf("dbtest: Atomic comes too late: %s", held[0])
	}
	restore := conns.Intercept(func(alias string, settings db.Settings, d pool.Driver) pool.Driver {
		switch {
		case len(aliases) > 0 && !slices.Contains(aliases, alias):
			return fenced{d, fenceError(t.Name(), alias)}
		case d.Traits().Single:
			return fenced{d, fmt.Errorf("%w: the alias %q is in memory, and its one connection cannot be shared; use a file", ErrWrapped, alias)}
		}
		if v, ok := d.(*virtualDriver); ok {
			t.Fatalf("dbtest: Atomic: the connections are wrapped already, by %s; give each test its own", v.hub.t.Name())
		}
		return &virtualDriver{d, newHub(t, alias, settings, d)}
	})
	waiting, stop := patience(t)
	ctx, scope := conns.NewScope(waiting, t.Name())
	t.Cleanup(func() {
		defer stop()
		for _, h := range db.Holders(ctx) {
			if h.Open {
				t.Errorf("dbtest: the test has left something open on %q: %s", h.Alias, h)
			}
		}
		if err := scope.End(); err != nil {
			t.Error(err)
		}
		for _, h := range conns.Holders() {
			t.Errorf("dbtest: a connection of %q is still leased: %s", h.Alias, h)
		}
		ctx, cancel := cleanup()
		defer cancel()
		if err := restore(ctx); err != nil {
			t.Error(err)
		}
	})
	return ctx
}

// Wrapped is an engine whose databases are those of a wrapped test: see [Atomic]. at
// is that of [Lazy].
func Wrapped(t testing.TB, engine db.Engine, at func(ctx context.Context, alias string, settings db.Settings) (db.Settings, error)) db.Engine {
	return wrappedEngine{Lazy(engine, at), t}
}

type wrappedEngine struct {
	db.Engine
	t testing.TB
}

func (e wrappedEngine) Open(alias string, settings db.Settings) (pool.Driver, error) {
	d, err := e.Engine.Open(alias, settings)
	if err != nil {
		return nil, err
	}
	return &virtualDriver{d, newHub(e.t, alias, settings, d)}, nil
}
