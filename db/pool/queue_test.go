package pool_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

func TestQueue_IsFirstComeFirstServed(t *testing.T) {
	for name, age := range map[string]time.Duration{"age zero": 0, "kept": pool.Forever} {
		t.Run(name, func(t *testing.T) {
			n := &network{dialling: time.Millisecond}
			bubble(t, n, func(c *pool.Config) { c.Max, c.MaxAge, c.AcquireTimeout = 2, age, time.Minute }, func(t *testing.T, p *pool.Pool) {
				first, second := acquire(t, p), acquire(t, p)
				var mu sync.Mutex
				var order []int
				var all sync.WaitGroup
				for i := range 50 {
					all.Go(func() {
						l := acquire(t, p)
						mu.Lock()
						order = append(order, i)
						mu.Unlock()
						time.Sleep(10 * time.Millisecond)
						giveBack(l)
					})
					synctest.Wait() // it stands in the queue
				}
				giveBack(first)
				time.Sleep(5 * time.Millisecond)
				giveBack(second)
				all.Wait()
				if !slices.IsSorted(order) {
					t.Errorf("served in the order %v", order)
				}
			})
		})
	}
}

// 200 callers who come again and again, on 4 connections, each for 2ms: nobody waits
// longer than the others. With a lot drawn, as database/sql does, one in a hundred waits
// four times as long.
func TestQueue_NobodyWaitsLongerThanTheOthers(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.Max, c.AcquireTimeout = 4, time.Minute }, func(t *testing.T, p *pool.Pool) {
		fill(t, p, 4)
		var mu sync.Mutex
		var waits []time.Duration
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				for round := range 20 {
					began := time.Now()
					l := acquire(t, p)
					if waited := time.Since(began); round > 0 { // the first ones find it empty
						mu.Lock()
						waits = append(waits, waited)
						mu.Unlock()
					}
					if err := run(l, "sleep 2ms"); err != nil {
						t.Error(err)
					}
					giveBack(l)
				}
			})
		}
		all.Wait()
		slices.Sort(waits)
		p50, p99 := waits[len(waits)/2], waits[len(waits)*99/100]
		if p99 > p50*13/10 {
			t.Errorf("p50 %s, p99 %s", p50, p99)
		}
		expect(t, "p50", p50, (200/4-1)*2*time.Millisecond)
	})
}

func TestQueue_TheTimeoutIsExactAndTakesNothingWithIt(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.Max = 1 }, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		began := time.Now()
		_, err := tryAcquire(context.Background(), p)
		expectTook(t, "the refusal", began, 5*time.Second)
		e, ok := errors.AsType[*pool.AcquireError](err)
		if !ok || e.Kind != pool.Exhausted || e.Waited != 5*time.Second {
			t.Errorf("%v, want exhausted after 5s", err)
		}
		expect(t, "waiting", p.Stats().Waiting, 0)
		giveBack(l)
		if err := use(p, "anything"); err != nil {
			t.Error(err)
		}
	})
}

// psycopg's "a dead client in the queue loses no connection", with the give-back in
// the same moment as the client's end.
func TestQueue_AConnectionHandedToOneWhoGivesUpServesTheNext(t *testing.T) {
	for name, age := range map[string]time.Duration{"age zero": 0, "kept": pool.Forever} {
		t.Run(name, func(t *testing.T) {
			n := &network{}
			bubble(t, n, func(c *pool.Config) { c.Max, c.MaxAge, c.AcquireTimeout = 1, age, time.Hour }, func(t *testing.T, p *pool.Pool) {
				for range 200 {
					l := acquire(t, p)
					ctx, cancel := context.WithCancel(context.Background())
					var all sync.WaitGroup
					all.Go(func() {
						if l, err := tryAcquire(ctx, p); err == nil {
							giveBack(l)
						}
					})
					all.Go(func() {
						if err := use(p, "anything"); err != nil {
							t.Error(err)
						}
					})
					synctest.Wait()
					all.Go(cancel)
					all.Go(func() { giveBack(l) })
					all.Wait()
				}
				expect(t, "in use", p.Stats().InUse, 0)
				expect(t, "waiting", p.Stats().Waiting, 0)
				if age == pool.Forever {
					expect(t, "opened", n.of(&n.dials), 1)
				}
			})
		})
	}
}

