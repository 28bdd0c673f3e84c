package db_test

import (
	"context"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// A library that wants a *sql.DB, one that listens, and the site itself, without a
// second pool: goose as its own documentation uses it, with its lock of a session.
func TestWaysOut_ALibraryAListenerAndTheSiteShareOnePool(t *testing.T) {
	t.Parallel()
	const most = 2
	settings := kept(dbtest.Database(t, dbtest.Postgres))
	settings.MaxConnections = most
	conns := dbtest.Open(t, settings)
	listener := dedicated(t, conns, "listener")
	if err := exec(t.Context(), listener, "LISTEN migrated"); err != nil {
		t.Fatal(err)
	}

	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, sqlDB(t, conns), fstest.MapFS{
		"00001_polls.sql": {Data: []byte("-- +goose Up\nCREATE TABLE polls (id int);\nNOTIFY migrated, 'up';\n-- +goose Down\nDROP TABLE polls;\n")},
		"00002_index.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY polls_id ON polls (id);\n-- +goose Down\nDROP INDEX polls_id;\n")},
	}, goose.WithSessionLocker(locker))
	if err != nil {
		t.Fatal(err)
	}
	results, err := provider.Up(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "migrations", len(results), 2)
	n, err := notification(t.Context(), listener)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "what the listener hears", n.Payload, "up")
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		rows, err := one[int](ctx, conn, "SELECT count(*) FROM polls")
		expect(t, "rows", rows, 0)
		return err
	})
	if _, err := provider.DownTo(t.Context(), 0); err != nil {
		t.Error(err)
	}
	version, err := provider.GetDBVersion(t.Context())
	if err != nil || version != 0 {
		t.Errorf("version %d, %v", version, err)
	}

	s := stats(conns)
	expect(t, "in use afterwards", s.InUse, 0)
	if s.Open > most {
		t.Errorf("%d connections, want %d at most", s.Open, most)
	}
	expect(t, "sessions of the server", len(dbtest.Backends(t, settings)), s.Open+1)
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		locks, err := one[int](ctx, conn, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
		expect(t, "locks that are left", locks, 0)
		return err
	})
}
