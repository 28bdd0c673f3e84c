package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// rowsOf leaves rows open on the lease.
func rowsOf(t *testing.T, l *pool.Lease, query string) *sql.Rows {
	t.Helper()
	rows, err := l.QueryContext(l.Statement(context.Background(), pool.Here(1), nil), query)
	if err != nil {
		t.Fatal(err)
	}
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	return rows
}

func TestRelease_RowsThatCloseAtOnceCostNothing(t *testing.T) {
	n := &network{}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		rows := rowsOf(t, l, "rows")
		began := time.Now()
		giveBack(l)
		expectTook(t, "the release", began, 0)
		if rows.Next() {
			t.Error("released rows go on")
		}
		expectError(t, "the rows", rows.Err(), pool.ErrReleased)
		expect(t, "leaked", p.Stats().Leaked, 1)
		expect(t, "cancels", n.of(&n.cancels), 0)
		expect(t, "idle", p.Stats().Idle, 1)
	})
}

func TestRelease_RowsThatReadOnAreCancelledAfter20Milliseconds(t *testing.T) {
	n := &network{}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		rowsOf(t, l, "rows slow")
		began := time.Now()
		giveBack(l)
		expectTook(t, "the release", began, 20*time.Millisecond)
		expect(t, "cancels", n.of(&n.cancels), 1)
		expect(t, "idle", p.Stats().Idle, 1)
	})
}

func TestRelease_WhatDoesNotEndIsCutOffAfter250Milliseconds(t *testing.T) {
	for _, query := range []string{"rows deaf", "deaf"} {
		t.Run(query, func(t *testing.T) {
			n := &network{}
			bubble(t, n, func(c *pool.Config) { c.Max = 1 }, func(t *testing.T, p *pool.Pool) {
				l := acquire(t, p)
				ended := make(chan error, 1)
				if query == "deaf" {
					go func() { ended <- run(l, "deaf") }()
				} else {
					rowsOf(t, l, query)
					ended <- pool.ErrReleased
				}
				synctest.Wait()
				began := time.Now()
				giveBack(l)
				expectTook(t, "the release", began, 250*time.Millisecond)
				expectError(t, "the statement", <-ended, pool.ErrReleased)
				expect(t, "quarantined", p.Stats().Quarantined, 1)
				expect(t, "cut", n.of(&n.killed), 1)
				expect(t, "open: the permit is free", p.Stats().Open, 0)
				if err := use(p, "anything"); err != nil {
					t.Error(err)
				}
				expectTook(t, "the release and the next lease", began, 250*time.Millisecond)
			})
		})
	}
}

func TestRelease_AStatementThatRunsIsCancelledAtOnce(t *testing.T) {
	n := &network{}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		ended := make(chan error)
		go func() { ended <- run(l, "hang") }()
		synctest.Wait()
		began := time.Now()
		go giveBack(l)
		expectError(t, "the statement", <-ended, pool.ErrReleased)
		synctest.Wait()
		expectTook(t, "the release", began, 0)
		expect(t, "idle", p.Stats().Idle, 1)
	})
}

// A request to cancel that is still under way could hit whatever comes next.
func TestRelease_WaitsUntilTheCancelOfItsStatementIsThrough(t *testing.T) {
	n := &network{linger: 100 * time.Millisecond}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		ended := make(chan error, 1)
		go func() { ended <- run(l, "hang") }()
		synctest.Wait()
		began := time.Now()
		n.ping = func(context.Context) error {
			expectTook(t, "the request until the check", began, 100*time.Millisecond)
			return nil
		}
		giveBack(l)
		expectTook(t, "the release", began, 100*time.Millisecond)
		expectError(t, "the statement", <-ended, pool.ErrReleased)
		expect(t, "checks", n.of(&n.pings), 1)
		expect(t, "idle", p.Stats().Idle, 1)
	})
}

// Who is told of a lost connection must be the one that lost it.
func TestRelease_AConnectionLostMeanwhileServesNobodyElse(t *testing.T) {
	n := &network{}
	bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
		for range 200 {
			l := acquire(t, p)
			ended := make(chan error)
			go func() { ended <- run(l, "sleep 1ms") }()
			time.Sleep(time.Millisecond)
			giveBack(l)
			<-ended
			if err := use(p, "anything"); err != nil {
				t.Fatalf("the next holder: %v", err)
			}
		}
	})
}

