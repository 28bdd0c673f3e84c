package pool

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// waiter is one caller in the queue.
type waiter struct {
	claim  Claim
	since  time.Time  // when it came
	ready  chan *conn // buffered: handing over never blocks
	failed chan error // buffered likewise
	at     *list.Element
}

func (w *waiter) fail(err error) {
	w.at = nil
	w.failed <- err
}

// Acquire leases a connection: an idle one, or whatever comes first, one that is
// given back or a new one. Callers are served in the order of their coming. It
// returns an *[AcquireError], or [ErrClosed].
func (p *Pool) Acquire(ctx context.Context, claim Claim) (*Lease, error) {
	began := time.Now()
	if claim.Trace != nil {
		claim.Trace.Asks(Asked{Alias: p.cfg.Alias, Time: began, At: claim.Place})
	}
	l, err := p.acquire(ctx, &claim, began)
	if err != nil && claim.Trace != nil {
		claim.Trace.Acquires(Acquired{Alias: p.cfg.Alias, Time: time.Now(), Err: err})
	}
	return l, err
}

func (p *Pool) acquire(ctx context.Context, claim *Claim, began time.Time) (*Lease, error) {
	deadline := began.Add(p.cfg.AcquireTimeout)
	var timer *time.Timer
	defer func() {
		if timer != nil {
			timer.Stop()
		}
	}()
	now := began
	var dead error // what the last idle connection died of
	// A caller whose connection was unfit is first again.
	for again := false; ; again = true {
		if again {
			now = time.Now()
		}
		switch {
		case ctx.Err() != nil:
			return nil, p.refuse(&kindError{GaveUp, contextError(ctx)}, began)
		case dead != nil && !now.Before(deadline):
			return nil, p.refuse(&kindError{Unreachable, fmt.Errorf("the idle connections were dead, the last: %w", dead)}, began)
		}
		c, w, err := p.take(claim, began, again)
		if err == nil && c == nil {
			if timer == nil {
				timer = time.NewTimer(time.Until(deadline))
			}
			queued := time.Now()
			c, err = p.wait(ctx, w, timer)
			now = time.Now()
			p.count(func(s *Stats) { s.Waited++; s.WaitDuration += now.Sub(queued) })
		}
		if err != nil {
			return nil, p.refuse(err, began)
		}
		switch old, err := p.fit(ctx, c, claim, now, deadline); {
		case old != keep:
			p.giveBack(c, old, false)
		case err == errLeft: //nolint:errorlint // our own, never wrapped
			return nil, p.refuse(&kindError{GaveUp, contextError(ctx)}, began)
		case err != nil:
			dead = err
			p.count(func(s *Stats) { s.Dead++ })
			p.giveBack(c, closed("dead"), false)
		default:
			return p.lease(c, claim, now)
		}
	}
}

func (p *Pool) lease(c *conn, claim *Claim, now time.Time) (*Lease, error) {
	c.proven = false
	l := &Lease{conn: c, owner: claim.Owner, place: claim.Place, brief: claim.Brief, observer: claim.Observer, blocks: claim.Blocks, waits: claim.Waits, asker: claim.Context, since: now}
	if c.verifiedAt.After(now) { // the server was asked meanwhile
		l.since = c.verifiedAt
	}
	l.touched = l.since.Sub(p.born)
	if claim.Trace != nil {
		l.tell(claim.Trace)
	}
	l.begin()
	p.mu.Lock()
	p.stats.Leases++
	p.watchLocked(l.since, p.patience())
	late := p.cutting // Close did not see this lease
	p.mu.Unlock()
	if late {
		l.Release("closed", claim.Place, true)
		return nil, ErrClosed
	}
	return l, nil
}

// take returns an idle connection, or queues.
func (p *Pool) take(claim *Claim, since time.Time, again bool) (*conn, *waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, ErrClosed
	}
	if again || p.waiters.Len() <= p.connecting { // those who wait have theirs coming
		if c := p.popIdleLocked(claim); c != nil {
			p.inUse++
			return c, nil, nil
		}
	}
	if p.cfg.MaxWaiting > 0 && p.inUse+p.waiters.Len() >= p.cfg.Max+p.cfg.MaxWaiting && !again {
		return nil, nil, &kindError{kind: QueueFull}
	}
	w := &waiter{claim: *claim, since: since, ready: make(chan *conn, 1), failed: make(chan error, 1)}
	if again {
		w.at = p.waiters.PushFront(w)
	} else {
		w.at = p.waiters.PushBack(w)
	}
	p.growLocked()
	if stuck := p.stuckLocked(w); stuck != nil {
		p.removeLocked(w)
		return nil, nil, stuck
	}
	return nil, w, nil
}

// suits reports whether c may serve the claim: with MaxAge 0 a connection serves
// one scope, and the brief leases of others.
func (p *Pool) suits(c *conn, claim *Claim) bool {
	return p.cfg.MaxAge != 0 || claim.Brief || c.opener == nil || c.opener == claim.Owner
}

func (p *Pool) popIdleLocked(claim *Claim) *conn {
	for i := len(p.idle) - 1; i >= 0; i-- {
		if c := p.idle[i]; p.suits(c, claim) {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			return c
		}
	}
	return nil
}

// popWaiterLocked returns who is served with c: the first whom it suits, but nobody
// behind one whom it does not suit and for whom nothing is being opened. For that
// one it makes room.
func (p *Pool) popWaiterLocked(c *conn) *waiter {
	coming := p.connecting
	for e := p.waiters.Front(); e != nil; e = e.Next() {
		if w := e.Value.(*waiter); p.suits(c, &w.claim) {
			p.waiters.Remove(e)
			w.at = nil
			return w
		}
		if coming--; coming < 0 {
			return nil
		}
	}
	return nil
}

