package db_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// brief are the ways to leases that last for a statement or a block.
var brief = map[string]func(t *testing.T, settings *db.Settings, sc *db.Scope){
	"CONN_LEASE transaction": func(_ *testing.T, settings *db.Settings, _ *db.Scope) {
		if settings != nil {
			settings.ConnLease = db.LeaseTransaction
		}
	},
	"SetLease": func(_ *testing.T, _ *db.Settings, sc *db.Scope) {
		if sc != nil {
			sc.SetLease(db.LeaseTransaction)
		}
	},
	"after Respond": func(_ *testing.T, _ *db.Settings, sc *db.Scope) {
		if sc != nil {
			sc.Respond()
		}
	},
	"after RespondReleased": func(t *testing.T, _ *db.Settings, sc *db.Scope) {
		if sc != nil && sc.RespondReleased() != nil {
			t.Error("RespondReleased failed")
		}
	},
}

func TestLeaseTransaction_LastsForAStatementItsRowsOrABlock(t *testing.T) {
	t.Parallel()
	for name, make := range brief {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
				make(t, &settings, nil)
				conns := dbtest.Open(t, kept(settings))
				ctx, sc := conns.NewScope(t.Context(), "/brief")
				make(t, nil, sc)
				if err := errors.Join(useBriefly(t, ctx, conns), sc.End()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func useBriefly(t *testing.T, ctx context.Context, conns *db.Connections) error {
	conn := db.From(ctx)
	inUse := func(what string, want int) { t.Helper(); expect(t, "in use "+what, stats(conns).InUse, want) }
	if err := exec(ctx, conn, "SELECT 1"); err != nil {
		return err
	}
	inUse("after a statement", 0)

	rows, err := conn.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
	if err != nil {
		return err
	}
	rows.Next()
	inUse("with rows open", 1)
	if err := rows.Close(); err != nil {
		return err
	}
	inUse("after rows", 0)

	row := conn.QueryRowContext(ctx, "SELECT 1")
	inUse("with a row to scan", 1)
	if err := row.Scan(new(int)); err != nil {
		return err
	}
	inUse("after a row", 0)

	if err := conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		inUse("in a block", 1)
		err := exec(ctx, tx, "SELECT 1")
		inUse("in a block after a statement", 1)
		return err
	}); err != nil {
		return err
	}
	inUse("after a block", 0)

	stmt, err := conn.PrepareContext(ctx, "SELECT 1")
	if err != nil {
		return err
	}
	if err := stmt.QueryRowContext(ctx).Scan(new(int)); err != nil {
		return err
	}
	inUse("with a prepared statement", 1)
	if err := stmt.Close(); err != nil {
		return err
	}
	inUse("after a prepared statement", 0)

	if err := exec(ctx, conn, "NONSENSE"); err == nil {
		t.Error("no error")
	}
	inUse("after an error", 0)
	return nil
}

func TestRespond_GivesBackWhatIsIdleAndNamesWhatIsNot(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.OpenAll(t, map[string]db.Settings{"default": kept(settings), "idle": kept(settings)})
		// Somebody else on the same route holds one by name: that is not ours to report.
		other, keeper := conns.NewScope(t.Context(), "/rows")
		keeper.Keep()
		if err := exec(other, db.From(other), "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		defer keeper.End()

		ctx, sc := conns.NewScope(t.Context(), "/rows")
		defer sc.End()
		if err := exec(ctx, db.Using(ctx, "idle"), "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		rows, err := db.From(ctx).QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
		if err != nil {
			t.Fatal(err)
		}
		held := sc.Respond()
		expect(t, "in use by idle", conns.Stats("idle").InUse, 0)
		if len(held) != 1 {
			t.Fatalf("held: %v, want one", held)
		}
		expect(t, "alias", held[0].Alias, "default")
		expect(t, "streaming", held[0].Streaming, true)
		expect(t, "open", held[0].Open, true)
		expectText(t, "the place", held[0].At, "lease_test.go:")
		expect(t, "holders in a second Respond", len(sc.Respond()), 0)
		expect(t, "responding", sc.Responding(), true)
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		expect(t, "in use once the rows have ended", stats(conns).InUse, 1) // the keeper's
	})
}

func TestRespondReleased_RefusesInABlockAndOtherwiseReleasesAll(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, onlyOne(settings), db.Options{Logger: new(logs).logger()})
		ctx, sc := conns.NewScope(t.Context(), "/stream")
		defer sc.End()
		tx, err := db.From(ctx).BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = sc.RespondReleased()
		expectError(t, "in a block", err, db.ErrInAtomicBlock)
		expectText(t, "in a block", err.Error(), "lease_test.go:")
		expect(t, "responding", sc.Responding(), false)
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		rows, err := db.From(ctx).QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
		if err != nil {
			t.Fatal(err)
		}
		if err := sc.RespondReleased(); err != nil {
			t.Fatal(err)
		}
		expect(t, "in use", stats(conns).InUse, 0)
		if rows.Next() {
			t.Error("released rows go on")
		}
		expectError(t, "the rows", rows.Err(), db.ErrReleased)
		if err := exec(ctx, db.From(ctx), "SELECT 1"); err != nil {
			t.Error(err)
		}
		expect(t, "in use after a statement of the stream", stats(conns).InUse, 0)
	})
}

