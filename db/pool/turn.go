package pool

import (
	"cmp"
	"container/list"
	"context"
	"sync/atomic"
	"time"
)

// Writer is a [Driver] of a database in which one connection writes at a time: SQLite.
// The pool lets its connections do so in the order in which they ask, instead of leaving
// it to the database, whose waiters draw lots and are nowhere to be seen.
type Writer interface {
	// Writes reports whether a statement needs that, on a connection that is in no
	// transaction. It errs on the side of false: the database waits as well.
	Writes(query string) bool
}

// turns are who writes, and who wants to.
type turns struct {
	writes func(query string) bool // nil where there is nothing to wait for
	holder atomic.Pointer[conn]    // changes under pool.mu
	queue  list.List               // of *turn, the oldest first; guarded by pool.mu
}

// turn is one statement in the queue. It holds its connection, and the gate of that.
type turn struct {
	st    *Statement
	since time.Time
	ready chan struct{} // closed when it may write, or its lease has ended

	// Guarded by pool.mu.
	at  *list.Element // nil once it has left the queue
	cut bool          // because its lease has ended
}

// takeTurn waits until c may write, if st does. A transaction that only reads and begins
// to write is let through: what it has read gets no younger by waiting. The gate is taken.
func (c *conn) takeTurn(ctx context.Context, st *Statement) error {
	p := c.pool
	if p.turns.writes == nil || p.turns.holder.Load() == c || !p.turns.writes(cmp.Or(st.text, st.query)) {
		return nil
	}
	if in, known := p.cfg.Driver.InTransaction(c.inner); in || !known {
		return nil
	}
	p.mu.Lock()
	if err := st.lease.Err(); err != nil { // nobody will cut this one
		p.mu.Unlock()
		return err
	}
	if p.turns.holder.Load() == nil {
		p.turns.holder.Store(c)
		p.mu.Unlock()
		return nil
	}
	w := &turn{st: st, since: time.Now(), ready: make(chan struct{})}
	w.at = p.turns.queue.PushBack(w)
	p.mu.Unlock()
	c.mu.Lock()
	st.lease.queued = w.since
	c.mu.Unlock()
	err := c.waitTurn(ctx, w)
	c.mu.Lock()
	st.lease.queued = time.Time{}
	c.mu.Unlock()
	st.lease.inside.Add(int64(time.Since(w.since))) // it has not idled
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Waited++
	p.stats.WaitDuration += time.Since(w.since)
	switch {
	case w.cut:
		return st.lease.Err()
	case err == nil:
	case w.at != nil:
		p.turns.queue.Remove(w.at)
		w.at = nil
	default: // handed over in the same moment
		p.nextTurnLocked()
	}
	return err
}

func (c *conn) waitTurn(ctx context.Context, w *turn) error {
	timer := time.NewTimer(c.pool.cfg.AcquireTimeout)
	defer timer.Stop()
	var again <-chan time.Time
	if w.st.lease.waits != nil {
		ticker := time.NewTicker(stuckAgain)
		defer ticker.Stop()
		again = ticker.C
	}
	for {
		if err := c.pool.stuckTurn(w); err != nil {
			return c.pool.refuseTurn(err, w)
		}
		select {
		case <-w.ready:
			return nil
		case <-ctx.Done():
			return contextError(ctx)
		case <-timer.C:
			return c.pool.refuseTurn(&kindError{kind: Locked}, w)
		case <-again:
		}
	}
}

// stuckTurn returns an error when the one who writes waits, in Run, for w.
func (p *Pool) stuckTurn(w *turn) *kindError {
	writer := p.turns.holder.Load()
	if writer == nil || w.st.lease.waits == nil {
		return nil
	}
	waits := make(map[Owner]*Wait)
	w.st.lease.waits.addTo(waits)
	holder, wait, stuck := writer.stuck(waits)
	if !stuck {
		return nil
	}
	return &kindError{SelfDeadlock, &deadlockError{wanted: w.st.place, holder: holder, wait: *wait, writes: true}}
}

// refuseTurn makes the error of a statement that has waited in vain. Who writes is the
// holder that it names.
func (p *Pool) refuseTurn(k *kindError, w *turn) error {
	e := &AcquireError{Alias: p.cfg.Alias, Kind: k.kind, Waited: time.Since(w.since), Err: k.err}
	if writer := p.turns.holder.Load(); writer != nil {
		if h, ok := writer.holder(); ok {
			e.Holders = []Holder{h}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Refused++
	e.Stats = p.statsLocked()
	return e
}

// cutTurns takes the statements of a lease that has ended out of the queue: who releases
// it waits for their gate.
func (p *Pool) cutTurns(l *Lease) {
	if p.turns.writes == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for e := p.turns.queue.Front(); e != nil; e = e.Next() {
		if w := e.Value.(*turn); w.st.lease == l {
			p.turns.queue.Remove(e)
			w.at, w.cut = nil, true
			close(w.ready)
			return // a lease has one at a time
		}
	}
}

// endTurn lets the next one write once c is in no transaction. The gate is taken.
func (c *conn) endTurn() {
	if c.pool.turns.holder.Load() != c {
		return
	}
	if in, _ := c.pool.cfg.Driver.InTransaction(c.inner); !in {
		c.pool.leaveTurn(c)
	}
}

// leaveTurn lets the next one write if it was c's turn.
func (p *Pool) leaveTurn(c *conn) {
	if p.turns.holder.Load() != c {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nextTurnLocked()
}

func (p *Pool) nextTurnLocked() {
	e := p.turns.queue.Front()
	if e == nil {
		p.turns.holder.Store(nil)
		return
	}
	w := p.turns.queue.Remove(e).(*turn)
	w.at = nil
	p.turns.holder.Store(w.st.lease.conn)
	close(w.ready)
}
