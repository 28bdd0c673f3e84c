package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	alias  string // of the connection that is wanted
	wanted Place
	holder Holder
	wait   Wait
	writes bool // it is the turn to write that is wanted
}

func (e *deadlockError) Error() string {
	if e.writes {
		return fmt.Sprintf("%v: %q has begun to write at %s and waits at %s, in Run, for this one, which wants to write at %s; %s",
			ErrSelfDeadlock, e.holder.Name, e.holder.At, e.wait.Place.String(), e.wanted.String(), e.Hint())
	}
	var b strings.Builder
	which, others := "", "and so do all others that hold one"
	if e.holder.Alias != e.alias {
		which, others = fmt.Sprintf(" to %q", e.holder.Alias), fmt.Sprintf("and all who hold one to %q wait for one to %q", e.alias, e.holder.Alias)
	}
	fmt.Fprintf(&b, "%v: %q holds the connection%s that it took at %s and waits at %s, in Run, for this one, wanted at %s, %s",
		ErrSelfDeadlock, e.holder.Name, which, e.holder.At, e.wait.Place.String(), e.wanted.String(), others)
	b.WriteString("; " + e.Hint())
	return b.String()
}

// Hint says the ways out.
func (e *deadlockError) Hint() string {
	const apart = "; a goroutine that nobody waits for takes Run(context.WithoutCancel(ctx), ...)"
	if e.writes {
		return "use its context without a Run, or Run after its block" + apart
	}
	return "use its context without a Run, or give its connection back first with db.Release, or raise MAX_CONNECTIONS" + apart
}

func (e *deadlockError) Unwrap() error { return ErrSelfDeadlock }

// Join makes pools know each other: a wait that goes in a circle through several of
// them is found as well. It is called once, before anybody uses them.
func Join(pools ...*Pool) {
	for _, p := range pools {
		p.peers = pools
	}
}

// stuckLocked returns an error when nobody who holds a connection will give it back
// before those in the queue are served, and one of them waits for w.
func (p *Pool) stuckLocked(w *waiter) *kindError {
	if w.claim.Waits == nil {
		return nil
	}
	return p.stuckAmong([]*Pool{p}, w)
}

// stuckAmong is stuckLocked for the pools of which those who hold a connection may wait
// for one of another; all of them are locked. It begins by taking every queue for one
// that will not move, and those for moving where somebody holds who waits in none of
// them, until there is no more of these.
func (p *Pool) stuckAmong(pools []*Pool, w *waiter) *kindError {
	stuck := slices.Clone(pools)
	waits := make(map[Owner]*Wait)
	for n := -1; n != len(stuck); {
		n = len(stuck)
		clear(waits)
		for _, q := range stuck {
			q.addWaitsLocked(waits)
		}
		stuck = slices.DeleteFunc(stuck, func(q *Pool) bool { return !q.allStuckLocked(waits) })
	}
	if !slices.Contains(stuck, p) {
		return nil
	}
	for _, q := range stuck {
		for c := range q.conns {
			holder, wait, _ := c.stuck(waits)
			for up := w.claim.Waits; up != nil && wait != nil; up = up.Up {
				if up.Owner == wait.Owner {
					return &kindError{SelfDeadlock, &deadlockError{alias: p.cfg.Alias, wanted: w.claim.Place, holder: holder, wait: *wait}}
				}
			}
		}
	}
	return nil // those whom it concerns find it
}

// allStuckLocked reports whether everybody who holds a connection of p is among those
// who wait, and nothing else is on its way to the queue.
func (p *Pool) allStuckLocked(waits map[Owner]*Wait) bool {
	if p.closed || p.waiters.Len() == 0 || p.connecting+p.closing+len(p.idle) > 0 || len(p.conns) < p.cfg.Max {
		return false
	}
	for c := range p.conns {
		if _, _, stuck := c.stuck(waits); !stuck {
			return false
		}
	}
	return true
}

// addWaitsLocked adds the scopes that wait for somebody in the queue.
func (p *Pool) addWaitsLocked(waits map[Owner]*Wait) {
	for e := p.waiters.Front(); e != nil; e = e.Next() {
		e.Value.(*waiter).claim.Waits.addTo(waits)
	}
}

// addTo adds w, and who waits for it in turn. One is sure to wait when all in between
// are.
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
func (c *conn) stuck(waits map[Owner]*Wait) (Holder, *Wait, bool) {
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
	if (!wait.Sure || !inside) && l.conn.pool.clock()-l.touched < stuckAfter {
		return Holder{}, nil, false
	}
	return l.holderLocked(), wait, true
}

// giveUp takes w out of the queue if it waits in vain.
func (p *Pool) giveUp(w *waiter) *kindError {
	for _, q := range p.peers { // always in this order
		q.mu.Lock()
		defer q.mu.Unlock()
	}
	if w.at == nil { // it was served
		return nil
	}
	reason := p.stuckAmong(p.peers, w)
	if reason != nil {
		p.removeLocked(w)
	}
	return reason
}

func (p *Pool) removeLocked(w *waiter) {
	p.waiters.Remove(w.at)
	w.at = nil
}
