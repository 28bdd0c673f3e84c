package pool

import (
	"errors"
	"sync"
	"time"
)

// errDemoted is why a connection is of no use that could write once.
var errDemoted = errors.New("db: the server has become read-only for this session")

// Invalidate gives up every connection that is open or being opened now: idle ones are
// closed before it returns, leased ones when they come back, whatever their age. Who
// holds one is not disturbed. A database that lives in its connection is left alone.
func (p *Pool) Invalidate() {
	if p.traits.Single {
		return
	}
	p.mu.Lock()
	p.generation++
	for c := range p.conns {
		c.stale.Store(true)
	}
	idle := p.idle
	p.idle = nil
	p.closing += len(idle)
	p.mu.Unlock()
	var all sync.WaitGroup
	for _, c := range idle {
		all.Go(func() { p.discard(c, closed("invalidated")) })
	}
	all.Wait()
}

// current is the generation of connections that are opened from now on.
func (p *Pool) current() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.generation
}

// outdated is why a connection that works is to be closed all the same, or keep.
func (c *conn) outdated(now time.Time) fate {
	switch {
	case c.stale.Load():
		return closed("invalidated")
	case c.obsolete.Load() || c.expired(now):
		return closed("age")
	}
	return keep
}

// recheck asks every connection whether it still serves: the idle ones now, all at
// once, the leased ones when they come back. Something has happened to one of them
// that has probably happened to the others.
func (p *Pool) recheck() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.suspect.Store(true)
	}
	idle := p.idle
	p.idle = nil
	p.inUse += len(idle) // which keeps Close waiting for them
	for _, c := range idle {
		p.background.Go(func() {
			f := keep
			if c.stillServes(healthLimit) != nil {
				p.count(func(s *Stats) { s.Dead++ })
				f = closed("dead")
			}
			p.giveBack(c, f, true)
		})
	}
}

// stillServes makes a round trip and looks at what the server says of itself.
func (c *conn) stillServes(limit time.Duration) error {
	c.suspect.Store(false)
	if err := c.ping(limit); err != nil {
		return err
	}
	if c.pool.cfg.Driver.Demoted(c.inner) {
		return errDemoted
	}
	return nil
}
