package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// growLocked starts what opens connections for those who wait. Connections that
// are kept are opened one at a time: meanwhile one that comes back may serve. With
// MaxAge 0 none comes back, so everybody's is opened at once, unless connecting has
// failed: then one tries for all.
func (p *Pool) growLocked() {
	want := 1
	if p.cfg.MaxAge == 0 && p.failure.err == nil {
		want = p.waiters.Len()
	}
	for !p.closed && p.connecting < want && p.connecting < p.waiters.Len() {
		if len(p.conns)+p.connecting+p.cutLoose >= 2*p.cfg.Max {
			return // those whose end nobody has waited for count once they are many
		}
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
		p.tellClosing(closed("room for another"))
		p.closeConn(evict)
	}
	for backoff := shortestBackoff; ; backoff = min(2*backoff, longestBackoff) {
		generation := p.current()
		c, err := p.open(p.ctx)
		if err == nil {
			p.deliver(c, generation)
			return
		}
		if p.failed(err) {
			return
		}
		timer := time.NewTimer(backoff - rand.N(backoff/4))
		select {
		case <-timer.C:
		case <-p.ctx.Done():
			timer.Stop()
		}
		if p.unwanted() {
			return
		}
	}
}

// unwanted reports whether nobody waits any more for what is being opened.
func (p *Pool) unwanted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed && p.waiters.Len() > 0 {
		return false
	}
	p.stopConnectingLocked()
	return true
}

func (p *Pool) stopConnectingLocked() {
	p.connecting--
	if p.connecting == 0 {
		p.failure = failure{}
	}
	p.freedLocked()
}

// failed notes that connecting has failed, and reports whether to leave it at that.
func (p *Pool) failed(err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure.err == nil {
		p.failure.since = time.Now()
	}
	p.failure.err = err
	p.failure.attempts++
	// While other connections live, those who wait may still be served by them.
	if !p.passes(err) && len(p.conns) == 0 {
		for e := p.waiters.Front(); e != nil; e = p.waiters.Front() {
			p.waiters.Remove(e).(*waiter).fail(&kindError{Unreachable, err})
		}
	}
	if !p.closed && p.waiters.Len() > 0 && p.connecting == 1 {
		return false // others leave it to this one
	}
	p.stopConnectingLocked()
	return true
}

// errTimeout is a connect that has taken longer than CONNECT_TIMEOUT.
var errTimeout = errors.New("db: connecting has taken longer than CONNECT_TIMEOUT")

// passes reports whether another attempt may succeed. A network that was silent for
// CONNECT_TIMEOUT may speak again, and those who wait have patience of their own.
func (p *Pool) passes(err error) bool {
	return errors.Is(err, errTimeout) || p.cfg.Driver.Transient(err)
}

// deliver gives a new connection to the first waiter.
func (p *Pool) deliver(c *conn, generation int) {
	p.mu.Lock()
	c.stale.Store(generation != p.generation)
	p.connecting--
	p.failure = failure{}
	p.conns[c] = struct{}{}
	p.stats.Opened++
	if p.closed {
		p.closing++
		p.mu.Unlock()
		p.discard(c, closed("closed"))
		return
	}
	defer p.mu.Unlock()
	if e := p.waiters.Front(); e != nil {
		c.opener = e.Value.(*waiter).claim.Owner
	}
	p.offerLocked(c, time.Now())
	p.growLocked()
}

func (p *Pool) open(parent context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(parent, p.cfg.ConnectTimeout)
	defer cancel()
	began := time.Now()
	inner, err := p.cfg.Driver.Connect(ctx)
	switch {
	case err != nil && ctx.Err() != nil && parent.Err() == nil:
		return nil, fmt.Errorf("%w, %s: %w", errTimeout, p.cfg.ConnectTimeout, err)
	case err != nil:
		return nil, err
	}
	c, err := newConn(p, inner, time.Now())
	if err != nil {
		if cerr := p.cfg.Driver.Close(inner); cerr != nil {
			err = fmt.Errorf("%w; and closing it: %w", err, cerr)
		}
		return nil, err
	}
	if err := p.setup(ctx, c); err != nil {
		p.closeConn(c)
		return nil, err
	}
	took := time.Since(began)
	p.cfg.Logger.Debug("db: opened a connection", "alias", p.cfg.Alias, "took", took.Round(time.Microsecond))
	if p.cfg.Created != nil {
		p.cfg.Created(took)
	}
	return c, nil
}
