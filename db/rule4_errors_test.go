package db_test

import (
	"context"
	"errors"
	"testing"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// failing runs one statement that fails, and returns the pings of its scope.
func failing(t *testing.T, conns *db.Connections, query string) int64 {
	t.Helper()
	before := stats(conns).Pings
	if err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, query) }); err == nil {
		t.Errorf("%s did not fail", query)
	}
	return stats(conns).Pings - before
}

func TestRule4Errors_ADoubtfulErrorIsCheckedAtGiveBackAndADataErrorIsNot(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, onlyOne(settings))
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return exec(ctx, conn, "CREATE TABLE fact (id integer PRIMARY KEY, n integer CHECK (n > 0))", "INSERT INTO fact VALUES (1, 1)")
		})
		expect(t, "pings after a double key", failing(t, conns, "INSERT INTO fact VALUES (1, 1)"), 0)
		expect(t, "pings after a failed check", failing(t, conns, "INSERT INTO fact VALUES (2, 0)"), 0)
		expect(t, "pings after a wrong column", failing(t, conns, "SELECT nothing FROM fact"), 1)
		expect(t, "connections opened", stats(conns).Opened, 1)
	})
}

func TestRule4Errors_ARollbackThatTheServerAnswersIsTheCheck(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, onlyOne(settings))
		err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
			return conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return exec(ctx, tx, "SELECT * FROM nowhere") })
		})
		if err == nil {
			t.Error("no error")
		}
		expect(t, "pings", stats(conns).Pings, 0)
		expect(t, "connections opened", stats(conns).Opened, 1)
	})
}

func TestRule4Errors_ALostConnectionHarmsOneScope(t *testing.T) {
	t.Parallel()
	settings := dbtest.Database(t, dbtest.Postgres)
	conns := dbtest.Open(t, onlyOne(settings))
	err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
		return exec(ctx, conn, "SELECT pg_terminate_backend(pg_backend_pid())")
	})
	expectError(t, "the scope", err, db.ErrConnectionLost)
	for range 3 {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
	}
	expect(t, "connections opened", stats(conns).Opened, 2)
	expect(t, "pings", stats(conns).Pings, 0)
}

func TestRule4Errors_AConnectionLostInATransactionIsGivenUpByIt(t *testing.T) {
	t.Parallel()
	settings := dbtest.Database(t, dbtest.Postgres)
	settings.ConnLease = db.LeaseTransaction
	conns := dbtest.Open(t, onlyOne(settings))
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		err := conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			dbtest.Kill(t, settings)
			return exec(ctx, tx, "SELECT 1")
		})
		expectError(t, "the transaction", err, db.ErrConnectionLost)
		expect(t, "in use although the scope goes on", stats(conns).InUse, 0)
		return exec(ctx, conn, "SELECT 1")
	})
}

func TestF34_AResetSocketIsALostConnection(t *testing.T) {
	t.Parallel()
	proxy, settings := dbtest.NewProxy(t, dbtest.Database(t, dbtest.Postgres))
	conns := dbtest.Open(t, onlyOne(settings))
	failed := make(chan error, 1)
	go func() {
		failed <- try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT pg_sleep(30)") })
	}()
	awaitStatement(t, conns, "SELECT pg_sleep")
	proxy.Reset()
	expectError(t, "the statement", <-failed, db.ErrConnectionLost)
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
}

// SQLite itself leaves the transaction open when a COMMIT fails; the next statement
// must not land in it.
func TestRule4Errors_AFailedCommitLeavesNoTransaction(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, onlyOne(settings))
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			err := exec(ctx, conn, "CREATE TABLE parent (id integer PRIMARY KEY)",
				"CREATE TABLE child (parent integer REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)")
			if err != nil {
				return err
			}
			err = conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return exec(ctx, tx, "INSERT INTO child VALUES (1)") })
			if err == nil {
				return errors.New("a commit against a deferred constraint succeeded")
			}
			if conn.InAtomicBlock() {
				t.Error("still in a block")
			}
			return exec(ctx, conn, "INSERT INTO parent VALUES (1)")
		})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			n, err := one[int](ctx, conn, "SELECT count(*) FROM parent")
			expect(t, "rows written after the failed commit", n, 1)
			return err
		})
	})
}
