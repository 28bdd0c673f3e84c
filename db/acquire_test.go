package db_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// refusal runs a statement that finds no connection, and returns the error.
func refusal(t *testing.T, ctx context.Context, conns *db.Connections) *db.AcquireError {
	t.Helper()
	err := try(ctx, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
	expectError(t, "the statement", err, db.ErrUnavailable)
	refused, ok := errors.AsType[*db.AcquireError](err)
	if !ok {
		t.Fatalf("%v, want an AcquireError", err)
	}
	return refused
}

// hold takes n connections, each under a name of its own, and returns what gives
// them back.
func hold(t *testing.T, conns *db.Connections, n int) (giveBack func()) {
	t.Helper()
	var scopes []*db.Scope
	for i := range n {
		ctx, sc := conns.NewScope(t.Context(), fmt.Sprint("/holder/", i))
		if err := db.From(ctx).EnsureConnection(ctx); err != nil {
			t.Fatal(err)
		}
		scopes = append(scopes, sc)
	}
	return sync.OnceFunc(func() {
		for _, sc := range scopes {
			if err := sc.End(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAcquire_ExhaustedAfterTheTimeoutNamesTheOldestHolders(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		const timeout = time.Second // which is enough for each of the seven
		settings.MaxConnections, settings.AcquireTimeout = 7, timeout
		conns := dbtest.Open(t, settings)
		defer hold(t, conns, 7)()
		err := refusal(t, t.Context(), conns)
		expect(t, "kind", string(err.Kind), "exhausted")
		if err.Waited < timeout || err.Waited > timeout+time.Second {
			t.Errorf("it waited %s, want %s", err.Waited, timeout)
		}
		expect(t, "holders", len(err.Holders), 5)
		expectText(t, "the error", err.Error(), `"default"`, "exhausted", "max 7, in use 7, idle 0", "/holder/0 held", "/holder/4", "acquire_test.go:", "MAX_CONNECTIONS")
		if strings.Contains(err.Error(), "/holder/6") {
			t.Errorf("it names more than five: %v", err)
		}
		expect(t, "refused", stats(conns).Refused, 1)
		expect(t, "waiting", stats(conns).Waiting, 0)
	})
}

func TestF51_TheCallersContextWinsAndTheHoldersAreNamedAllTheSame(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, onlyOne(settings))
		defer hold(t, conns, 1)()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := refusal(t, ctx, conns)
		expect(t, "kind", string(err.Kind), "caller gave up")
		expectError(t, "the error", err, context.DeadlineExceeded)
		expectText(t, "the error", err.Error(), "/holder/0")
	})
}

func TestAcquire_MaxWaitingRefusesAtOnceWhoIsTooMany(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings.MaxConnections, settings.MaxWaiting = 2, 3
		conns := dbtest.Open(t, kept(settings))
		// Connections that can still be opened are no queue.
		giveBack := hold(t, conns, 2)
		defer giveBack()
		served := make(chan error, 3)
		for range 3 {
			go func() {
				served <- try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
			}()
		}
		await(t, "three waiting", func() bool { return stats(conns).Waiting == 3 })
		within(t, 100*time.Millisecond, "the refusal", func() {
			err := refusal(t, t.Context(), conns)
			expect(t, "kind", string(err.Kind), "queue full")
			expectText(t, "the error", err.Error(), "waiting 3")
		})
		giveBack()
		for range 3 {
			if err := <-served; err != nil {
				t.Error(err)
			}
		}
	})
}

// 30 callers, 5 connections, 10 may wait.
func TestF45_MaxWaitingCountsFromAnEmptyPool(t *testing.T) {
	t.Parallel()
	settings := dbtest.Database(t, dbtest.Postgres)
	settings.MaxConnections, settings.MaxWaiting = 5, 10
	conns := dbtest.Open(t, settings)
	var all sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	done := make(chan struct{})
	for range 30 {
		all.Go(func() {
			err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
				err := conn.EnsureConnection(ctx)
				if err == nil {
					<-done
				}
				return err
			})
			if errors.Is(err, db.ErrUnavailable) {
				mu.Lock()
				defer mu.Unlock()
				if refused++; refused == 15 {
					close(done)
				}
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	expect(t, "refused", refused, 15)
}

func TestAcquire_FirstComeFirstServed(t *testing.T) {
	t.Parallel()
	for _, age := range []time.Duration{0, db.Forever} {
		t.Run(age.String(), func(t *testing.T) {
			t.Parallel()
			dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
				settings.MaxConnections, settings.ConnMaxAge = 1, age
				conns := dbtest.Open(t, settings)
				giveBack := hold(t, conns, 1)
				defer giveBack()
				served := make(chan int, 10)
				var all sync.WaitGroup
				for n := range 10 {
					all.Go(func() {
						if err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
							err := exec(ctx, conn, "SELECT 1")
							served <- n
							return err
						}); err != nil {
							t.Error(err)
						}
					})
					await(t, "in the queue", func() bool { return stats(conns).Waiting == n+1 })
				}
				giveBack()
				all.Wait()
				for n := range 10 {
					expect(t, "served", <-served, n)
				}
			})
		})
	}
}

