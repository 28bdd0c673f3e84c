package pool_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

func checked(c *pool.Config) { c.HealthChecks = true }

func TestHealth_PingsOncePerLeaseAndNeverAFreshConnection(t *testing.T) {
	n := &network{}
	bubble(t, n, checked, func(t *testing.T, p *pool.Pool) {
		for range 4 {
			l := acquire(t, p)
			for range 3 {
				if err := run(l, "anything"); err != nil {
					t.Error(err)
				}
			}
			giveBack(l)
		}
		expect(t, "pings", n.of(&n.pings), 3)
		expect(t, "counted", p.Stats().Pings, 3)
	})
}

func TestHealth_WithoutChecksNothingIsSent(t *testing.T) {
	n := &network{}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		for range 4 {
			fill(t, p, 1)
			time.Sleep(time.Hour)
		}
		expect(t, "pings", n.of(&n.pings), 0)
	})
}

func TestHealth_BriefLeasesOfAScopePingOnceAndAfterASecond(t *testing.T) {
	n := &network{}
	bubble(t, n, checked, func(t *testing.T, p *pool.Pool) {
		fill(t, p, 1)
		stream := &owner{"stream"}
		for range 10 {
			if err := use(p, "anything", of(stream), brief); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, "pings within a second", n.of(&n.pings), 1)
		time.Sleep(time.Second)
		for range 10 {
			if err := use(p, "anything", of(stream), brief); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, "pings after it", n.of(&n.pings), 2)
		if err := use(p, "anything", of(&owner{"another"}), brief); err != nil {
			t.Fatal(err)
		}
		expect(t, "pings for another scope", n.of(&n.pings), 3)
	})
}

// A connection may have been opened for one who gave up, and never been used.
func TestHealth_AConnectionThatNobodyHasUsedIsCheckedAfterASecond(t *testing.T) {
	for _, wait := range []time.Duration{0, 2 * time.Second} {
		t.Run(wait.String(), func(t *testing.T) {
			n := &network{dialling: time.Second}
			bubble(t, n, checked, func(t *testing.T, p *pool.Pool) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				defer cancel()
				_, err := tryAcquire(ctx, p)
				expectError(t, "one who gives up", err, context.DeadlineExceeded)
				time.Sleep(time.Second)
				expect(t, "idle", p.Stats().Idle, 1)
				time.Sleep(wait)
				if err := use(p, "anything", brief); err != nil {
					t.Error(err)
				}
				if want := min(1, int(wait)); n.of(&n.pings) != want {
					t.Errorf("%d pings after %s, want %d", n.of(&n.pings), wait, want)
				}
			})
		})
	}
}

func TestHealth_ADoubtfulErrorIsPingedAtGiveBackAndThatCounts(t *testing.T) {
	n := &network{}
	bubble(t, n, checked, func(t *testing.T, p *pool.Pool) {
		expectError(t, "the statement", use(p, "doubtful"), errDoubtful)
		expect(t, "pings at give-back", n.of(&n.pings), 1)
		if err := use(p, "anything"); err != nil {
			t.Error(err)
		}
		expect(t, "pings for the next lease", n.of(&n.pings), 1)
		expectError(t, "the statement", use(p, "fail"), errFailed)
		expect(t, "pings after one more lease with a harmless error", n.of(&n.pings), 2)
	})
}

// Who gives it back waits no longer than for what was left open.
func TestHealth_ADoubtfulConnectionThatDoesNotAnswerIsClosed(t *testing.T) {
	n := &network{ping: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		began := time.Now()
		expectError(t, "the statement", use(p, "doubtful"), errDoubtful)
		expectTook(t, "the give-back", began, 250*time.Millisecond)
		expect(t, "in use", p.Stats().InUse, 1)
		time.Sleep(750 * time.Millisecond)
		synctest.Wait()
		expect(t, "open after the check's second", p.Stats().Open, 0)
	})
}

func TestHealth_AFailedPingCostsItsDeadlineAndTheNextConnectionServes(t *testing.T) {
	n := &network{}
	bubble(t, n, checked, func(t *testing.T, p *pool.Pool) {
		fill(t, p, 1)
		n.ping = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		began := time.Now()
		if err := use(p, "anything"); err != nil {
			t.Error(err)
		}
		expectTook(t, "the lease", began, time.Second)
		expect(t, "found dead", p.Stats().Dead, 1)
		expect(t, "opened", n.of(&n.dials), 2)
	})
}

func TestHealth_DeadConnectionsAreFoundTogether(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.HealthChecks, c.Max = true, 20 }, func(t *testing.T, p *pool.Pool) {
		fill(t, p, 20)
		n.ping = func(ctx context.Context) error { <-ctx.Done(); return errKilled }
		began := time.Now()
		giveBack(acquire(t, p)) // on a new one
		expectTook(t, "the lease", began, time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		expect(t, "found dead", p.Stats().Dead, 20)
		expect(t, "open", p.Stats().Open, 1)
		expect(t, "in use", p.Stats().InUse, 0)
	})
}

func TestHealth_DeadConnectionsCostNoMoreThanTheAcquireTimeout(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.HealthChecks, c.Max = true, 20 }, func(t *testing.T, p *pool.Pool) {
		fill(t, p, 20)
		n.ping = func(ctx context.Context) error { <-ctx.Done(); return errKilled }
		n.dial = func(int) error { return errIgnored }
		began := time.Now()
		_, err := tryAcquire(context.Background(), p)
		expectError(t, "the acquire", err, errIgnored)
		if e, ok := errors.AsType[*pool.AcquireError](err); !ok || e.Kind != pool.Unreachable {
			t.Errorf("%v, want unreachable", err)
		}
		expectTook(t, "the refusal", began, 5*time.Second)
	})
}

func TestHealth_OneHandedOverAtTheLastMomentIsStillGivenAChance(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.HealthChecks, c.Max = true, 1 }, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		second := make(chan error)
		go func() { second <- use(p, "anything") }()
		time.Sleep(5*time.Second - time.Nanosecond)
		n.ping = func(ctx context.Context) error {
			select {
			case <-time.After(10 * time.Millisecond):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		giveBack(l)
		if err := <-second; err != nil {
			t.Error(err)
		}
		expect(t, "opened", n.of(&n.dials), 1)
	})
}

func TestHealth_WhatThePeekFindsIsDeadWithoutAPing(t *testing.T) {
	n := &network{}
	bubble(t, n, checked, func(t *testing.T, p *pool.Pool) {
		fill(t, p, 3)
		n.peek = func(w *wire) error {
			if w.number <= 3 {
				return errKilled
			}
			return nil
		}
		if err := use(p, "anything"); err != nil {
			t.Error(err)
		}
		expect(t, "found dead", p.Stats().Dead, 3)
		expect(t, "pings", n.of(&n.pings), 0)
		synctest.Wait()
		expect(t, "open", p.Stats().Open, 1)
	})
}
