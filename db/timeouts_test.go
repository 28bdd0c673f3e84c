package db_test

import (
	"context"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// withOption returns settings of one kept connection with an option of the server.
func withOption(t *testing.T, key, value string) db.Settings {
	t.Helper()
	settings := onlyOne(dbtest.Database(t, dbtest.Postgres))
	settings.Options[key] = value
	return settings
}

func TestF14_AStatementThatTakesTooLongKeepsItsConnection(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, withOption(t, "statement_timeout", "50"))
	first := backend(t, conns)
	err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT pg_sleep(30)") })
	if err == nil {
		t.Fatal("no error")
	}
	expectText(t, "the error", err.Error(), "57014", "statement timeout")
	expect(t, "backend", backend(t, conns), first)
}

func TestF15_ATransactionThatIdlesTooLongCostsOnlyItsScope(t *testing.T) {
	t.Parallel()
	settings := withOption(t, "idle_in_transaction_session_timeout", "50")
	conns := dbtest.Open(t, settings)
	err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
		return conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			if err := exec(ctx, tx, "SELECT 1"); err != nil {
				return err
			}
			await(t, "ended by the server", func() bool { return len(dbtest.Backends(t, settings)) == 0 })
			return exec(ctx, tx, "SELECT 2")
		})
	})
	expectError(t, "the scope", err, db.ErrConnectionLost)
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
}

func TestF08_ASessionThatIdledTooLongFailsNobody(t *testing.T) {
	t.Parallel()
	for name, checks := range map[string]bool{"with health checks": true, "with the peek alone": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// long enough for a busy machine to send a statement after it has looked
			const limit = time.Second
			settings := withOption(t, "idle_session_timeout", "1000")
			settings.ConnHealthChecks = checks
			conns := dbtest.Open(t, settings)
			for range 2 {
				scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
				<-time.After(limit) // of the server
				await(t, "ended by the server", func() bool { return len(dbtest.Backends(t, settings)) == 0 })
			}
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
			expect(t, "found dead", stats(conns).Dead, 2)
		})
	}
}

func TestServerTimeouts_ASessionKilledInATransactionLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	settings := onlyOne(dbtest.Database(t, dbtest.Postgres))
	conns := dbtest.Open(t, settings)
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return exec(ctx, conn, "CREATE TABLE half (id integer)")
	})
	err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
		return conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			if err := exec(ctx, tx, "INSERT INTO half VALUES (1)"); err != nil {
				return err
			}
			dbtest.Kill(t, settings)
			return nil // and it does not notice
		})
	})
	expectError(t, "the commit", err, db.ErrConnectionLost)
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		n, err := one[int](ctx, conn, "SELECT count(*) FROM half")
		expect(t, "rows", n, 0)
		return err
	})
}
