package db_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// The scenarios F29 to F35 and F73 of FAULTS.md: a network that loses, delays and
// breaks things. The proxy is that network.

// happened logs what the network did, and when.
func happened(t *testing.T, what string) {
	t.Helper()
	t.Logf("%s: %s", time.Now().Format(time.StampMilli), what)
}

func TestF29_ConnectionsThatTheNetworkHasForgottenFailNobodyWithHealthChecks(t *testing.T) {
	t.Parallel()
	proxy, settings := dbtest.NewProxy(t, five(dbtest.Database(t, dbtest.Postgres), true))
	conns := dbtest.Open(t, settings)
	together(t, conns, 5)
	proxy.Freeze()
	happened(t, "five flows are frozen")
	began := time.Now()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	t.Logf("20 requests were served in %s", took)
	// One ping's deadline of a second finds them all; five in turn would be a refusal.
	if took > 4*time.Second {
		t.Errorf("it took %s, want two seconds", took)
	}
	expect(t, "found dead", stats(conns).Dead, 5)
	expect(t, "acquires that failed", stats(conns).Refused, 0)
}

func TestF30_ConnectionsThatTheNetworkHasForgottenFailOneRequestEachWithoutChecks(t *testing.T) {
	t.Parallel()
	proxy, settings := dbtest.NewProxy(t, five(dbtest.Database(t, dbtest.Postgres), false))
	settings.AcquireTimeout = time.Minute
	conns := dbtest.Open(t, settings)
	together(t, conns, 5)
	proxy.Freeze()
	happened(t, "five flows are frozen")
	const deadline = time.Second
	var failed, longest atomic.Int64
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			err := conns.Run(t.Context(), "test", func(ctx context.Context) error {
				conn := db.From(ctx)
				if err := conn.EnsureConnection(ctx); err != nil { // the queue has its own patience
					t.Error(err)
				}
				began := time.Now()
				ctx, cancel := context.WithTimeout(ctx, deadline)
				defer cancel()
				err := exec(ctx, conn, "SELECT 1")
				raise(&longest, time.Since(began))
				return err
			})
			if err != nil {
				failed.Add(1)
				expectError(t, "the statement", err, context.DeadlineExceeded)
			}
		})
	}
	all.Wait()
	took := time.Duration(longest.Load())
	t.Logf("%d of 20 failed, the longest statement took %s", failed.Load(), took)
	if n := failed.Load(); n > 5 {
		t.Errorf("%d requests failed, want one for each frozen connection at most", n)
	}
	// Two seconds are what the server has for the answer to a cancel.
	if took > deadline+5*time.Second {
		t.Errorf("a statement took %s, want its deadline of %s and two seconds", took, deadline)
	}
	together(t, conns, 5)
}

func TestF32_ADeafServerKeepsNobodyFromAConnectionThatComesBack(t *testing.T) {
	t.Parallel()
	proxy, settings := dbtest.NewProxy(t, kept(dbtest.Database(t, dbtest.Postgres)))
	settings.ConnectTimeout, settings.AcquireTimeout = time.Second, 3*time.Second
	conns := dbtest.Open(t, settings)
	giveBack := hold(t, conns, 1)
	proxy.Deaf(t)
	happened(t, "the server is deaf")
	served := make(chan error, 1)
	go func() {
		served <- try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
	}()
	await(t, "somebody connects in vain", func() bool { return stats(conns).Waiting == 1 && proxy.Flows() == 2 })
	giveBack()
	if err := <-served; err != nil {
		t.Error(err)
	}
	expect(t, "opened", stats(conns).Opened, 1)

	defer hold(t, conns, 1)()
	refused := refusal(t, t.Context(), conns)
	expect(t, "kind", string(refused.Kind), "unreachable")
	expectText(t, "the error", refused.Error(), "longer than CONNECT_TIMEOUT, 1s", "attempts in")
	t.Logf("refused after %s: %v", refused.Waited, refused)
}