func TestKeep_HoldsTheConnectionUntilTheScopeEnds(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings.ConnLease = db.LeaseTransaction
		conns := dbtest.Open(t, settings)
		ctx, sc := conns.NewScope(t.Context(), "/keeps")
		sc.Keep()
		if err := exec(ctx, db.From(ctx), "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		sc.Respond()
		expect(t, "in use", stats(conns).InUse, 1)
		if h := conns.Holders(); len(h) != 1 || !h[0].Streaming {
			t.Errorf("holders: %v, want one that streams", h)
		}
		if err := sc.End(); err != nil {
			t.Error(err)
		}
		expect(t, "in use after the end", stats(conns).InUse, 0)
	})
}

func TestReleaseIdle_GivesBackWhatNothingNeeds(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, kept(settings))
		ctx, sc := conns.NewScope(t.Context(), "/upload")
		defer sc.End()
		conn := db.From(ctx)
		if err := exec(ctx, conn, "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		sc.ReleaseIdle()
		expect(t, "in use", stats(conns).InUse, 0)
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		sc.ReleaseIdle()
		expect(t, "in use in a block", stats(conns).InUse, 1)
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
	})
}

func TestHeld_NamesRowsAndBlocksButNoStatementThatRuns(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings)
		ctx, sc := conns.NewScope(t.Context(), "/stream")
		defer sc.End()
		conn := db.From(ctx)
		if err := exec(ctx, conn, "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		if err := sc.Held(); err != nil {
			t.Errorf("with nothing open: %v", err)
		}
		rows, err := conn.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
		if err != nil {
			t.Fatal(err)
		}
		err = sc.Held()
		expectError(t, "with rows", err, db.ErrHeldAcrossYield)
		held, ok := errors.AsType[*db.HeldError](err)
		if !ok {
			t.Fatalf("%T, want a HeldError", err)
		}
		expectText(t, "Opened", held.Opened, "lease_test.go:")
		expectText(t, "Yielded", held.Yielded, "lease_test.go:")
		expectText(t, "the error", err.Error(), held.Opened, held.Yielded, "UNION ALL", "db.Iterate")
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		expectError(t, "in a block", sc.Held(), db.ErrHeldAcrossYield)
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}

		parallel, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() {
			_, err := one[int](parallel, conn, endless)
			ended <- err
		}()
		awaitStatement(t, conns, "WITH RECURSIVE endless")
		if err := sc.Held(); err != nil {
			t.Errorf("while another goroutine's statement runs: %v", err)
		}
		cancel()
		expectError(t, "the other statement", <-ended, context.Canceled)
	})
}

// Who lists the holders asks them for their names while they look at what they hold.
func TestHeld_AndHoldersDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, dbtest.Database(t, dbtest.SQLite))
	ctx, sc := conns.NewScope(t.Context(), "/first")
	defer sc.End()
	if err := exec(ctx, db.From(ctx), "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for _, look := range []func(){
		func() { conns.Holders() },
		func() { _ = sc.Held() },
		func() { sc.SetName("/next") },
		func() { _ = sc.InAtomicBlock() },
		func() { sc.Usage() },
	} {
		all.Go(func() {
			for range 2000 {
				look()
			}
		})
	}
	all.Wait()
}
