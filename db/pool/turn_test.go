package pool_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// scribes is a network whose statements that sleep write.
type scribes struct{ *network }

func (scribes) Writes(query string) bool { return strings.HasPrefix(query, "sleep") }

func (scribes) InTransaction(driver.Conn) (in, known bool) { return false, true }

func TestTurn_OneWritesAndTheOthersWaitWithoutIdling(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.Driver = scribes{n} }, func(t *testing.T, p *pool.Pool) {
		began := time.Now()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := use(p, "sleep 1s"); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		s := p.Snapshot()
		for _, c := range s.Connections {
			if c.State == pool.Leased && c.Holder.Idle != 0 {
				t.Errorf("%v idles", c.Holder)
			}
		}
		expect(t, "in the queue", s.Stats.Writers, 1)
		expect(t, "waited", s.Waiters[0].Waited, 1500*time.Millisecond)
		if err := use(p, "read"); err != nil { // nothing to wait for
			t.Error(err)
		}
		all.Wait()
		expectTook(t, "one after the other", began, 3*time.Second)
	})
}

func TestTurn_TheTimeoutIsExactAndTakesNothingWithIt(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.Driver = scribes{n} }, func(t *testing.T, p *pool.Pool) {
		var all sync.WaitGroup
		all.Go(func() {
			if err := use(p, "sleep 6s"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		began := time.Now()
		err := use(p, "sleep 1ms")
		expectTook(t, "the refusal", began, 5*time.Second)
		expectError(t, "a writer", err, pool.ErrUnavailable)
		if e, ok := errors.AsType[*pool.AcquireError](err); !ok || e.Kind != pool.Locked || e.Waited != 5*time.Second || len(e.Holders) != 1 {
			t.Errorf("%v, want locked after 5s, and who writes", err)
		}
		expect(t, "refused", p.Stats().Refused, 1)
		all.Wait()
		if err := use(p, "sleep 1ms"); err != nil {
			t.Error(err)
		}
		expect(t, "in the queue", p.Stats().Writers, 0)
	})
}

// The turn is handed over in the moment in which its taker gives up: the next one has it.
func TestTurn_HandedToOneWhoGivesUpItIsTheNextOnes(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.Driver, c.AcquireTimeout = scribes{n}, time.Hour }, func(t *testing.T, p *pool.Pool) {
		for range 200 {
			var all sync.WaitGroup
			all.Go(func() {
				if err := use(p, "sleep 10ms"); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			all.Go(func() {
				l := acquire(t, p)
				defer giveBack(l)
				_ = runWith(ctx, l, "sleep 1ms") // it had its turn, or not
			})
			synctest.Wait()
			all.Go(func() {
				if err := use(p, "sleep 1ms"); err != nil {
					t.Error(err)
				}
			})
			all.Wait()
			cancel()
		}
		expect(t, "in the queue", p.Stats().Writers, 0)
	})
}