func TestF35_LatencyIsNoFailure(t *testing.T) {
	t.Parallel()
	proxy, settings := dbtest.NewProxy(t, five(dbtest.Database(t, dbtest.Postgres), true))
	settings.AcquireTimeout = time.Minute
	conns := dbtest.Open(t, settings)
	together(t, conns, 5)
	proxy.Delay(100 * time.Millisecond)
	happened(t, "each round trip takes 200ms more")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 2 {
				if err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	s := stats(conns)
	expect(t, "found dead", s.Dead, 0)
	expect(t, "closed", s.Closed, 0)
	expect(t, "acquires that failed", s.Refused, 0)
}

func TestF73_ABlackHoleBehindOneAliasIsNothingToTheOther(t *testing.T) {
	t.Parallel()
	near := five(dbtest.Database(t, dbtest.Postgres), true)
	proxy, far := dbtest.NewProxy(t, five(dbtest.Database(t, dbtest.Postgres), true))
	far.ConnectTimeout, far.AcquireTimeout = time.Second, time.Second
	conns := dbtest.OpenAll(t, map[string]db.Settings{"default": near, "far": far})
	both := func(ctx context.Context) error {
		return errors.Join(query(ctx), exec(ctx, db.Using(ctx, "far"), "SELECT 1"))
	}
	if err := conns.Run(t.Context(), "both", both); err != nil {
		t.Fatal(err)
	}
	before := latencies(t, conns, 200)
	proxy.Freeze()
	proxy.Deaf(t)
	happened(t, "the other one is a black hole")
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			err := conns.Run(t.Context(), "far", func(ctx context.Context) error { return exec(ctx, db.Using(ctx, "far"), "SELECT 1") })
			expectError(t, "a request that needs the other one", err, db.ErrUnavailable)
		})
	}
	await(t, "somebody hangs in the black hole", func() bool { return conns.Stats("far").Waiting+conns.Stats("far").InUse > 0 })
	after := latencies(t, conns, 200)
	all.Wait()
	t.Logf("200 requests, median and worst: before %s %s, beside a black hole %s %s", before[100], before[199], after[100], after[199])
	expect(t, "acquires that failed", stats(conns).Refused, 0)
	proxy.Accept(t)
	await(t, "it is back", func() bool { return conns.Run(t.Context(), "both", both) == nil })
}

// latencies are those of requests that must not fail, sorted.
func latencies(t *testing.T, conns *db.Connections, n int) []time.Duration {
	t.Helper()
	all := make([]time.Duration, n)
	for i := range all {
		began := time.Now()
		if err := conns.Run(t.Context(), "near", query); err != nil {
			t.Error(err)
		}
		all[i] = time.Since(began)
	}
	slices.Sort(all)
	return all
}

// A network that says nothing for longer than one attempt to connect may take: the
// next attempt serves those who wait.
func TestAcquire_ALongSilenceOfTheNetworkIsWaitedFor(t *testing.T) {
	t.Parallel()
	proxy, settings := dbtest.NewProxy(t, five(dbtest.Database(t, dbtest.Postgres), false))
	settings.ConnectTimeout, settings.AcquireTimeout = 500*time.Millisecond, time.Minute
	conns := dbtest.Open(t, settings)
	proxy.Deaf(t)
	happened(t, "the server is deaf")
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") }); err != nil {
				t.Error(err)
			}
		})
	}
	<-time.After(2 * settings.ConnectTimeout)
	proxy.Accept(t)
	happened(t, "it answers again")
	all.Wait()
	expect(t, "acquires that failed", stats(conns).Refused, 0)
}

// A session that must be reset before anybody else gets it, over a network that is
// silent: whoever gives it back waits a quarter of a second, as for anything else, and
// the connection is given up without him.
func TestRelease_ASilentNetworkKeepsNobodyWhoGivesBackADirtySession(t *testing.T) {
	t.Parallel()
	proxy, settings := dbtest.NewProxy(t, onlyOne(dbtest.Database(t, dbtest.Postgres)))
	conns := dbtest.Open(t, settings)
	ctx, sc := conns.NewScope(t.Context(), "/dirty")
	if err := exec(ctx, db.From(ctx), "SET work_mem = '7MB'"); err != nil {
		t.Fatal(err)
	}
	proxy.Freeze()
	happened(t, "the network is silent")
	began := time.Now()
	if err := sc.End(); err != nil {
		t.Error(err)
	}
	took := time.Since(began)
	t.Logf("End took %s", took)
	if took > 900*time.Millisecond { // the reset itself has a second
		t.Errorf("End took %s, want a quarter of a second", took)
	}
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		got, err := one[string](ctx, conn, "SHOW work_mem")
		expect(t, "work_mem of the next", got, "4MB")
		return err
	})
	expect(t, "opened", stats(conns).Opened, 2)
}

// A client that leaves while its connection is checked does not wait for the answer, and
// costs no connection when that comes after all.
func TestHealthCheck_AClientThatLeavesMeanwhileCostsNoConnection(t *testing.T) {
	t.Parallel()
	proxy, settings := dbtest.NewProxy(t, onlyOne(dbtest.Database(t, dbtest.Postgres)))
	settings.ConnHealthChecks = true
	conns := dbtest.Open(t, settings)
	first := backend(t, conns)
	proxy.FreezeToClient()
	happened(t, "the server's answers are lost")
	ctx, leave := context.WithCancel(t.Context())
	refused := make(chan *db.AcquireError, 1)
	go func() { refused <- refusal(t, ctx, conns) }()
	await(t, "checked", func() bool { return stats(conns).Pings == 1 })
	leave()
	err := <-refused
	expect(t, "kind", string(err.Kind), "caller gave up")
	expectError(t, "the error", err, context.Canceled)
	proxy.Thaw()
	happened(t, "and arrive")
	await(t, "given back", func() bool { return stats(conns).InUse == 0 })
	if stats(conns).Dead == 0 { // or this machine was busy for the second that a check has
		expect(t, "the backend", backend(t, conns), first)
	}
}
