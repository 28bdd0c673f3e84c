package db_test

import (
	"context"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

func TestF68_HoldLimitCutsOffAHolderAndItsBlock(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		settings = onlyOne(settings)
		conns := dbtest.Open(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return exec(ctx, conn, "CREATE TABLE kept (n integer)")
		})

		settings.HoldLimit = 100 * time.Millisecond
		var log logs
		limited := dbtest.Open(t, settings, db.Options{Logger: log.logger()})
		scope(t, limited, func(ctx context.Context, conn *db.Conn) error {
			callbacks := 0
			err := db.Atomic(ctx, func(ctx context.Context) error {
				if err := exec(ctx, conn, "INSERT INTO kept VALUES (1)"); err != nil {
					return err
				}
				if err := db.OnCommit(ctx, func(context.Context) error { callbacks++; return nil }); err != nil {
					return err
				}
				// Somebody else is served, although this one goes on holding.
				return limited.Run(context.WithoutCancel(ctx), "other", func(ctx context.Context) error {
					n, err := one[int](ctx, db.From(ctx), "SELECT count(*) FROM kept")
					expect(t, "rows that others see", n, 0)
					return err
				})
			})
			expectError(t, "the block", err, db.ErrHoldLimit)
			expect(t, "callbacks", callbacks, 0)
			expectError(t, "the scope's next statement", exec(ctx, conn, "SELECT 1"), db.ErrHoldLimit)
			if err := db.Release(ctx); err != nil {
				return err
			}
			n, err := one[int](ctx, conn, "SELECT count(*) FROM kept") // the scope goes on
			expect(t, "rows", n, 0)
			return err
		})
		if log.find("level=ERROR", "HOLD_LIMIT", "holder=test", "_test.go:", "transaction=true") == "" {
			t.Errorf("the log does not tell of it: %s", log.String())
		}
	})
}

func TestF69_AStatementThatTakesLongIsNoIdleHold(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings = onlyOne(settings)
		settings.HoldIdleWarn = 150 * time.Millisecond
		var log logs
		conns := dbtest.Open(t, settings, db.Options{Logger: log.logger()})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			ctx, cancel := context.WithTimeout(ctx, 600*time.Millisecond)
			defer cancel()
			_, err := one[int](ctx, conn, endless)
			expectError(t, "the statement", err, context.DeadlineExceeded)
			return nil
		})
		expect(t, "what is logged of a statement that took long", log.find("held idle"), "")
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			if err := exec(ctx, conn, "SELECT 'a secret'"); err != nil {
				return err
			}
			await(t, "the warning", func() bool {
				return log.find("level=WARN", "held idle", "alias=default", "holder=test", "_test.go:", "SELECT ?") != ""
			})
			return nil
		})
	})
}
