package db_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// A :memory: database lives as long as its connection: nothing may close it.
func TestMemory_SurvivesEverythingButClose(t *testing.T) {
	t.Parallel()
	dbtest.Goroutines(t)
	conns := dbtest.Open(t, db.Settings{Engine: "sqlite", Name: ":memory:", ConnHealthChecks: true, MaxConnections: 8}, db.Options{Logger: new(logs).logger()})
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return exec(ctx, conn, "CREATE TABLE kept (id integer PRIMARY KEY)")
	})
	for name, harm := range map[string]func(ctx context.Context, conn *db.Conn) error{
		"the end of a scope with CONN_MAX_AGE 0": func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") },
		"Close": func(ctx context.Context, conn *db.Conn) error {
			return errors.Join(exec(ctx, conn, "SELECT 1"), conn.Close())
		},
		"an error":      func(ctx context.Context, conn *db.Conn) error { _ = exec(ctx, conn, "NONSENSE"); return nil },
		"a dirty lease": func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "PRAGMA foreign_keys = off") },
		"leaked rows":   leaks["rows"],
		"a raw BEGIN": func(ctx context.Context, conn *db.Conn) error {
			return exec(ctx, conn, "BEGIN", "INSERT INTO kept VALUES (1)")
		},
		"a leaked block": func(ctx context.Context, conn *db.Conn) error { _, err := conn.BeginTx(ctx, nil); return err },
		"a deadline": func(ctx context.Context, conn *db.Conn) error {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			defer cancel()
			_, err := one[int](ctx, conn, endless)
			if !errors.Is(err, context.DeadlineExceeded) {
				return errors.Join(errors.New("not cancelled"), err)
			}
			return nil
		},
	} {
		if err := try(t.Context(), conns, harm); err != nil && !errors.Is(err, db.ErrInAtomicBlock) {
			t.Errorf("%s: %v", name, err)
		}
		if err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
			n, err := one[int](ctx, conn, "SELECT count(*) FROM kept")
			expect(t, "rows after "+name, n, 0)
			return err
		}); err != nil {
			t.Fatalf("after %s the data is lost: %v", name, err)
		}
	}
	s := stats(conns)
	expect(t, "connections opened", s.Opened, 1)
	expect(t, "connections closed", s.Closed, 0)
	expect(t, "at most", s.Max, 1)
}

func TestMemory_ScopesTakeTurns(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, db.Settings{Engine: "sqlite", Name: ":memory:"})
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return exec(ctx, conn, "CREATE TABLE turns (n integer)")
	})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 25 {
				if err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
					return conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
						n, err := one[int](ctx, tx, "SELECT count(*) FROM turns")
						if err != nil {
							return err
						}
						_, err = tx.ExecContext(ctx, "INSERT INTO turns VALUES (?)", n)
						return err
					})
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		n, err := one[int](ctx, conn, "SELECT count(DISTINCT n) FROM turns")
		expect(t, "turns", n, 200)
		return err
	})
}
