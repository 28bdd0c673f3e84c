package db_test

import (
	"context"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

func TestF63_AgeZeroOpensABackendForEachScopeAndLeavesNone(t *testing.T) {
	t.Parallel()
	settings := dbtest.Database(t, dbtest.Postgres)
	conns := dbtest.Open(t, settings)
	seen := make(map[int]bool)
	for range 20 {
		pid := backend(t, conns)
		if seen[pid] {
			t.Errorf("backend %d served two scopes", pid)
		}
		seen[pid] = true
		expect(t, "backends after a scope", len(dbtest.Backends(t, settings)), 0)
	}
	expect(t, "opened", stats(conns).Opened, 20)
	expect(t, "closed", stats(conns).Closed, 20)
}

func TestRule2ConnMaxAge_NServesUntilThenAndIsReplacedAfter(t *testing.T) {
	t.Parallel()
	const age = time.Second
	settings := dbtest.Database(t, dbtest.Postgres)
	settings.ConnMaxAge = age
	conns := dbtest.Open(t, settings)
	began := time.Now()
	first := backend(t, conns)
	opened := time.Now() // or a moment before
	for range 20 {
		if pid := backend(t, conns); pid != first && time.Since(began) < age-age/20 {
			t.Errorf("another backend after %s", time.Since(began))
		}
	}
	<-time.After(age - time.Since(opened))
	second := backend(t, conns)
	if second == first {
		t.Errorf("the same backend after %s", time.Since(began))
	}
	expect(t, "backends", len(dbtest.Backends(t, settings)), 1)
	expect(t, "found dead", stats(conns).Dead, 0)
}

func TestF66_AnAgeNeverEndsAConnectionInMidLease(t *testing.T) {
	t.Parallel()
	const age = 50 * time.Millisecond
	settings := dbtest.Database(t, dbtest.Postgres)
	settings.ConnMaxAge = age
	conns := dbtest.Open(t, settings)
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		before, err := one[int](ctx, conn, "SELECT pg_backend_pid()")
		if err != nil {
			return err
		}
		<-time.After(age)
		after, err := one[int](ctx, conn, "SELECT pg_backend_pid()")
		expect(t, "backend", after, before)
		return err
	})
	expect(t, "backends after the scope", len(dbtest.Backends(t, settings)), 0)
}

func TestF64_AgeNullKeepsOneBackendForTenThousandScopes(t *testing.T) {
	t.Parallel()
	settings := dbtest.Database(t, dbtest.Postgres)
	conns := dbtest.Open(t, kept(settings))
	first := backend(t, conns)
	for range 10_000 {
		expect(t, "backend", backend(t, conns), first)
	}
	expect(t, "opened", stats(conns).Opened, 1)
	expect(t, "backends", len(dbtest.Backends(t, settings)), 1)
}

func TestRule2ConnMaxAge_ZeroCountsScopesWhenLeasesLastForAStatement(t *testing.T) {
	t.Parallel()
	settings := dbtest.Database(t, dbtest.Postgres)
	settings.ConnLease = db.LeaseTransaction
	conns := dbtest.Open(t, settings)
	var first int
	scope(t, conns, func(ctx context.Context, conn *db.Conn) (err error) {
		if first, err = one[int](ctx, conn, "SELECT pg_backend_pid()"); err != nil {
			return err
		}
		for range 5 {
			expect(t, "in use between statements", stats(conns).InUse, 0)
			again, err := one[int](ctx, conn, "SELECT pg_backend_pid()")
			if err != nil {
				return err
			}
			expect(t, "backend", again, first)
		}
		return nil
	})
	expect(t, "backends after the scope", len(dbtest.Backends(t, settings)), 0)
	if second := backend(t, conns); second == first {
		t.Error("the next scope has the same backend")
	}
	expect(t, "leases", stats(conns).Leases, 7)
}

func TestRule2ConnMaxAge_ZeroEndsAConnectionThatIdlesForASecondBetweenStatements(t *testing.T) {
	t.Parallel()
	settings := dbtest.Database(t, dbtest.Postgres)
	settings.ConnLease = db.LeaseTransaction
	conns := dbtest.Open(t, settings)
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		if err := exec(ctx, conn, "SELECT 1"); err != nil {
			return err
		}
		began := time.Now()
		expect(t, "idle", stats(conns).Idle, 1)
		await(t, "closed", func() bool { return stats(conns).Open == 0 })
		if idled := time.Since(began); idled < 900*time.Millisecond || idled > 3*time.Second {
			t.Errorf("it was closed after %s, want a second", idled)
		}
		expect(t, "backends", len(dbtest.Backends(t, settings)), 0)
		return exec(ctx, conn, "SELECT 1")
	})
	expect(t, "opened", stats(conns).Opened, 2)
}

func TestRule2ConnMaxAge_CloseEndsAConnectionOfAnyAge(t *testing.T) {
	t.Parallel()
	settings := dbtest.Database(t, dbtest.Postgres)
	conns := dbtest.Open(t, kept(settings))
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		if err := exec(ctx, conn, "SELECT 1"); err != nil {
			return err
		}
		if err := conn.Close(); err != nil {
			return err
		}
		expect(t, "backends", len(dbtest.Backends(t, settings)), 0)
		expect(t, "in use", stats(conns).InUse, 0)
		return conn.Close()
	})
}
