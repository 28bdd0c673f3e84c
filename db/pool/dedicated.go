package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// ErrNoDedicated reports a database that has one connection only: SQLite's ":memory:".
var ErrNoDedicated = errors.New("db: this database lives in one connection; another one would find it empty")

// ErrNeedsSession reports what a pooler between here and the server cannot give.
var ErrNeedsSession = errors.New("db: this needs a session of its own")

// Dedicated opens a connection beside the pool: it takes no permit, stands in no
// queue, and is kept until its lease is given back with [Lease.CloseDedicated], or
// the pool is closed. It tries again while the failure may pass, within
// the acquire timeout and as long as ctx lives, which does not end the lease.
func (p *Pool) Dedicated(ctx context.Context, claim Claim) (*Lease, error) {
	switch {
	case p.traits.Single:
		return nil, ErrNoDedicated
	case p.traits.Pooled:
		return nil, fmt.Errorf("%w, which a pooler has not: take one of an alias that leads to the server itself", ErrNeedsSession)
	}
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, p.cfg.AcquireTimeout)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	c, err := p.openPatiently(limited)
	switch {
	case err != nil && p.ctx.Err() != nil:
		return nil, ErrClosed
	case err != nil && ctx.Err() != nil:
		return nil, p.refuse(&kindError{GaveUp, fmt.Errorf("%w; %w", contextError(ctx), err)}, began)
	case err != nil:
		return nil, p.refuse(&kindError{Unreachable, err}, began)
	}
	c.dedicated = true
	l := &Lease{conn: c, owner: claim.Owner, place: claim.Place, since: time.Now(), observer: claim.Observer}
	l.touched = p.clock()
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.dedicated[c] = struct{}{}
		p.stats.Opened++
	}
	p.mu.Unlock()
	if closed {
		p.closeConn(c)
		return nil, ErrClosed
	}
	l.begin()
	return l, nil
}

func (p *Pool) openPatiently(ctx context.Context) (*conn, error) {
	for backoff := shortestBackoff; ; backoff = min(2*backoff, longestBackoff) {
		c, err := p.open(ctx)
		if err == nil || !p.passes(err) {
			return c, err
		}
		timer := time.NewTimer(backoff - rand.N(backoff/4))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		}
	}
}

// CloseDedicated ends the lease of a dedicated connection and closes that. What runs
// on it loses its socket: that is how one ends that waits for notifications. It
// may be called twice.
func (l *Lease) CloseDedicated(reason string, place Place) {
	l.mu.Lock()
	if l.released {
		l.mu.Unlock()
		return
	}
	l.released, l.reason, l.releasedAt = true, reason, place
	l.mu.Unlock()
	c, p := l.conn, l.conn.pool
	c.cutOff(l)
	if c.gate.try() {
		p.closeConn(c)
		c.gate.give()
	} else {
		p.cfg.Driver.Kill(c.inner)
		go p.closeConn(c) // once the one that runs has left; nothing waits for it
	}
	p.endPrepared(l, false)
	p.tellClosing(closed("dedicated"))
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.dedicated, c)
	p.stats.Closed++
}

// closeDedicated closes all of them.
func (p *Pool) closeDedicated() {
	p.mu.Lock()
	var leases []*Lease
	for c := range p.dedicated {
		c.mu.Lock()
		if c.lease != nil {
			leases = append(leases, c.lease)
		}
		c.mu.Unlock()
	}
	p.mu.Unlock()
	for _, l := range leases {
		l.CloseDedicated("closed", Here(2))
	}
}
