package postgres_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
)

// somebody is on whose behalf a lease is taken.
type somebody struct{}

func (*somebody) Name() string     { return "GET /sales/" }
func (*somebody) Responding() bool { return false }
func (*somebody) Kept() bool       { return false }

// leases is a pool over real connections, as package db makes one.
func leases(tb testing.TB, s db.Settings, checks bool) *pool.Pool {
	tb.Helper()
	p := pool.New(pool.Config{
		Alias: "default", Driver: open(tb, s), Max: 1, AcquireTimeout: time.Minute, ConnectTimeout: 10 * time.Second, MaxAge: pool.Forever, MaxIdle: pool.Forever,
		HealthChecks: checks, HoldIdleWarn: time.Second, Logger: slog.New(slog.DiscardHandler), Released: func(pool.Report) {},
	})
	tb.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return p
}

// lease is one from its beginning to its end, of a scope that can be cancelled.
func lease(ctx context.Context, tb testing.TB, p *pool.Pool, owner pool.Owner) {
	l, err := p.Acquire(ctx, pool.Claim{Owner: owner, Place: p.Here()})
	if err != nil {
		tb.Fatal(err)
	}
	l.Release("scope ended", pool.Place{}, false)
}

// Not parallel: it counts what the process allocates.
func TestLease_AllocatesLittle(t *testing.T) {
	p, owner := leases(t, settings(t, running(t)), false), &somebody{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	use(ctx, t, p, owner)
	n := testing.AllocsPerRun(500, func() { lease(ctx, t, p, owner) })
	t.Logf("%g allocations", n)
	if n > 10 {
		t.Errorf("a lease allocates %g times, want at most 10", n)
	}
}

// use is a lease with a statement, after which its connection has to be looked at.
func use(ctx context.Context, tb testing.TB, p *pool.Pool, owner pool.Owner) {
	tb.Helper()
	l, err := p.Acquire(ctx, pool.Claim{Owner: owner, Place: p.Here()})
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := l.ExecContext(l.Statement(ctx, pool.Here(0), nil), "SELECT 1"); err != nil {
		tb.Fatal(err)
	}
	l.Release("boundary", pool.Here(0), false)
}

// A lease of a clean session sends what its holder sends, and nothing else: with health
// checks a ping.
func TestLease_SendsNothingOfItsOwnAndWithHealthChecksOnePing(t *testing.T) {
	t.Parallel()
	srv := running(t)
	for name, pings := range map[string]int64{"without health checks": 0, "with health checks": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, wire := through(t, srv)
			p := leases(t, s, pings > 0)
			use(t.Context(), t, p, &somebody{})
			for range 20 {
				before := wire.writes.Load()
				use(t.Context(), t, p, &somebody{})
				if got := wire.writes.Load() - before; got != 1+pings {
					t.Errorf("%d round trips, want the statement's and %d more", got, pings)
				}
			}
		})
	}
}
