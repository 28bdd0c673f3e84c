package pool_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

func states(s pool.Snapshot) string {
	var states []string
	for _, c := range s.Connections {
		states = append(states, string(c.State))
	}
	return strings.Join(states, " ")
}

func TestSnapshot_TellsAgesAndHolders(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.MaxAge = time.Hour }, func(t *testing.T, p *pool.Pool) {
		expect(t, "before anything", len(p.Snapshot().Connections), 0)
		began := time.Now()
		first := acquire(t, p, of(&owner{"GET /slow"}))
		time.Sleep(10 * time.Second)
		second := acquire(t, p)
		giveBack(second)
		time.Sleep(20 * time.Second)
		if err := run(first, "sleep 3s"); err != nil {
			t.Fatal(err)
		}
		if err := run(first, "set password = 'hunter2'"); err != nil {
			t.Fatal(err)
		}

		s := p.Snapshot()
		expect(t, "states, the oldest first", states(s), "leased idle")
		leased, idle := s.Connections[0], s.Connections[1]
		expect(t, "opened", leased.Opened, began)
		expect(t, "ages", fmt.Sprint(leased.Age, idle.Age), "33s 23s")
		expect(t, "opened later", idle.Opened.Sub(began), 10*time.Second)
		expect(t, "idle since", idle.IdleSince.Sub(began), 10*time.Second)
		expect(t, "nobody holds it", idle.Holder, nil)
		expect(t, "not idle", leased.IdleSince.IsZero(), true)
		for _, c := range s.Connections {
			if age := c.Expires.Sub(c.Opened); age < 57*time.Minute || age > time.Hour {
				t.Errorf("expires after %s", age)
			}
		}
		h := leased.Holder
		expect(t, "holder", h.Alias+" "+h.Name, "default GET /slow")
		expect(t, "held and idle", fmt.Sprint(h.Held, h.Idle), "33s 30s")
		expect(t, "last statement", h.LastStatement, "set password = ?")
		expect(t, "queries", h.Queries, 2)
		expect(t, "place", strings.HasPrefix(h.At, "pool/fake_test.go:"), true)
		giveBack(first)
		expect(t, "given back", states(p.Snapshot()), "idle idle")
	})
}

func TestSnapshot_AConnectionThatNeverExpiresSaysSo(t *testing.T) {
	bubble(t, &network{}, nil, func(t *testing.T, p *pool.Pool) {
		fill(t, p, 1)
		expect(t, "never", p.Snapshot().Connections[0].Expires.IsZero(), true)
	})
}

// A connection that is being closed, and one that is being checked, have no holder and
// are not idle.
func TestSnapshot_TellsWhatIsOnItsWay(t *testing.T) {
	n := &network{farewell: time.Minute}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		done := make(chan struct{})
		go func() {
			l.Release("done", pool.Here(0), true)
			close(done)
		}()
		synctest.Wait()
		s := p.Snapshot()
		expect(t, "while it closes", states(s), "between")
		expect(t, "open, in use, idle", fmt.Sprint(s.Stats.Open, s.Stats.InUse, s.Stats.Idle), "1 0 0")
		<-done
		expect(t, "closed", states(p.Snapshot()), "")
	})
}

// Who waits is told in the order of the queue, with the time since it came, also when the
// connection that it got first was dead.
func TestSnapshot_TellsWhoWaits(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.Max = 1 }, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		began := time.Now()
		var all sync.WaitGroup
		for _, name := range []string{"GET /first", "GET /second"} {
			all.Go(func() {
				if err := use(p, "anything", of(&owner{name})); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
			time.Sleep(time.Second)
		}
		s := p.Snapshot()
		expect(t, "how many", len(s.Waiters), s.Stats.Waiting)
		for i, want := range []string{"GET /first 2s", "GET /second 1s"} {
			w := s.Waiters[i]
			expect(t, "the waiter", fmt.Sprint(w.Name, " ", w.Waited), want)
			expect(t, "since", w.Since.Sub(began), time.Duration(i)*time.Second)
			expect(t, "place", strings.HasPrefix(w.At, "pool/fake_test.go:"), true)
			expect(t, "wants to write", w.Writes, false)
		}
		giveBack(l)
		all.Wait()
		expect(t, "in the end", len(p.Snapshot().Waiters), 0)
	})
}

// A dedicated connection is somebody's from its opening to its end.
func TestSnapshot_TellsDedicatedConnections(t *testing.T) {
	bubble(t, &network{}, nil, func(t *testing.T, p *pool.Pool) {
		fill(t, p, 1)
		time.Sleep(time.Minute)
		l, err := p.Dedicated(t.Context(), pool.Claim{Owner: &owner{"listener"}, Place: pool.Here(0)})
		if err != nil {
			t.Fatal(err)
		}
		s := p.Snapshot()
		expect(t, "states", states(s), "idle leased")
		expect(t, "numbers", fmt.Sprint(s.Stats.Open, s.Stats.InUse, s.Stats.Dedicated), "1 0 1")
		expect(t, "holder", fmt.Sprintln(s.Connections[1].Holder.Name, s.Connections[1].Holder.Dedicated), "listener true\n")
		l.CloseDedicated("done", pool.Here(0))
		expect(t, "afterwards", states(p.Snapshot()), "idle")
	})
}

// Under traffic every snapshot agrees with itself.
func TestSnapshot_AgreesWithItself(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.MaxAge = time.Second }, func(t *testing.T, p *pool.Pool) {
		var users sync.WaitGroup
		for range 20 {
			users.Go(func() {
				for range 200 {
					if err := use(p, "sleep 7ms"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		over := make(chan struct{})
		go func() {
			users.Wait()
			close(over)
		}()
		seen := 0
		for running := true; running; seen++ {
			select {
			case <-over:
				running = false
			case <-time.After(time.Millisecond):
			}
			s := p.Snapshot()
			count := map[pool.State]int{}
			for _, c := range s.Connections {
				count[c.State]++
				if (c.State == pool.Leased) != (c.Holder != nil) || (c.State == pool.Idle) == c.IdleSince.IsZero() {
					t.Fatalf("%+v contradicts itself", c)
				}
			}
			if len(s.Connections) != s.Stats.Open+s.Stats.Dedicated || count[pool.Idle] != s.Stats.Idle || count[pool.Leased] > s.Stats.InUse ||
				s.Stats.InUse > count[pool.Leased]+count[pool.Between] || s.Stats.Open > s.Stats.Max || len(s.Waiters) != s.Stats.Waiting {
				t.Fatalf("%+v, but the connections are %v", s.Stats, count)
			}
		}
		if seen < 100 {
			t.Errorf("only %d snapshots", seen)
		}
	})
}
