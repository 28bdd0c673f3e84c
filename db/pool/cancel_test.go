package pool_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// hanging runs "hang" on a lease of p until stop is called; it has run for a second.
func hanging(t *testing.T, p *pool.Pool) (l *pool.Lease, stop context.CancelFunc, ended chan error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	l, ended = acquire(t, p), make(chan error, 1)
	go func() { ended <- runWith(ctx, l, "hang") }()
	time.Sleep(time.Second)
	synctest.Wait()
	return l, stop, ended
}

func TestCancel_StopsTheStatementOnTheWire(t *testing.T) {
	n := &network{}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		l, stop, ended := hanging(t, p)
		began := time.Now()
		stop()
		err := <-ended
		expectTook(t, "it", began, 0)
		expectError(t, "the statement", err, context.Canceled)
		expectError(t, "the driver's error beside it", err, errCanceled)
		expect(t, "requests", n.of(&n.cancels), 1)
		if err := run(l, "anything"); err != nil {
			t.Errorf("the next statement: %v", err)
		}
		giveBack(l)
		expect(t, "idle", p.Stats().Idle, 1)
		expect(t, "cancelled", p.Stats().Canceled, 1)
	})
}

// A request that reaches the server before it has begun with the statement changes
// nothing there.
func TestCancel_IsRepeatedUntilTheServerTakesNote(t *testing.T) {
	n := &network{cancel: func(n int) error {
		if n < 4 {
			return errIgnored
		}
		return nil
	}}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		l, stop, ended := hanging(t, p)
		began := time.Now()
		stop()
		expectError(t, "the statement", <-ended, context.Canceled)
		expectTook(t, "it", began, (50+100+200)*time.Millisecond)
		expect(t, "requests", n.of(&n.cancels), 4)
		giveBack(l)
		expect(t, "idle", p.Stats().Idle, 1)
	})
}

func TestCancel_OfAServerThatNeverAnswersTakesTwoSecondsAtMost(t *testing.T) {
	for name, row := range map[string]struct {
		answer error
		took   time.Duration
	}{"no notice": {errIgnored, 2 * time.Second}, "no connection": {errors.New("refused"), 0}} {
		t.Run(name, func(t *testing.T) {
			n := &network{cancel: func(int) error { return row.answer }}
			bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
				l, stop, ended := hanging(t, p)
				began := time.Now()
				stop()
				expectError(t, "the statement", <-ended, context.Canceled)
				expectTook(t, "it", began, row.took)
				expect(t, "cut", n.of(&n.killed), 1)
				giveBack(l)
				expect(t, "open", p.Stats().Open, 0)
			})
		})
	}
}

// The request for a statement that has just ended may still be on its way.
func TestCancel_TheNextStatementWaitsUntilTheRequestIsThrough(t *testing.T) {
	n := &network{cancel: func(int) error { time.Sleep(time.Second); return nil }}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		ctx, stop := context.WithCancel(context.Background())
		l := acquire(t, p)
		ended := make(chan error, 1)
		go func() { ended <- runWith(ctx, l, "sleep 10ms") }()
		time.Sleep(5 * time.Millisecond)
		stop()
		time.Sleep(10 * time.Millisecond)
		began := time.Now()
		if err := run(l, "sleep 5ms"); err != nil {
			t.Errorf("the next statement: %v", err)
		}
		expectTook(t, "the next statement", began, 990*time.Millisecond+5*time.Millisecond)
		if err := <-ended; err != nil {
			t.Errorf("the statement that was faster than its cancel: %v", err)
		}
		giveBack(l)
	})
}

func TestCancel_StatementsOfOneContextEndWithIt(t *testing.T) {
	n := &network{}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		ctx, stop := context.WithCancel(context.Background())
		l := acquire(t, p)
		for range 3 {
			if err := runWith(ctx, l, "anything"); err != nil {
				t.Error(err)
			}
		}
		ended := make(chan error, 1)
		go func() { ended <- runWith(ctx, l, "hang") }()
		synctest.Wait()
		stop()
		expectError(t, "the statement", <-ended, context.Canceled)
		expectError(t, "one after it", runWith(ctx, l, "anything"), context.Canceled)
		if err := run(l, "anything"); err != nil {
			t.Errorf("one that outlives the scope's context: %v", err)
		}
		expect(t, "sent", len(n.sent), 5)
		giveBack(l)
	})
}

// What has just begun is not watched yet.
func TestCancel_OfAStatementThatHasJustBegunComesAMomentLater(t *testing.T) {
	n := &network{}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		ctx, stop := context.WithCancel(context.Background())
		l, ended, began := acquire(t, p), make(chan error, 1), time.Now()
		go func() { ended <- runWith(ctx, l, "hang") }()
		synctest.Wait()
		stop()
		expectError(t, "the statement", <-ended, context.Canceled)
		if took := time.Since(began); took > 5*time.Millisecond {
			t.Errorf("it took %s", took)
		}
		giveBack(l)
	})
}

// asked counts who wants to hear of its end.
type asked struct {
	context.Context
	times atomic.Int64
}

func (a *asked) Done() <-chan struct{} {
	a.times.Add(1)
	return a.Context.Done()
}

func TestCancel_NobodyWatchesAStatementThatIsQuick(t *testing.T) {
	n := &network{}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		a, l := &asked{Context: ctx}, acquire(t, p)
		for range 100 {
			if err := runWith(a, l, "anything"); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Second)
		if times := a.times.Load(); times != 0 {
			t.Errorf("their context was asked for its end %d times", times)
		}
		if err := runWith(a, l, "sleep 1s"); err != nil {
			t.Error(err)
		}
		if a.times.Load() == 0 {
			t.Error("nobody watches a statement that runs for a second")
		}
		giveBack(l)
	})
}
