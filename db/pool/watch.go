package pool

import (
	"context"
	"sync"
	"time"
)

// glanceAfter is how long a statement may run before its context is watched. To watch
// one costs more than most statements take.
const glanceAfter = 2 * time.Millisecond

// beginners see to it that statements end with their contexts. Nobody watches a statement
// that has just begun: a glance at all those comes at most glanceAfter later, and the
// contexts of the few that are still under way are watched from then on. No statement
// has a goroutine, and a quick one not even an allocation.
type beginners struct {
	mu    sync.Mutex // taken inside conn.mu
	fresh []*Statement
	spare []*Statement // room for the next ones
	timer *time.Timer
	due   bool // the timer runs
}

// beginsLocked is for a statement that has just become the flight of its connection;
// conn.mu is taken. A lease that has not ended keeps the pool open, so that Close waits
// for the glance.
func (p *Pool) beginsLocked(st *Statement) {
	b := &p.beginners
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fresh = append(b.fresh, st)
	if b.due {
		return
	}
	b.due = true
	p.background.Add(1)
	if b.timer == nil {
		b.timer = time.AfterFunc(glanceAfter, p.glance)
	} else {
		b.timer.Reset(glanceAfter)
	}
}

// glance looks who is still under way.
func (p *Pool) glance() {
	defer p.background.Done()
	b := &p.beginners
	b.mu.Lock()
	fresh := b.fresh
	b.fresh, b.spare, b.due = b.spare, nil, false
	b.mu.Unlock()
	for _, st := range fresh {
		st.watch()
	}
	clear(fresh)
	b.mu.Lock()
	b.spare = fresh[:0]
	b.mu.Unlock()
}

// stopGlancing is for a pool on which nothing runs any more.
func (p *Pool) stopGlancing() {
	b := &p.beginners
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.due && b.timer.Stop() {
		b.due, b.fresh = false, nil
		p.background.Done()
	}
}

// watch cancels the statement with its context from now on, if it is under way.
func (st *Statement) watch() {
	c := st.lease.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx := st.Context
	if c.flight != st || ctx.Done() == nil {
		return
	}
	st.stop = context.AfterFunc(ctx, func() { c.cancel(st, contextError(ctx)) })
}
