package pool

import (
	"container/list"
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// waiter is one caller in the queue.
type waiter struct {
	claim  *Claim
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
	var timer *time.Timer
	defer func() {
		if timer != nil {
			timer.Stop()
		}
	}()
	again := false // a caller whose connection was dead is first again
	for {
		c, w, err := p.take(&claim, again)
		if err == nil && c == nil {
			if timer == nil {
				timer = time.NewTimer(p.cfg.AcquireTimeout - time.Since(began))
			}
			c, err = p.wait(ctx, w, timer)
			p.count(func(s *Stats) { s.Waited++; s.WaitDuration += time.Since(began) })
		}
		if err != nil {
			return nil, p.refuse(err, began)
		}
		if p.fit(c, &claim) {
			return p.lease(c, &claim), nil
		}
		p.count(func(s *Stats) { s.Dead++ })
		p.giveBack(c, closed("dead"), false)
		again = true
	}
}

func (p *Pool) lease(c *conn, claim *Claim) *Lease {
	l := &Lease{conn: c, owner: claim.Owner, place: claim.Place, brief: claim.Brief, observer: claim.Observer, since: time.Now()}
	l.begin(claim.Watch)
	return l
}

// take returns an idle connection, or queues.
func (p *Pool) take(claim *Claim, again bool) (*conn, *waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, ErrClosed
	}
	if again || p.waiters.Len() == 0 {
		if c := p.popIdleLocked(claim); c != nil {
			p.inUse++
			p.stats.Leases++
			return c, nil, nil
		}
	}
	if p.cfg.MaxWaiting > 0 && p.waiters.Len() >= p.cfg.MaxWaiting && !again {
		return nil, nil, &kindError{kind: QueueFull}
	}
	w := &waiter{claim: claim, ready: make(chan *conn, 1), failed: make(chan error, 1)}
	if again {
		w.at = p.waiters.PushFront(w)
	} else {
		w.at = p.waiters.PushBack(w)
	}
	p.growLocked()
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

func (p *Pool) popWaiterLocked(c *conn) *waiter {
	for e := p.waiters.Front(); e != nil; e = e.Next() {
		if w := e.Value.(*waiter); p.suits(c, w.claim) {
			p.waiters.Remove(e)
			w.at = nil
			p.stats.Leases++
			return w
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
	var reason error
	select {
	case c := <-w.ready:
		return c, nil
	case err := <-w.failed:
		return nil, err
	case <-ctx.Done():
		reason = &kindError{GaveUp, contextError(ctx)}
	case <-timer.C:
		reason = &kindError{kind: Exhausted}
	}
	p.mu.Lock()
	if w.at != nil {
		p.waiters.Remove(w.at)
		w.at = nil
	}
	if f := p.failure; f.err != nil && reason.(*kindError).kind == Exhausted {
		reason = &kindError{Unreachable, fmt.Errorf("%d attempts in %s, the last: %w", f.attempts, time.Since(f.since).Round(time.Millisecond), f.err)}
	}
	p.mu.Unlock()
	select {
	case c := <-w.ready: // handed over in the same moment: the next one gets it
		p.mu.Lock()
		p.inUse--
		p.stats.Leases--
		if p.closed {
			p.inUse++
			p.mu.Unlock()
			p.giveBack(c, closed("closed"), false)
			return nil, reason
		}
		p.offerLocked(c, time.Now())
		p.mu.Unlock()
	default:
	}
	return nil, reason
}

// refuse makes the error of an acquire that failed.
func (p *Pool) refuse(err error, began time.Time) error {
	k, ok := err.(*kindError) //nolint:errorlint // our own, never wrapped
	if !ok {
		return err
	}
	e := &AcquireError{Alias: p.cfg.Alias, Kind: k.kind, Waited: time.Since(began), Err: k.err}
	p.count(func(s *Stats) { s.Refused++ })
	e.Stats = p.Stats()
	e.Holders = p.Holders()
	if len(e.Holders) > 5 {
		e.Holders = e.Holders[:5]
	}
	return e
}

// fit checks a connection before its first statement: its age, then a look at its
// socket, then a ping where the settings want one. A fresh one is fit.
func (p *Pool) fit(c *conn, claim *Claim) bool {
	now := time.Now()
	fresh := c.last == nil && now.Sub(c.openedAt) < parkLimit
	switch {
	case fresh:
		return true
	case c.expired(now) || c.obsolete:
		return false
	case p.cfg.Driver.Peek(c.inner) != nil:
		return false
	case !p.cfg.HealthChecks:
		return true
	case claim.Brief && c.last.owner == claim.Owner && now.Sub(c.verifiedAt) < parkLimit:
		return true // once per scope, and after a second of idleness
	}
	p.pings.Add(1)
	if c.bounded(func(ctx context.Context) error { return p.cfg.Driver.Ping(ctx, c.inner) }) != nil {
		return false
	}
	c.verifiedAt = time.Now()
	return true
}

// growLocked starts what opens connections for those who wait. Connections that
// are kept are opened one at a time: meanwhile one that comes back may serve. With
// MaxAge 0 none comes back, so everybody's is opened at once.
func (p *Pool) growLocked() {
	want := 1
	if p.cfg.MaxAge == 0 {
		want = p.waiters.Len()
	}
	for !p.closed && p.connecting < want && p.connecting < p.waiters.Len() {
		var evict *conn
		if len(p.conns)+p.connecting >= p.cfg.Max {
			// Idle connections that suit nobody in the queue make room.
			if len(p.idle) == 0 {
				return
			}
			evict = p.idle[0]
			p.idle = append(p.idle[:0], p.idle[1:]...)
			delete(p.conns, evict)
			p.stats.Closed++
		}
		p.connecting++
		p.background.Add(1)
		go p.connect(evict)
	}
}

// connect opens one connection for the first waiter, retrying while somebody
// waits and the failure may pass.
func (p *Pool) connect(evict *conn) {
	defer p.background.Done()
	if evict != nil {
		p.closeConn(evict)
	}
	const longest = time.Second
	for backoff := 10 * time.Millisecond; ; backoff = min(2*backoff, longest) {
		c, err := p.open()
		p.mu.Lock()
		if err == nil {
			p.connecting--
			p.failure = failure{}
			p.conns[c] = struct{}{}
			p.stats.Opened++
			p.inUse++
			p.mu.Unlock()
			p.deliver(c)
			return
		}
		if p.failure.err == nil {
			p.failure.since = time.Now()
		}
		p.failure.err = err
		p.failure.attempts++
		final := !p.cfg.Driver.Transient(err)
		if p.closed || p.waiters.Len() == 0 || final {
			p.connecting--
			if final {
				p.failAllLocked(err)
			}
			p.failure = failure{}
			p.freedLocked()
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		timer := time.NewTimer(backoff/2 + rand.N(backoff/2))
		select {
		case <-timer.C:
		case <-p.ctx.Done():
			timer.Stop()
		}
	}
}

// failAllLocked tells everybody who waits that connecting is hopeless.
func (p *Pool) failAllLocked(err error) {
	for e := p.waiters.Front(); e != nil; e = p.waiters.Front() {
		p.waiters.Remove(e).(*waiter).fail(&kindError{Unreachable, err})
	}
}

// deliver gives a new connection to the first waiter.
func (p *Pool) deliver(c *conn) {
	now := time.Now()
	p.mu.Lock()
	p.inUse--
	if p.closed {
		p.inUse++
		p.mu.Unlock()
		p.giveBack(c, closed("closed"), false)
		return
	}
	if e := p.waiters.Front(); e != nil {
		c.opener = e.Value.(*waiter).claim.Owner
	}
	p.offerLocked(c, now)
	p.growLocked()
	p.mu.Unlock()
}

func (p *Pool) open() (*conn, error) {
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.ConnectTimeout)
	defer cancel()
	began := time.Now()
	inner, err := p.cfg.Driver.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c, err := newConn(p, inner, time.Now())
	if err == nil {
		if err = p.setup(ctx, c); err != nil {
			p.closeConn(c)
		}
	} else if cerr := p.cfg.Driver.Close(inner); cerr != nil {
		err = fmt.Errorf("%w; and closing it: %w", err, cerr)
	}
	if err != nil {
		return nil, err
	}
	if p.cfg.Setup != nil {
		c.last = nil // fresh all the same
	}
	if p.cfg.Created != nil {
		p.cfg.Created(time.Since(began))
	}
	return c, nil
}
