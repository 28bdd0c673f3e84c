package pool_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// HikariCP's "Welcome to the Jungle": 5 idle of at most 50, connecting takes 150ms,
// 50 callers of 2ms come at once. A connection that comes back serves earlier than
// a new one, so hardly any new one is wanted.
func TestGrowth_ASpikeIsServedByWhatComesBack(t *testing.T) {
	n := &network{dialling: 150 * time.Millisecond}
	bubble(t, n, func(c *pool.Config) { c.Max = 50 }, func(t *testing.T, p *pool.Pool) {
		fill(t, p, 5)
		began := time.Now()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if err := use(p, "sleep 2ms"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took > 75*time.Millisecond {
			t.Errorf("it took %s, want at most 75ms", took)
		}
		synctest.Wait()
		if open := p.Stats().Open + p.Stats().Connecting; open > 7 {
			t.Errorf("%d connections, want at most 7", open)
		}
	})
}

func TestGrowth_StopsWhenNobodyWaits(t *testing.T) {
	n := &network{dialling: 100 * time.Millisecond}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		first := acquire(t, p)
		second := make(chan *pool.Lease)
		go func() { second <- acquire(t, p) }()
		synctest.Wait()
		giveBack(first) // the second one gets it, and the new one is for nobody
		giveBack(<-second)
		time.Sleep(time.Minute)
		expect(t, "opened", n.of(&n.dials), 2)
		expect(t, "idle", p.Stats().Idle, 2)
	})
}

func TestGrowth_WithAgeZeroEverybodysConnectionIsOpenedAtOnce(t *testing.T) {
	n := &network{dialling: 100 * time.Millisecond}
	bubble(t, n, func(c *pool.Config) { c.Max, c.MaxAge = 20, 0 }, func(t *testing.T, p *pool.Pool) {
		began := time.Now()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if err := use(p, "anything"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		expectTook(t, "all together", began, 100*time.Millisecond)
	})
}

// The bound holds for the server, too: with those that connect, and those that say
// goodbye.
func TestGrowth_MaxIsNeverExceeded(t *testing.T) {
	for name, age := range map[string]time.Duration{"zero": 0, "short": 20 * time.Millisecond, "forever": pool.Forever} {
		t.Run(name, func(t *testing.T) {
			n := &network{dialling: 3 * time.Millisecond, farewell: 2 * time.Millisecond}
			bubble(t, n, func(c *pool.Config) { c.Max, c.MaxAge, c.AcquireTimeout = 4, age, time.Minute }, func(t *testing.T, p *pool.Pool) {
				var all sync.WaitGroup
				for i := range 40 {
					all.Go(func() {
						me := &owner{"me"}
						for j := range 10 {
							claims := []func(*pool.Claim){of(me)}
							if (i+j)%3 > 0 {
								claims = append(claims, brief)
							}
							if err := use(p, "sleep 1ms", claims...); err != nil {
								t.Error(err)
							}
						}
						p.EndOwner(me)
					})
				}
				all.Wait()
				if n.of(&n.most) > 4 {
					t.Errorf("%d connections at once, want at most 4", n.of(&n.most))
				}
				expect(t, "in use", p.Stats().InUse, 0)
			})
		})
	}
}

func TestGrowth_AServerThatRefusesIsTriedADozenTimes(t *testing.T) {
	for name, age := range map[string]time.Duration{"age zero": 0, "kept": pool.Forever} {
		t.Run(name, func(t *testing.T) {
			refused := errors.New("connection refused")
			n := &network{dialling: 10 * time.Millisecond, dial: func(int) error { return refused }}
			bubble(t, n, func(c *pool.Config) { c.MaxAge = age }, func(t *testing.T, p *pool.Pool) {
				began := time.Now()
				var all sync.WaitGroup
				for range 5 {
					all.Go(func() {
						_, err := tryAcquire(context.Background(), p)
						expectError(t, "an acquire", err, refused)
						if e, ok := errors.AsType[*pool.AcquireError](err); !ok || e.Kind != pool.Unreachable {
							t.Errorf("%v, want unreachable", err)
						}
					})
				}
				all.Wait()
				expectTook(t, "all together", began, 5*time.Second)
				if n.of(&n.dials) > 12+4 { // those that were under way when the first failed
					t.Errorf("%d attempts in 5s, want a dozen", n.of(&n.dials))
				}
				before := n.of(&n.dials)
				time.Sleep(time.Second)
				expect(t, "connecting when nobody waits", p.Stats().Connecting, 0)
				expect(t, "attempts when nobody waits", n.of(&n.dials), before)
			})
		})
	}
}

func TestGrowth_AServerThatComesBackServesThoseWhoWait(t *testing.T) {
	for name, age := range map[string]time.Duration{"age zero": 0, "kept": pool.Forever} {
		t.Run(name, func(t *testing.T) {
			var up atomic.Bool
			n := &network{dial: func(int) error {
				if up.Load() {
					return nil
				}
				return errors.New("connection refused")
			}}
			bubble(t, n, func(c *pool.Config) { c.MaxAge = age }, func(t *testing.T, p *pool.Pool) {
				var all sync.WaitGroup
				for range 5 {
					all.Go(func() {
						if err := use(p, "anything"); err != nil {
							t.Error(err)
						}
					})
				}
				time.Sleep(2 * time.Second)
				up.Store(true)
				all.Wait()
				expect(t, "refused", p.Stats().Refused, 0)
			})
		})
	}
}

// One that hangs while it connects must not keep what comes back from those who
// wait.
func TestGrowth_AConnectThatHangsBlocksNobodyElse(t *testing.T) {
	n := &network{}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		first := acquire(t, p)
		n.dialling = time.Hour
		began := time.Now()
		second := make(chan *pool.Lease)
		go func() { second <- acquire(t, p) }()
		time.Sleep(100 * time.Millisecond)
		giveBack(first)
		giveBack(<-second)
		expectTook(t, "the second lease", began, 100*time.Millisecond)
	})
}

func TestGrowth_WhatWillNotPassFailsAtOnceUnlessOthersLive(t *testing.T) {
	fails := false
	n := &network{dial: func(int) error {
		if fails {
			return errFailed
		}
		return nil
	}}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		first := acquire(t, p)
		fails = true
		second := make(chan *pool.Lease)
		go func() { second <- acquire(t, p) }()
		time.Sleep(time.Second)
		giveBack(first) // the password may have changed, but this one still works
		l := <-second
		l.Release("done", pool.Here(0), true)
		time.Sleep(time.Second) // until nobody connects any more

		began := time.Now()
		_, err := tryAcquire(context.Background(), p)
		expectError(t, "with no other connection", err, errFailed)
		expectTook(t, "the error", began, 0)
	})
}

func TestGrowth_ATimeoutWhileItStillConnectsIsNoExhaustion(t *testing.T) {
	n := &network{dialling: time.Hour}
	bubble(t, n, func(c *pool.Config) { c.ConnectTimeout = 2 * c.AcquireTimeout }, func(t *testing.T, p *pool.Pool) {
		_, err := tryAcquire(context.Background(), p)
		e, ok := errors.AsType[*pool.AcquireError](err)
		if !ok || e.Kind != pool.Unreachable {
			t.Errorf("%v, want unreachable", err)
		}
	})
}
