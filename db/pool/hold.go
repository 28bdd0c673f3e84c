package pool

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
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

// watchHolders tells of those who have held idle for too long, and cuts off those who
// have held for too long.
func (p *Pool) watchHolders() {
	var idle, over []Holder
	var idlers, cut []*Lease
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
			if warn := p.cfg.HoldIdleWarn; warn > 0 && !l.warned && (h.Streaming || !h.Kept) {
				if left := warn - h.Idle; left > 0 {
					next = sooner(next, max(left, soonest))
				} else {
					l.warned = true
					idle, idlers = append(idle, h), append(idlers, l)
				}
			}
		}
		c.mu.Unlock()
	}
	p.watchLocked(now, next)
	p.mu.Unlock()
	for i, l := range idlers {
		p.tellIdle(l, &idle[i])
	}
	for i, l := range cut {
		p.cfg.Logger.LogAttrs(l.context(), slog.LevelError, "db: a connection was held for longer than HOLD_LIMIT and is taken away",
			append(over[i].attrs(), slog.String("at", over[i].At))...)
		p.background.Go(func() { l.Release(holdLimit, Place{}, false) })
	}
}

const (
	idleMessage   = "db: a connection is held idle; give it back with db.Release before waiting for something else"
	streamMessage = "db: a stream holds a connection idle; close what is open before it waits, or read with db.Iterate"
	keptMessage   = "db: a stream holds a connection idle, as its code says by name"
)

// tellIdle tells of a lease that idles: of each holder, because the line that took the
// lease may be one that all of them share.
func (p *Pool) tellIdle(l *Lease, h *Holder) {
	level, message := slog.LevelWarn, idleMessage
	switch {
	case h.Kept:
		level, message = slog.LevelInfo, keptMessage
	case h.Streaming:
		message = streamMessage
	}
	p.cfg.Notices.Tell(l.context(), level, Notice{Message: message, At: h.At, Of: h.Name}, h.attrs)
}

// context is that of the holder, for the log.
func (l *Lease) context() context.Context { return cmp.Or(l.asker, context.Background()) }

func (h *Holder) attrs() []slog.Attr {
	return []slog.Attr{
		slog.String("alias", h.Alias), slog.String("holder", h.Name),
		slog.Duration("held", h.Held.Round(time.Millisecond)), slog.Duration("idle", h.Idle.Round(time.Millisecond)),
		slog.Bool("transaction", h.InAtomicBlock), slog.String("last", h.LastStatement),
	}
}
