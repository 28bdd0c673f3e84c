package db_test

import (
	"context"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

func TestRule1Lazy_AScopeWithoutAStatementLeasesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			_ = conn.NewSelect().TableExpr("nowhere").Where("id = ?", 1).String()
			conn.InAtomicBlock()
			conn.Queries()
			conn.IsUsable(ctx)
			if err := db.CloseOldConnections(ctx); err != nil {
				return err
			}
			if err := db.Release(ctx); err != nil {
				return err
			}
			return conn.Close()
		})
		s := stats(conns)
		expect(t, "leases", s.Leases, 0)
		expect(t, "opened", s.Opened, 0)
		expect(t, "connecting", s.Connecting, 0)
		if settings.Engine == dbtest.Postgres {
			expect(t, "backends", len(dbtest.Backends(t, settings)), 0)
		}
	})
}

func TestRule1Lazy_TheFirstStatementLeasesAndTheLastScopeGivesBack(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			expect(t, "in use before", stats(conns).InUse, 0)
			for range 3 {
				if err := exec(ctx, conn, "SELECT 1"); err != nil {
					return err
				}
				expect(t, "in use", stats(conns).InUse, 1)
			}
			return nil
		})
		expect(t, "in use after", stats(conns).InUse, 0)
		expect(t, "leases", stats(conns).Leases, 1)
	})
}

func TestRule1Lazy_OpenDialsNothing(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, db.Settings{Engine: "postgres", Name: "nowhere", Host: "127.0.0.1", Port: 1})
	_, sc := conns.NewScope(t.Context(), "idle")
	if err := sc.End(); err != nil {
		t.Error(err)
	}
}

func TestRule1Lazy_EnsureConnectionLeasesNow(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			if err := conn.EnsureConnection(ctx); err != nil {
				return err
			}
			expect(t, "in use", stats(conns).InUse, 1)
			return conn.EnsureConnection(ctx)
		})
		expect(t, "leases", stats(conns).Leases, 1)
	})
}
