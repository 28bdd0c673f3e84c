package pool

import (
	"fmt"
	"time"
)

// ErrHoldLimit reports the use of a connection that was cut off because its holder
// had kept it for longer than HOLD_LIMIT. It unwraps to ErrReleased.
var ErrHoldLimit = fmt.Errorf("db: held for longer than HOLD_LIMIT: %w", ErrReleased)

// holdLimit is the reason for releasing such a lease.
const holdLimit = "HOLD_LIMIT"

// soonest is the shortest time between two looks at the holders.
const soonest = time.Millisecond

// watchLocked sees to it that somebody looks at the holders when the first of them may
// be late: one timer for all of them, and none while nobody holds.
func (p *Pool) watchLocked(now time.Time, due time.Duration) {
	if p.closed || due <= 0 {
		return
	}
	at := now.Add(due)
	if p.watcher != nil {
		if !at.Before(p.watchAt) || !p.watcher.Stop() {
			return // it comes soon enough, or now
		}
		p.background.Done()
	}
	p.watchAt = at
	p.background.Add(1)
	p.watcher = time.AfterFunc(due, func() {
		defer p.background.Done()
		p.watchHolders()
	})
}

// patience is how long a new lease may be left alone; 0 is for ever.
func (p *Pool) patience() time.Duration {
	return sooner(max(p.cfg.HoldIdleWarn, 0), p.cfg.HoldLimit)
}

// sooner is the shorter of two times, of which 0 is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// watchHolders logs those who have held idle for too long, once each, and cuts off
// those who have held for too long.
func (p *Pool) watchHolders() {
	var idle, over []Holder
	var cut []*Lease
	var next time.Duration
	now := time.Now()
	p.mu.Lock()
	p.watcher = nil
	for c := range p.conns {
		c.mu.Lock()
		if l := c.lease; l != nil && l.owner != nil {
			h := l.holderLocked()
			switch left := p.cfg.HoldLimit - h.Held; {
			case p.cfg.HoldLimit <= 0:
			case left <= 0:
				over, cut = append(over, h), append(cut, l)
			default:
				next = sooner(next, max(left, soonest))
			}
			if warn := p.cfg.HoldIdleWarn; warn > 0 && !l.warned && !l.owner.Kept() {
				if left := warn - h.Idle; left > 0 {
					next = sooner(next, max(left, soonest))
				} else {
					l.warned = true
					idle = append(idle, h)
				}
			}
		}
		c.mu.Unlock()
	}
	p.watchLocked(now, next)
	p.mu.Unlock()
	for _, h := range idle {
		p.cfg.Logger.Warn("db: a connection is held idle; give it back with db.Release before waiting for something else", h.attrs()...)
	}
	for i, l := range cut {
		p.cfg.Logger.Error("db: a connection was held for longer than HOLD_LIMIT and is taken away", over[i].attrs()...)
		p.background.Go(func() { l.Release(holdLimit, Place{}, false) })
	}
}

func (h Holder) attrs() []any {
	return []any{
		"alias", h.Alias, "holder", h.Name, "held", h.Held.Round(time.Millisecond), "idle", h.Idle.Round(time.Millisecond),
		"transaction", h.InAtomicBlock, "last", h.LastStatement, "at", h.At,
	}
}
