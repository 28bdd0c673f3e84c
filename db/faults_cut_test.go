package db_test

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// What FAULTS.md has under "Others": a network that breaks off in the middle.

// dice are random numbers that can be had again: the seed is logged, and taken from
// QUINTET_SEED if that is set.
func dice(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if given, err := strconv.ParseUint(os.Getenv("QUINTET_SEED"), 10, 64); err == nil {
		seed = given
	}
	t.Logf("QUINTET_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func TestCut_InTheMiddleOfARowIsNeverTheEndOfTheRows(t *testing.T) {
	t.Parallel()
	proxy, settings := dbtest.NewProxy(t, onlyOne(dbtest.Database(t, dbtest.Postgres)))
	conns := dbtest.Open(t, settings)
	const want = 10_000
	random := dice(t)
	for range 10 {
		scope(t, conns, func(ctx context.Context, _ *db.Conn) error { return query(ctx) })
		at := 1 + random.IntN(250_000)
		proxy.CutAfter(at)
		n, sum := 0, 0
		err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
			rows, err := conn.QueryContext(ctx, "SELECT i FROM generate_series(1, "+strconv.Itoa(want)+") i")
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var i int
				if err := rows.Scan(&i); err != nil {
					return err
				}
				n, sum = n+1, sum+i
			}
			return rows.Err()
		})
		if sum != n*(n+1)/2 {
			t.Errorf("cut after %d bytes: the rows read are wrong", at)
		}
		switch {
		case err == nil && n != want:
			t.Errorf("cut after %d bytes: %d rows, and no error", at, n)
		case err != nil:
			expectError(t, "cut after "+strconv.Itoa(at)+" bytes, at row "+strconv.Itoa(n), err, db.ErrConnectionLost)
		}
		proxy.CutAfter(0)
	}
}

// A connect that breaks off, wherever that is, is tried again while somebody waits: in
// the midst of an authentication too.
func TestCut_InTheMiddleOfAConnectIsTriedAgain(t *testing.T) {
	t.Parallel()
	srv := ownServer(t, nil)
	ask(t, srv, "CREATE ROLE shop LOGIN PASSWORD 'secret'")
	asksForPasswords(t, srv, "shop")
	random := dice(t)
	for _, user := range []string{srv.User, "shop"} {
		proxy, settings := dbtest.NewProxy(t, on(srv))
		settings.User, settings.Password, settings.AcquireTimeout = user, "secret", time.Minute
		for range 10 {
			conns := dbtest.Open(t, settings)
			at := 1 + random.IntN(350) // of some 400 that the server has to say
			proxy.CutAfter(at)
			served := make(chan error, 1)
			go func() {
				served <- try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
			}()
			await(t, "somebody connects", func() bool { return stats(conns).Connecting > 0 })
			await(t, "cut off, or served with fewer bytes", func() bool { return proxy.Flows() == 0 || len(served) == 1 })
			proxy.CutAfter(0)
			if err := <-served; err != nil {
				t.Errorf("%s, cut after %d bytes: %v", user, at, err)
			}
			if err := conns.Close(t.Context()); err != nil {
				t.Error(err)
			}
			await(t, "nobody left", func() bool { return proxy.Flows() == 0 })
		}
	}
}

func TestThrottle_ASlowLinkIsNoFailure(t *testing.T) {
	t.Parallel()
	proxy, settings := dbtest.NewProxy(t, five(dbtest.Database(t, dbtest.Postgres), true))
	settings.AcquireTimeout = time.Minute
	conns := dbtest.Open(t, settings)
	together(t, conns, 5)
	proxy.Throttle(20_000)
	happened(t, "20 kB/s")
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
				text, err := one[string](ctx, conn, "SELECT repeat('x', 10000)")
				expect(t, "bytes", len(text), 10_000)
				return err
			}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	s := stats(conns)
	expect(t, "found dead", s.Dead, 0)
	expect(t, "closed", s.Closed, 0)
}

// A server, or a balancer, that hangs up without a word on connections that idle.
func TestHangUp_OfIdleConnectionsFailsNobody(t *testing.T) {
	t.Parallel()
	proxy, settings := dbtest.NewProxy(t, five(dbtest.Database(t, dbtest.Postgres), false))
	conns := dbtest.Open(t, settings)
	for name, end := range map[string]func(){"FIN": proxy.Close, "RST": proxy.Reset} {
		together(t, conns, 5)
		before := stats(conns)
		end()
		await(t, name, func() bool { return proxy.Flows() == 0 })
		happened(t, name)
		together(t, conns, 5)
		expect(t, name+": found dead", stats(conns).Dead-before.Dead, 5)
		expect(t, name+": pings", stats(conns).Pings, 0)
	}
}

// The statement arrives, its answer does not: it may have run, and runs no second time.
func TestLostAnswer_AStatementRunsOnceAtMost(t *testing.T) {
	t.Parallel()
	direct := onlyOne(dbtest.Database(t, dbtest.Postgres))
	proxy, settings := dbtest.NewProxy(t, direct)
	conns := dbtest.Open(t, settings)
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "CREATE TABLE sent (n int)") })
	proxy.FreezeToClient()
	happened(t, "the server's answers are lost")
	ended := make(chan error, 1)
	go func() {
		ended <- try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "INSERT INTO sent VALUES (1)") })
	}()
	check := dbtest.Open(t, direct)
	rows := func() (n int) {
		scope(t, check, func(ctx context.Context, conn *db.Conn) (err error) {
			n, err = one[int](ctx, conn, "SELECT count(*) FROM sent")
			return err
		})
		return n
	}
	await(t, "it has run", func() bool { return rows() == 1 })
	proxy.Reset()
	expectError(t, "the statement", <-ended, db.ErrConnectionLost)
	scope(t, conns, func(ctx context.Context, _ *db.Conn) error { return query(ctx) })
	expect(t, "rows", rows(), 1)
}

func TestTwoAliases_ThatAreAwayTogetherAreBothNamedAndBothComeBack(t *testing.T) {
	t.Parallel()
	one, first := dbtest.NewProxy(t, five(dbtest.Database(t, dbtest.Postgres), false))
	two, second := dbtest.NewProxy(t, five(dbtest.Database(t, dbtest.Postgres), false))
	first.AcquireTimeout, second.AcquireTimeout = 500*time.Millisecond, 500*time.Millisecond
	conns := dbtest.OpenAll(t, map[string]db.Settings{"default": first, "second": second})
	use := func(alias string) error {
		return conns.Run(t.Context(), "test", func(ctx context.Context) error { return exec(ctx, db.Using(ctx, alias), "SELECT 1") })
	}
	for _, proxy := range []*dbtest.Proxy{one, two} {
		proxy.Refuse()
		proxy.Reset()
	}
	happened(t, "both are away")
	for _, alias := range []string{"default", "second"} {
		err := use(alias)
		expectError(t, alias, err, db.ErrUnavailable)
		if err != nil && !strings.Contains(err.Error(), `"`+alias+`"`) {
			t.Errorf("%s is not named: %v", alias, err)
		}
	}
	one.Accept(t)
	two.Accept(t)
	for _, alias := range []string{"default", "second"} {
		await(t, alias+" is back", func() bool { return use(alias) == nil })
	}
}