func TestAcquire_UnreachableTellsHowOftenItWasTriedAndWhy(t *testing.T) {
	t.Parallel()
	dbtest.Goroutines(t)
	settings := db.Settings{Engine: "postgres", Name: "x", AcquireTimeout: 500 * time.Millisecond}
	settings.Host, settings.Port = freeAddress(t)
	conns := dbtest.Open(t, settings)
	err := refusal(t, t.Context(), conns)
	expect(t, "kind", string(err.Kind), "unreachable")
	expectText(t, "the error", err.Error(), "unreachable", "attempts in", "the last:", "refused")
	if strings.Contains(err.Error(), "MAX_CONNECTIONS") {
		t.Errorf("the hint is for an exhausted pool: %v", err)
	}
	if err.Waited < settings.AcquireTimeout || err.Waited > 3*settings.AcquireTimeout {
		t.Errorf("it waited %s, want %s", err.Waited, settings.AcquireTimeout)
	}
}

func TestAcquire_AnAddressThatIsTakenUpAgainServesThoseWhoWait(t *testing.T) {
	t.Parallel()
	proxy, settings := dbtest.NewProxy(t, dbtest.Database(t, dbtest.Postgres))
	proxy.Refuse()
	conns := dbtest.Open(t, settings)
	served := make(chan error, 1)
	go func() {
		served <- try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
	}()
	await(t, "waiting", func() bool { return stats(conns).Waiting == 1 })
	proxy.Accept(t)
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestAcquire_WhatWillNotPassFailsAtOnce(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*db.Settings) string{
		"a role that does not exist":     func(s *db.Settings) string { s.User = "nobody_here"; return "nobody_here" },
		"a database that does not exist": func(s *db.Settings) string { s.Name = "nothing_here"; return "nothing_here" },
		"a parameter that is none":       func(s *db.Settings) string { s.Options = map[string]string{"work_memory": "1"}; return "work_memory" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := dbtest.Database(t, dbtest.Postgres)
			text := spoil(&settings)
			conns := dbtest.Open(t, settings)
			within(t, 2*time.Second, "the error", func() {
				err := refusal(t, t.Context(), conns)
				expect(t, "kind", string(err.Kind), "unreachable")
				expectText(t, "the error", err.Error(), text)
			})
		})
	}
	t.Run("a folder instead of a file", func(t *testing.T) {
		t.Parallel()
		conns := dbtest.Open(t, db.Settings{Engine: "sqlite", Name: t.TempDir()})
		within(t, time.Second, "the error", func() { expectText(t, "the error", refusal(t, t.Context(), conns).Error(), "is a folder") })
	})
}

// A full server (SQLSTATE 53300) is not the end while one of our own comes back.
func TestF41_WhileTheServerIsFullAConnectionThatComesBackServes(t *testing.T) {
	t.Parallel()
	settings := dbtest.Database(t, dbtest.Postgres)
	role := "limited_" + settings.Name
	if err := dbtest.Server(t).Exec(t.Context(), settings.Name, "CREATE ROLE "+role+" LOGIN CONNECTION LIMIT 1"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dbtest.Server(t).Exec(context.Background(), "postgres", "DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	settings.User = role
	conns := dbtest.Open(t, kept(settings))
	giveBack := hold(t, conns, 1)
	served := make(chan error, 1)
	go func() {
		served <- try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
	}()
	await(t, "waiting", func() bool { return stats(conns).Waiting == 1 })
	within(t, time.Second, "the statement", func() {
		giveBack()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	expect(t, "opened", stats(conns).Opened, 1)

	defer hold(t, conns, 1)()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	expectText(t, "the error of one who gives up", refusal(t, ctx, conns).Error(), "caller gave up", "attempts in", "53300")
}

// freeAddress is one on which nobody listens.
func freeAddress(t *testing.T) (host string, port int) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "127.0.0.1", l.Addr().(*net.TCPAddr).Port
}