type kindError struct {
	kind Kind
	err  error
}

func (e *kindError) Error() string { return fmt.Sprint(e.kind, " ", e.err) }
func (e *kindError) Unwrap() error { return e.err }

// wait returns the connection that w is handed.
func (p *Pool) wait(ctx context.Context, w *waiter, timer *time.Timer) (*conn, error) {
	var again <-chan time.Time
	if w.claim.Waits != nil {
		ticker := time.NewTicker(stuckAgain)
		defer ticker.Stop()
		again = ticker.C
	}
	var reason *kindError
	if len(p.peers) > 1 && w.claim.Waits != nil { // take has looked at this pool alone
		if stuck := p.giveUp(w); stuck != nil {
			return nil, stuck
		}
	}
	for reason == nil {
		select {
		case c := <-w.ready:
			return c, nil
		case err := <-w.failed:
			return nil, err
		case <-again:
			if stuck := p.giveUp(w); stuck != nil {
				return nil, stuck
			}
		case <-ctx.Done():
			reason = &kindError{GaveUp, contextError(ctx)}
		case <-timer.C:
			reason = &kindError{kind: Exhausted}
		}
	}
	p.mu.Lock()
	if w.at != nil {
		p.removeLocked(w)
	}
	p.explainLocked(reason)
	p.mu.Unlock()
	select {
	case c := <-w.ready: // handed over in the same moment: the next one gets it
		p.handOn(c)
	default:
	}
	return nil, reason
}

// handOn takes back a connection whose taker has given up.
func (p *Pool) handOn(c *conn) {
	p.mu.Lock()
	p.inUse--
	if c.last == nil {
		c.opener = nil // it has served nobody yet
	}
	if !p.closed {
		p.offerLocked(c, time.Now())
		p.mu.Unlock()
		return
	}
	p.closing++
	p.mu.Unlock()
	p.discard(c, closed("closed"))
}

var errConnecting = errors.New("connecting has not ended yet")

// explainLocked adds what went wrong with connecting meanwhile.
func (p *Pool) explainLocked(k *kindError) {
	f := p.failure
	switch {
	case f.err != nil:
		err := fmt.Errorf("%d attempts in %s, the last: %w", f.attempts, time.Since(f.since).Round(time.Millisecond), f.err)
		if k.kind == Exhausted {
			k.kind, k.err = Unreachable, err
		} else {
			k.err = fmt.Errorf("%w; %w", k.err, err)
		}
	case k.kind == Exhausted && p.connecting > 0 && len(p.conns) == 0:
		k.kind, k.err = Unreachable, errConnecting
	}
}

// refuse makes the error of an acquire that failed.
func (p *Pool) refuse(err error, began time.Time) error {
	k, ok := err.(*kindError) //nolint:errorlint // our own, never wrapped
	if !ok {
		return err
	}
	e := &AcquireError{Alias: p.cfg.Alias, Kind: k.kind, Waited: time.Since(began), Err: k.err}
	p.count(func(s *Stats) {
		s.Refused++
		switch k.kind {
		case Exhausted:
			s.Exhausted++
		case QueueFull:
			s.QueueFull++
		}
	})
	e.Stats = p.Stats()
	e.Holders = slices.DeleteFunc(p.Holders(), func(h Holder) bool { return h.Dedicated })
	if len(e.Holders) > 5 {
		e.Holders = e.Holders[:5]
	}
	return e
}

// fit checks a connection before its first statement: its age, then a look at its
// socket, then a ping where the settings want one, within what is left of the
// acquire timeout. One that nobody has used since the server last answered a
// check, a new one above all, is fit for a second.
func (p *Pool) fit(ctx context.Context, c *conn, claim *Claim, now, deadline time.Time) (old fate, dead error) {
	checked := now.Sub(c.verifiedAt) < parkLimit
	if old := c.outdated(now); old != keep {
		return old, nil
	}
	suspect := c.suspect.Load()
	if c.proven && checked && !suspect {
		return keep, nil
	}
	if err := p.cfg.Driver.Peek(c.inner); err != nil {
		return keep, err
	}
	same := claim.Brief && c.last != nil && c.last.owner == claim.Owner
	if !suspect && (!p.cfg.HealthChecks || same && checked) { // once per scope, and after a second
		return keep, nil
	}
	return keep, p.check(ctx, c, min(max(time.Until(deadline), healthLimit/4), healthLimit))
}

// errLeft is the answer to a caller who has left while his connection was checked.
var errLeft = errors.New("db: the caller has left")

// check asks the server. The caller may leave meanwhile: the check goes on, and whoever
// is next gets the connection that passes it.
func (p *Pool) check(ctx context.Context, c *conn, limit time.Duration) error {
	if ctx.Done() == nil {
		return p.ask(c, limit)
	}
	answer := make(chan error, 1)
	var settled atomic.Bool // by whoever comes first: the answer, or the caller who leaves
	p.background.Go(func() {
		err := p.ask(c, limit)
		switch {
		case !settled.Swap(true):
			answer <- err
		case err != nil:
			p.count(func(s *Stats) { s.Dead++ })
			p.giveBack(c, closed("dead"), false)
		default:
			p.handOn(c)
		}
	})
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
	}
	if settled.Swap(true) {
		return <-answer
	}
	return errLeft
}

func (p *Pool) ask(c *conn, limit time.Duration) error {
	err := c.stillServes(limit)
	if err != nil {
		p.recheck() // whoever comes next need not wait for each of them in turn
	}
	return err
}
