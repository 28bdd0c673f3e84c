package pool_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

func TestInvalidate_GivesUpWhatIsIdleNowAndWhatIsLeasedWhenItComesBack(t *testing.T) {
	n := &network{}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		fill(t, p, 3)
		held := acquire(t, p)
		p.Invalidate()
		expect(t, "open", p.Stats().Open, 1)
		expect(t, "idle", p.Stats().Idle, 0)
		if err := run(held, "select"); err != nil { // it is not disturbed
			t.Error(err)
		}
		giveBack(held)
		expect(t, "open after the give-back", p.Stats().Open, 0)
		if err := use(p, "select"); err != nil {
			t.Error(err)
		}
		expect(t, "open, a new one", p.Stats().Open, 1)
		expect(t, "dials", n.of(&n.dials), 4)
	})
}

func TestInvalidate_AlsoGivesUpWhatIsBeingOpened(t *testing.T) {
	n := &network{dialling: time.Second}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		served := make(chan error)
		go func() { served <- use(p, "select") }()
		time.Sleep(time.Second / 2)
		p.Invalidate()
		if err := <-served; err != nil {
			t.Error(err)
		}
		expect(t, "dials", n.of(&n.dials), 2)
	})
}

func TestInvalidate_LeavesADatabaseAloneThatLivesInItsConnection(t *testing.T) {
	n := &network{traits: pool.Traits{Single: true}}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		fill(t, p, 1)
		p.Invalidate()
		fill(t, p, 1)
		expect(t, "dials", n.of(&n.dials), 1)
	})
}

func TestDemotion_ClosesThatConnectionAndChecksTheOthers(t *testing.T) {
	n := &network{}
	old := func(w *wire) bool { return w.number <= 3 }
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		fill(t, p, 5)
		held := acquire(t, p) // the fifth
		l := acquire(t, p)
		n.demoted = old
		giveBack(l) // of the new server
		expect(t, "open", p.Stats().Open, 5)
		var leases []*pool.Lease
		for range 4 {
			leases = append(leases, acquire(t, p))
		}
		giveBack(leases[3]) // the first: read-only
		for _, l := range leases[:3] {
			giveBack(l)
		}
		giveBack(held)
		synctest.Wait()
		expect(t, "open, those of the new server", p.Stats().Open, 2)
		expect(t, "idle", p.Stats().Idle, 2)
	})
}

// A server that is away is asked by one for all, less and less often.
func TestBackoff_IsSharedByAllWhoWait(t *testing.T) {
	for _, age := range []time.Duration{0, pool.Forever} {
		n := &network{}
		var away sync.Mutex
		failing := true
		n.dial = func(int) error {
			away.Lock()
			defer away.Unlock()
			if failing {
				return errIgnored
			}
			return nil
		}
		t.Run(age.String(), func(t *testing.T) {
			bubble(t, n, func(c *pool.Config) { c.MaxAge, c.Max, c.AcquireTimeout = age, 50, time.Minute }, func(t *testing.T, p *pool.Pool) {
				var all sync.WaitGroup
				for range 200 {
					all.Go(func() {
						if err := use(p, "select"); err != nil {
							t.Error(err)
						}
					})
				}
				time.Sleep(5 * time.Second)
				if dials := n.of(&n.dials); dials > 50+12 {
					t.Errorf("%d attempts in 5s of 200 who wait", dials)
				}
				before := n.of(&n.dials)
				time.Sleep(10 * time.Second)
				if dials := n.of(&n.dials) - before; dials > 14 || dials < 9 {
					t.Errorf("%d attempts in 10s, want about one a second", dials)
				}
				away.Lock()
				failing = false
				away.Unlock()
				all.Wait()
			})
		})
	}
}

func TestQuarantine_CountsOnceThereAreMany(t *testing.T) {
	n := &network{farewell: time.Hour} // closing takes for ever
	bubble(t, n, func(c *pool.Config) { c.Max = 2 }, func(t *testing.T, p *pool.Pool) {
		for range 2 {
			l := acquire(t, p)
			go func() { _ = run(l, "deaf") }()
			synctest.Wait()
			giveBack(l)
		}
		expect(t, "quarantined", p.Stats().Quarantined, 2)
		expect(t, "closing", p.Stats().Closing, 2)
		leases := []*pool.Lease{acquire(t, p), acquire(t, p)} // their permits are free
		for _, l := range leases {
			go func() { _ = run(l, "deaf") }()
			synctest.Wait()
			giveBack(l)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := tryAcquire(ctx, p)
		expectError(t, "with four that will not go", err, pool.ErrUnavailable)
		expect(t, "the most that lived at once", n.of(&n.most), 4)
	})
}