func TestRelease_TwiceIsOnce(t *testing.T) {
	n := &network{}
	var reports []pool.Report
	holder := &owner{"/twice"}
	bubble(t, n, func(c *pool.Config) { c.Released = func(r pool.Report) { reports = append(reports, r) } }, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p, of(holder))
		time.Sleep(time.Second)
		if err := run(l, "sleep 2s"); err != nil {
			t.Error(err)
		}
		l.Release("first", pool.Here(0), false)
		l.Release("second", pool.Here(0), true)
		expect(t, "idle", p.Stats().Idle, 1)
		expect(t, "in use", p.Stats().InUse, 0)
		if len(reports) != 1 {
			t.Fatalf("%d reports, want one", len(reports))
		}
		expect(t, "the report", reports[0], pool.Report{
			Alias: "default", Holder: "/twice", Reason: "first", Held: 3 * time.Second, Idle: time.Second, Queries: 1, Kept: true, Owner: holder,
		})
	})
}

func TestRelease_WithDropClosesTheConnectionUnlessItIsTheOnlyOne(t *testing.T) {
	for name, single := range map[string]bool{"one of many": false, "the only one": true} {
		t.Run(name, func(t *testing.T) {
			n := &network{traits: pool.Traits{Single: single}}
			bubble(t, n, nil, func(t *testing.T, p *pool.Pool) {
				l := acquire(t, p)
				l.Release("closed", pool.Here(0), true)
				expect(t, "open", p.Stats().Open == 1, single)
			})
		})
	}
}

func TestRelease_ResetsADirtySessionAndSetsItUpAgain(t *testing.T) {
	n := &network{}
	setups := 0
	bubble(t, n, func(c *pool.Config) {
		c.Setup = func(ctx context.Context, s pool.Session) error {
			setups++
			_, err := s.ExecContext(ctx, "prepare the session")
			return err
		}
	}, func(t *testing.T, p *pool.Pool) {
		for _, query := range []string{"anything", "set something", "anything"} {
			if err := use(p, query); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, "resets", n.of(&n.resets), 1)
		expect(t, "set-ups", setups, 2)
		expect(t, "sent", strings.Join(n.sent, ", "), "prepare the session, anything, set something, prepare the session, anything")
		expect(t, "leases", p.Stats().Leases, 3)
	})
}

func TestRelease_ASessionThatCannotBeSetUpAgainIsClosed(t *testing.T) {
	n := &network{}
	var failure error
	bubble(t, n, func(c *pool.Config) {
		c.Setup = func(context.Context, pool.Session) error { return failure }
	}, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		if err := run(l, "set something"); err != nil {
			t.Error(err)
		}
		failure = errFailed
		giveBack(l)
		expect(t, "open", p.Stats().Open, 0)
		_, err := tryAcquire(context.Background(), p)
		expectError(t, "the next acquire", err, errFailed)
		expect(t, "live", n.of(&n.live), 0)
	})
}

// What is meant here is the order of locks and channels: the race detector and the
// bubble's deadlock detector judge.
func TestRelease_AtAnyMomentOfAStatement(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.Max, c.AcquireTimeout = 2, time.Hour }, func(t *testing.T, p *pool.Pool) {
		var all sync.WaitGroup
		for i := range 300 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%7)*time.Millisecond)
				defer cancel()
				l, err := tryAcquire(context.Background(), p)
				if err != nil {
					t.Error(err)
					return
				}
				var others sync.WaitGroup
				for j := range 3 {
					others.Go(func() {
						query := []string{"sleep 3ms", "rows slow", "hang"}[(i+j)%3]
						rows, err := l.QueryContext(l.Statement(ctx, pool.Here(0), nil), query)
						if err == nil && i%2 == 0 {
							_ = rows.Close()
						}
					})
				}
				time.Sleep(time.Duration(i%5) * time.Millisecond)
				giveBack(l)
				others.Wait()
			})
		}
		all.Wait()
		synctest.Wait()
		expect(t, "in use", p.Stats().InUse, 0)
		if err := use(p, "anything"); err != nil {
			t.Error(err)
		}
	})
}

func TestLease_AStatementOfAnEndedLeaseIsRefused(t *testing.T) {
	n := &network{}
	bubble(t, n, func(c *pool.Config) { c.Max = 1 }, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		giveBack(l)
		next := acquire(t, p)
		err := run(l, "anything")
		released, ok := errors.AsType[*pool.ReleasedError](err)
		if !ok {
			t.Fatalf("%v, want a ReleasedError", err)
		}
		expectError(t, "it", err, sql.ErrConnDone)
		expect(t, "reason", released.Reason, "done")
		for what, place := range map[string]string{"opened": released.Opened, "released": released.Released} {
			if !strings.HasPrefix(place, "pool/") || !strings.Contains(place, "_test.go:") {
				t.Errorf("%s at %q", what, place)
			}
		}
		expect(t, "sent", len(n.sent), 0)
		giveBack(next)
	})
}
