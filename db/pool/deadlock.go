package pool

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrSelfDeadlock reports a wait that could never end: every connection is held by
// who waits for the one that wants it.
var ErrSelfDeadlock = errors.New("db: self-deadlock")

const (
	// stuckAfter is how long a holder leaves its connection alone before it counts as
	// one that waits, where its goroutine cannot be seen to wait.
	stuckAfter = 250 * time.Millisecond
	// stuckAgain is how often who may wait in vain looks again.
	stuckAgain = 50 * time.Millisecond
)

// Wait is a scope that waits, in a Run of package db, for the scope that wants a
// connection.
type Wait struct {
	Owner Owner
	Ctx   context.Context // what Run was given
	Place Place           // of the Run
	// Sure: the goroutine in which the owner's scope was opened is the one that
	// waits. Without, it may go on beside the Run.
	Sure bool
	Up   *Wait // who waits for the owner, in turn
}

// deadlockError names who waits for whom.
type deadlockError struct {
	wanted Place
	holder Holder
	wait   Wait
	writes bool // it is the turn to write that is wanted
}

func (e *deadlockError) Error() string {
	if e.writes {
		return fmt.Sprintf("%v: %q has begun to write at %s and waits at %s, in Run, for this one, which wants to write at %s; use its context without a Run, or Run after its block"+
			"; a goroutine that nobody waits for takes Run(context.WithoutCancel(ctx), ...)",
			ErrSelfDeadlock, e.holder.Name, e.holder.At, e.wait.Place.String(), e.wanted.String())
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %q holds the connection that it took at %s and waits at %s, in Run, for this one, wanted at %s, and so do all others that hold one",
		ErrSelfDeadlock, e.holder.Name, e.holder.At, e.wait.Place.String(), e.wanted.String())
	b.WriteString("; use its context without a Run, or give its connection back first with db.Release, or raise MAX_CONNECTIONS" +
		"; a goroutine that nobody waits for takes Run(context.WithoutCancel(ctx), ...)")
	return b.String()
}

func (e *deadlockError) Unwrap() error { return ErrSelfDeadlock }

// stuckLocked returns an error when nobody who holds a connection will give it back
// before those in the queue are served, and one of them waits for w.
func (p *Pool) stuckLocked(w *waiter) *kindError {
	if w.claim.Waits == nil || p.closed || p.connecting+p.closing+len(p.idle) > 0 || len(p.conns) < p.cfg.Max {
		return nil
	}
	waits := p.waitsLocked()
	now := time.Now()
	var found *deadlockError
	for c := range p.conns {
		holder, wait, stuck := c.stuck(waits, now)
		if !stuck {
			return nil
		}
		for up := w.claim.Waits; up != nil && found == nil; up = up.Up {
			if up.Owner == wait.Owner {
				found = &deadlockError{wanted: w.claim.Place, holder: holder, wait: *wait}
			}
		}
	}
	if found == nil {
		return nil // those whom it concerns find it
	}
	return &kindError{SelfDeadlock, found}
}

// waitsLocked are the scopes that wait for somebody in the queue. One is sure to
// wait when all in between are.
func (p *Pool) waitsLocked() map[Owner]*Wait {
	waits := make(map[Owner]*Wait)
	for e := p.waiters.Front(); e != nil; e = e.Next() {
		e.Value.(*waiter).claim.Waits.addTo(waits)
	}
	return waits
}

// addTo adds w, and who waits for it in turn.
func (w *Wait) addTo(waits map[Owner]*Wait) {
	sure := true
	for up := w; up != nil; up = up.Up {
		sure = sure && up.Sure
		if known := waits[up.Owner]; known != nil && (known.Sure || !sure) {
			continue
		}
		wait := *up
		wait.Sure = sure
		waits[up.Owner] = &wait
	}
}

// stuck reports whether the holder of c is among those who wait and will not give it
// back meanwhile.
func (c *conn) stuck(waits map[Owner]*Wait, now time.Time) (Holder, *Wait, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lease
	if l == nil || l.owner == nil {
		return Holder{}, nil, false
	}
	wait := waits[l.owner]
	if wait == nil || c.flight != nil && c.flight.inCall && !c.flight.raw {
		return Holder{}, nil, false // a statement that runs ends by itself
	}
	inside := !l.brief || l.blocks != nil && l.blocks.Within(wait.Ctx)
	if (!wait.Sure || !inside) && now.Sub(l.touched) < stuckAfter {
		return Holder{}, nil, false
	}
	return l.holderLocked(), wait, true
}

// giveUp takes w out of the queue if it waits in vain.
func (p *Pool) giveUp(w *waiter) *kindError {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.at == nil { // it was served
		return nil
	}
	reason := p.stuckLocked(w)
	if reason != nil {
		p.removeLocked(w)
	}
	return reason
}

func (p *Pool) removeLocked(w *waiter) {
	p.waiters.Remove(w.at)
	w.at = nil
}
