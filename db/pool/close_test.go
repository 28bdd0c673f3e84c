package pool_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

func TestClose_WithEverythingInFlight(t *testing.T) {
	n := &network{dialling: 10 * time.Millisecond, farewell: time.Millisecond}
	bubble(t, n, func(c *pool.Config) { c.Max, c.HealthChecks = 4, true }, func(t *testing.T, p *pool.Pool) {
		fill(t, p, 2)
		idle, holder := acquire(t, p), acquire(t, p, of(&owner{"/holder"}))
		giveBack(idle)
		n.ping = func(context.Context) error { time.Sleep(100 * time.Millisecond); return nil }
		var all sync.WaitGroup
		ended := make(chan error, 10)
		for range 10 { // one checks, one connects, the others wait
			all.Go(func() {
				l, err := tryAcquire(context.Background(), p)
				if err == nil {
					time.Sleep(time.Minute)
					giveBack(l)
				}
				ended <- err
			})
		}
		all.Go(func() { _ = run(holder, "hang") })
		time.Sleep(time.Millisecond)

		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		err := p.Close(ctx)
		expectError(t, "Close", err, context.DeadlineExceeded)
		if err == nil || !strings.Contains(err.Error(), "/holder") || !strings.Contains(err.Error(), "pool/fake_test.go:") {
			t.Errorf("Close does not name the holder: %v", err)
		}
		if took := time.Since(began); took > 400*time.Millisecond {
			t.Errorf("Close took %s", took)
		}
		expect(t, "open", p.Stats().Open, 0)
		expect(t, "live", n.of(&n.live), 0)
		expect(t, "in use", p.Stats().InUse, 0)
		for range 10 {
			expectError(t, "one who waited", <-ended, pool.ErrClosed)
		}
		all.Wait()
		giveBack(holder)
	})
}

func TestClose_WaitsForHoldersThatGiveBackInTime(t *testing.T) {
	n := &network{}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		var all sync.WaitGroup
		began := time.Now()
		for range 2 { // at the same time
			all.Go(func() {
				if err := p.Close(context.Background()); err != nil {
					t.Error(err)
				}
				expectTook(t, "Close", began, time.Second)
				expect(t, "live", n.of(&n.live), 0)
			})
		}
		synctest.Wait()
		if err := run(l, "sleep 1s"); err != nil {
			t.Errorf("a statement meanwhile: %v", err)
		}
		giveBack(l)
		all.Wait()
		_, err := tryAcquire(context.Background(), p)
		expectError(t, "an acquire after Close", err, pool.ErrClosed)
	})
}

func TestClose_StopsWhatIsBeingOpened(t *testing.T) {
	n := &network{dialling: time.Hour}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		ended := make(chan error, 1)
		go func() { _, err := tryAcquire(context.Background(), p); ended <- err }()
		synctest.Wait()
		began := time.Now()
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
		expectTook(t, "Close", began, 0)
		expectError(t, "one who waited", <-ended, pool.ErrClosed)
	})
}

func TestClose_ClosesTheOnlyConnectionOfADatabaseInMemory(t *testing.T) {
	n := &network{traits: pool.Traits{Single: true}}
	bubble(t, n, func(c *pool.Config) { c.MaxAge = 0 }, func(t *testing.T, p *pool.Pool) {
		for range 3 {
			fill(t, p, 1)
			time.Sleep(time.Hour)
		}
		expect(t, "opened", n.of(&n.dials), 1)
	})
}

func TestHolders_CountTheTimeInTheDatabaseAsNoIdling(t *testing.T) {
	n := &network{}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p, of(&owner{"/report"}))
		time.Sleep(time.Second)
		if err := run(l, "sleep 2s"); err != nil {
			t.Error(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- run(l, "sleep 10s") }()
		time.Sleep(4 * time.Second)
		holders := p.Holders()
		if len(holders) != 1 {
			t.Fatalf("%v, want one", holders)
		}
		h := holders[0]
		expect(t, "held", h.Held, 7*time.Second)
		expect(t, "idle", h.Idle, time.Second)
		expect(t, "last statement", h.LastStatement, "sleep ?")
		expect(t, "open", h.Open, true)
		expect(t, "queries", h.Queries, 2)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if h, ok := l.Holder(); !ok || h.Name != "/report" {
			t.Errorf("the lease says %v", h)
		}
		giveBack(l)
		if _, ok := l.Holder(); ok {
			t.Error("an ended lease has a holder")
		}
	})
}

func TestBusy_AStatementBehindOpenRowsWaitsExactlyASecond(t *testing.T) {
	n := &network{}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		rows := rowsOf(t, l, "rows of somebody")
		began := time.Now()
		err := run(l, "anything")
		expectTook(t, "the refusal", began, time.Second)
		busy, ok := errors.AsType[*pool.BusyError](err)
		if !ok {
			t.Fatalf("%v, want a BusyError", err)
		}
		expect(t, "the query", busy.Query, "rows of somebody")

		ended := make(chan error, 1)
		go func() { ended <- run(l, "anything") }()
		time.Sleep(500 * time.Millisecond)
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("one whose rows were closed in time: %v", err)
		}
		giveBack(l)
	})
}

// Rows that have only just been opened by a third one get their own second.
func TestBusy_AStatementThatRunsIsWaitedForHoweverLong(t *testing.T) {
	n := &network{}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		ended := make(chan error, 1)
		go func() { ended <- run(l, "sleep 1h") }()
		synctest.Wait()
		began := time.Now()
		if err := run(l, "anything"); err != nil {
			t.Error(err)
		}
		expectTook(t, "the wait", began, time.Hour)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		giveBack(l)
	})
}
