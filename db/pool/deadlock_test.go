package pool_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// circle has two pools of which two scopes hold a connection each, and wait for a task
// that wants one of the other pool. What becomes of the tasks is told through the
// channels.
func circle(t *testing.T, sure, free bool, test func(fromFirst, fromSecond <-chan error, giveBackFirst, giveBackFree func())) {
	n, most := &network{}, 1
	if free {
		most = 2
	}
	bubble(t, n, func(c *pool.Config) { c.Max, c.AcquireTimeout = 1, time.Hour }, func(t *testing.T, first *pool.Pool) {
		second := pool.New(pool.Config{
			Alias: "second", Driver: n, Max: most, AcquireTimeout: time.Hour, ConnectTimeout: 3 * time.Second,
			MaxAge: pool.Forever, MaxIdle: pool.Forever, Logger: slog.New(slog.DiscardHandler),
		})
		defer func() {
			if err := second.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		pool.Join(first, second)
		a, b := &owner{"a"}, &owner{"b"}
		ofA, ofB := acquire(t, first, of(a)), acquire(t, second, of(b))
		defer giveBack(ofB)
		giveBackFree := func() {}
		if free {
			l := acquire(t, second)
			giveBackFree = func() { giveBack(l) }
		}
		task := func(p *pool.Pool, parent *owner) <-chan error {
			served := make(chan error, 1)
			go func() {
				l, err := tryAcquire(context.Background(), p, func(c *pool.Claim) {
					c.Waits = &pool.Wait{Owner: parent, Ctx: context.Background(), Place: pool.Here(0), Sure: sure}
				})
				if err == nil {
					giveBack(l)
				}
				served <- err
			}()
			synctest.Wait()
			return served
		}
		fromFirst := task(second, a)
		test(fromFirst, task(first, b), func() { giveBack(ofA) }, giveBackFree)
	})
}

func TestDeadlock_ACircleThroughTwoPoolsIsFoundAtOnce(t *testing.T) {
	circle(t, true, false, func(fromFirst, fromSecond <-chan error, giveBackFirst, _ func()) {
		began := time.Now()
		expectError(t, "the task that closes the circle", <-fromSecond, pool.ErrSelfDeadlock)
		expectTook(t, "the error", began, 0)
		select {
		case err := <-fromFirst:
			t.Errorf("the other one is told as well: %v", err)
		default:
		}
		giveBackFirst()
	})
}

func TestDeadlock_WhereAHolderCannotBeSeenToWaitItTakesAQuarterOfASecond(t *testing.T) {
	circle(t, false, false, func(fromFirst, fromSecond <-chan error, giveBackFirst, _ func()) {
		began := time.Now()
		select {
		case err := <-fromFirst:
			expectError(t, "a task", err, pool.ErrSelfDeadlock)
		case err := <-fromSecond:
			expectError(t, "a task", err, pool.ErrSelfDeadlock)
		}
		expectTook(t, "the error", began, 250*time.Millisecond)
		giveBackFirst()
	})
}

func TestDeadlock_OneWhoWaitsForNobodyBreaksTheCircle(t *testing.T) {
	circle(t, true, true, func(fromFirst, fromSecond <-chan error, giveBackFirst, giveBackFree func()) {
		time.Sleep(time.Minute)
		select {
		case err := <-fromFirst:
			t.Errorf("the task of the first: %v", err)
		case err := <-fromSecond:
			t.Errorf("the task of the second: %v", err)
		default:
		}
		giveBackFree()
		expectError(t, "the task of the first", <-fromFirst, nil)
		giveBackFirst()
		expectError(t, "the task of the second", <-fromSecond, nil)
	})
}