// With age zero a connection is opened for one scope; one that has served nobody
// may serve any.
func TestQueue_ANewConnectionWhoseTakerGaveUpServesTheNext(t *testing.T) {
	leave := func() {}
	n := &network{dialling: time.Millisecond, dial: func(int) error { leave(); return nil }}
	bubble(t, n, func(c *pool.Config) { c.Max, c.MaxAge = 1, 0 }, func(t *testing.T, p *pool.Pool) {
		served := 0
		for range 500 {
			var all sync.WaitGroup
			ctx, cancel := context.WithCancel(context.Background())
			leave = cancel // in the moment in which the connection is there
			all.Go(func() {
				if l, err := tryAcquire(ctx, p, of(&owner{"impatient"})); err == nil {
					served++
					giveBack(l)
				}
			})
			synctest.Wait()
			all.Go(func() {
				if err := use(p, "anything", of(&owner{"patient"})); err != nil {
					t.Error(err)
				}
			})
			all.Wait()
		}
		expect(t, "opened for those who were served", n.of(&n.dials), 500+served)
	})
}

func TestQueue_AnEndedContextIsToldWithoutAConnection(t *testing.T) {
	n := &network{}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		ctx, cancel := context.WithCancelCause(context.Background())
		why := errors.New("the client left")
		cancel(why)
		_, err := tryAcquire(ctx, p)
		expectError(t, "an acquire", err, why)
		expectError(t, "an acquire", err, context.Canceled)
		expectError(t, "an acquire", err, pool.ErrUnavailable)
		expect(t, "connects", n.of(&n.dials), 0)
	})
}

func TestQueue_MaxWaitingCountsThoseBeyondTheBound(t *testing.T) {
	n := &network{dialling: time.Second}
	bubble(t, n, func(c *pool.Config) { c.Max, c.MaxWaiting = 5, 10 }, func(t *testing.T, p *pool.Pool) {
		var all sync.WaitGroup
		var mu sync.Mutex
		refused := 0
		began := time.Now()
		for range 30 {
			all.Go(func() {
				err := use(p, "anything")
				if e, ok := errors.AsType[*pool.AcquireError](err); ok && e.Kind == pool.QueueFull {
					expectTook(t, "the refusal", began, 0)
					mu.Lock()
					defer mu.Unlock()
					refused++
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		expect(t, "refused", refused, 15)
	})
}

// With age zero the brief leases of streams hand connections to each other. One
// that wants a connection of its own must not wait behind all of them.
func TestQueue_BriefLeasesDoNotStarveOneOfAWholeRequest(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.Max, c.MaxAge = 2, 0 }, func(t *testing.T, p *pool.Pool) {
		stop := make(chan struct{})
		var streams sync.WaitGroup
		for range 6 {
			streams.Go(func() {
				me := &owner{"stream"}
				defer p.EndOwner(me)
				for {
					select {
					case <-stop:
						return
					default:
					}
					if err := use(p, "sleep 10ms", of(me), brief); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		time.Sleep(105 * time.Millisecond)
		for range 5 {
			began := time.Now()
			if err := use(p, "anything"); err != nil {
				t.Errorf("a request between streams: %v", err)
			}
			if took := time.Since(began); took > 50*time.Millisecond {
				t.Errorf("a request between streams waited %s", took)
			}
		}
		close(stop)
		streams.Wait()
	})
}

// The one whose idle connection was dead is not sent to the end of the queue.
func TestQueue_OneWhoseConnectionWasDeadIsFirstAgain(t *testing.T) {
	dead := true
	n := &network{dialling: time.Second}
	n.peek = func(w *wire) error {
		if dead && w.number == 1 {
			return errKilled
		}
		return nil
	}
	bubble(t, n, func(c *pool.Config) { c.Max = 1 }, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		var mu sync.Mutex
		var order []int
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				l := acquire(t, p)
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				giveBack(l)
			})
			synctest.Wait()
		}
		giveBack(l)
		all.Wait()
		if !slices.Equal(order, []int{0, 1, 2}) {
			t.Errorf("served in the order %v", order)
		}
		expect(t, "found dead", p.Stats().Dead, 1)
	})
}
