package db_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

func TestRule5Boundary_CloseOldConnectionsGivesBackWhateverTheAge(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, onlyOne(settings))
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			for range 3 {
				if err := exec(ctx, conn, "SELECT 1"); err != nil {
					return err
				}
				if err := db.CloseOldConnections(ctx); err != nil {
					return err
				}
				expect(t, "in use", stats(conns).InUse, 0)
				expect(t, "idle", stats(conns).Idle, 1)
			}
			return nil
		})
		expect(t, "leases", stats(conns).Leases, 3)
		expect(t, "opened", stats(conns).Opened, 1)
	})
}

func TestRule5Boundary_CloseOldConnectionsClosesWhatIsOldAndSkipsBlocks(t *testing.T) {
	t.Parallel()
	settings := dbtest.Database(t, dbtest.Postgres)
	conns := dbtest.OpenAll(t, map[string]db.Settings{"default": settings, "other": settings})
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		other := db.Using(ctx, "other")
		if err := exec(ctx, other, "CREATE TABLE kept (id integer)"); err != nil {
			return err
		}
		if err := exec(ctx, conn, "SELECT 1"); err != nil {
			return err
		}
		err := other.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			if err := exec(ctx, tx, "INSERT INTO kept VALUES (1)"); err != nil {
				return err
			}
			if err := db.CloseOldConnections(ctx); err != nil {
				return err
			}
			expect(t, "connections of default", conns.Stats("default").Open, 0)
			expect(t, "connections of other", conns.Stats("other").InUse, 1)
			return exec(ctx, tx, "INSERT INTO kept VALUES (2)")
		})
		if err != nil {
			return err
		}
		n, err := one[int](ctx, other, "SELECT count(*) FROM kept")
		expect(t, "rows committed by the block", n, 2)
		return err
	})
}

func TestRule5Boundary_ReleaseAndCloseRefuseInABlockAndChangeNothing(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.OpenAll(t, map[string]db.Settings{"default": kept(settings), "other": kept(settings)})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			other := db.Using(ctx, "other")
			if err := exec(ctx, other, "CREATE TABLE stays (id integer)"); err != nil {
				return err
			}
			tx, err := conn.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if err := exec(ctx, tx, "INSERT INTO stays VALUES (1)"); err != nil {
				return err
			}
			for what, err := range map[string]error{
				"Release": db.Release(ctx), "Release of the alias": db.Release(ctx, "other", "default"), "Close": conn.Close(),
			} {
				expectError(t, what, err, db.ErrInAtomicBlock)
				expectText(t, what, err.Error(), "rule5_boundary_test.go", `"default"`)
			}
			expect(t, "in use", conns.Stats("default").InUse, 1)
			expect(t, "in use by the other alias", conns.Stats("other").InUse, 1)
			if err := db.Release(ctx, "other"); err != nil {
				return err
			}
			expect(t, "in use after Release of the other", conns.Stats("other").InUse, 0)
			return tx.Commit()
		})
	})
}

func TestRule5Boundary_EndRollsBackWhatWasNotCommittedAndSaysSo(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, onlyOne(settings))
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return exec(ctx, conn, "CREATE TABLE lost (id integer)")
		})
		ctx, sc := conns.NewScope(t.Context(), "/forgetful")
		tx, err := db.From(ctx).BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := exec(ctx, tx, "INSERT INTO lost VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		err = sc.End()
		expectError(t, "End", err, db.ErrInAtomicBlock)
		expectText(t, "End", err.Error(), "/forgetful", "rolled back", "rule5_boundary_test.go")
		if err := sc.End(); err != nil {
			t.Errorf("a second End: %v", err)
		}
		expectError(t, "the transaction", tx.Commit(), sql.ErrTxDone)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			n, err := one[int](ctx, conn, "SELECT count(*) FROM lost")
			expect(t, "rows", n, 0)
			return err
		})
	})
}

func TestRule5Boundary_AScopeThatHasEndedRunsNothing(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, onlyOne(settings))
		ctx, sc := conns.NewScope(t.Context(), "/done")
		conn := db.From(ctx)
		if err := exec(ctx, conn, "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		if err := sc.End(); err != nil {
			t.Fatal(err)
		}
		err := exec(ctx, conn, "SELECT 1")
		expectError(t, "a statement", err, db.ErrScopeEnded)
		expectError(t, "a statement", err, db.ErrReleased)
		expectText(t, "a statement", err.Error(), "/done")
		_, err = conn.BeginTx(ctx, nil)
		expectError(t, "BeginTx", err, db.ErrScopeEnded)
		expectError(t, "EnsureConnection", conn.EnsureConnection(ctx), db.ErrScopeEnded)
		expect(t, "in use", stats(conns).InUse, 0)
	})
}

func TestRule5Boundary_WithoutAScopeNothingRuns(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	expectError(t, "CloseOldConnections", db.CloseOldConnections(ctx), db.ErrNoScope)
	expectError(t, "Release", db.Release(ctx), db.ErrNoScope)
	expectError(t, "Run", db.Run(ctx, "task", func(context.Context) error { return nil }), db.ErrNoScope)
	expectError(t, "a statement", exec(ctx, db.From(ctx), "SELECT 1"), db.ErrNoScope)
	expectError(t, "a builder", db.From(ctx).NewSelect().ColumnExpr("1").Scan(ctx, new(int)), db.ErrNoScope)
	expectError(t, "a row", db.From(ctx).QueryRowContext(ctx, "SELECT 1").Scan(new(int)), db.ErrNoScope)
	_, err := db.From(ctx).PrepareContext(ctx, "SELECT 1")
	expectError(t, "a prepared statement", err, db.ErrNoScope)
	_, err = db.From(ctx).BeginTx(ctx, nil)
	expectError(t, "a transaction", err, db.ErrNoScope)
	db.ResetQueries(ctx) // has nothing to forget
}
