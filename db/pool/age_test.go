package pool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// fill opens n connections, uses them, and leaves them idle.
func fill(t *testing.T, p *pool.Pool, n int) {
	t.Helper()
	var leases []*pool.Lease
	for range n {
		l := acquire(t, p)
		if err := run(l, "anything"); err != nil {
			t.Fatal(err)
		}
		leases = append(leases, l)
	}
	for _, l := range leases {
		giveBack(l)
	}
}

func TestAge_EndsWithinTheLastFivePercentAndNotForAllAtOnce(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.Max, c.MaxAge = 100, time.Hour }, func(t *testing.T, p *pool.Pool) {
		fill(t, p, 100)
		time.Sleep(57*time.Minute - time.Nanosecond)
		fill(t, p, 100)
		expect(t, "opened before 95 % of the age", n.of(&n.dials), 100)
		time.Sleep(90 * time.Second)
		fill(t, p, 100)
		if early := n.of(&n.dials) - 100; early < 10 || early > 90 {
			t.Errorf("%d of 100 ended in the first half of the jitter", early)
		}
		time.Sleep(90*time.Second + time.Nanosecond)
		before := n.of(&n.dials)
		fill(t, p, 100)
		expect(t, "opened by the full age, less those that are new", n.of(&n.dials)-before, 200-before)
		expect(t, "found dead", p.Stats().Dead, 0)
	})
}

func TestAge_IsLookedAtWhenTheLeaseEnds(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.MaxAge = time.Minute }, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		time.Sleep(time.Hour)
		if err := run(l, "anything"); err != nil {
			t.Errorf("a statement in mid-lease: %v", err)
		}
		expect(t, "closed in mid-lease", n.of(&n.closed), 0)
		giveBack(l)
		expect(t, "closed at the end of the lease", n.of(&n.closed), 1)
	})
}

func TestAge_ForeverIsForever(t *testing.T) {
	n := &network{}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		for range 100 {
			fill(t, p, 2)
			time.Sleep(24 * time.Hour)
		}
		expect(t, "opened", n.of(&n.dials), 2)
	})
}

func TestIdle_ConnectionsLeaveWithoutTrafficTheOldestFirst(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.MaxIdle = 300 * time.Second }, func(t *testing.T, p *pool.Pool) {
		fill(t, p, 3)
		time.Sleep(200 * time.Second)
		fill(t, p, 1) // the newest is used again, the others idle on
		time.Sleep(100*time.Second - time.Nanosecond)
		expect(t, "idle", p.Stats().Idle, 3)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		expect(t, "idle after 300s", p.Stats().Idle, 1)
		expect(t, "closed", n.of(&n.closed), 2)
		expect(t, "in use while they were closed", p.Stats().InUse, 0)
		time.Sleep(200 * time.Second)
		synctest.Wait()
		expect(t, "idle after all", p.Stats().Idle, 0)
		fill(t, p, 1)
		expect(t, "opened", n.of(&n.dials), 4)
	})
}

func TestAgeZero_ClosesAfterEachLease(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.MaxAge = 0 }, func(t *testing.T, p *pool.Pool) {
		for range 3 {
			fill(t, p, 1)
			expect(t, "open", p.Stats().Open, 0)
			expect(t, "live", n.of(&n.live), 0)
		}
		expect(t, "opened", n.of(&n.dials), 3)
	})
}

func TestAgeZero_BriefLeasesOfAScopeShareAConnectionUntilItEnds(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.MaxAge = 0 }, func(t *testing.T, p *pool.Pool) {
		stream := &owner{"stream"}
		for range 5 {
			if err := use(p, "anything", of(stream), brief); err != nil {
				t.Fatal(err)
			}
			expect(t, "idle", p.Stats().Idle, 1)
			time.Sleep(time.Second - time.Nanosecond)
		}
		expect(t, "opened", n.of(&n.dials), 1)
		p.EndOwner(stream)
		expect(t, "open after the end of the scope", p.Stats().Open, 0)
		expect(t, "live", n.of(&n.live), 0)
	})
}

func TestAgeZero_AConnectionIdlesNoLongerThanASecond(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.MaxAge = 0 }, func(t *testing.T, p *pool.Pool) {
		if err := use(p, "anything", brief); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second - time.Nanosecond)
		expect(t, "idle", p.Stats().Idle, 1)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		expect(t, "idle after a second", p.Stats().Idle, 0)
		expect(t, "live", n.of(&n.live), 0)
	})
}

// Another scope may borrow it, but not beyond the end of the one that opened it.
func TestAgeZero_ABorrowedConnectionEndsWithTheScopeThatOpenedIt(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.MaxAge = 0 }, func(t *testing.T, p *pool.Pool) {
		opener, borrower := &owner{"opener"}, &owner{"borrower"}
		if err := use(p, "anything", of(opener), brief); err != nil {
			t.Fatal(err)
		}
		l := acquire(t, p, of(borrower), brief)
		p.EndOwner(opener)
		if err := run(l, "anything"); err != nil {
			t.Errorf("the borrower's statement: %v", err)
		}
		giveBack(l)
		expect(t, "opened", n.of(&n.dials), 1)
		expect(t, "open", p.Stats().Open, 0)
	})
}

func TestAgeZero_ALeaseOfAWholeRequestTakesNobodysConnection(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.MaxAge = 0 }, func(t *testing.T, p *pool.Pool) {
		if err := use(p, "anything", brief); err != nil {
			t.Fatal(err)
		}
		if err := use(p, "anything"); err != nil {
			t.Fatal(err)
		}
		expect(t, "opened", n.of(&n.dials), 2)
	})
}
