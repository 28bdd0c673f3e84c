package pool

import (
	"maps"
	"slices"
	"time"
)

// State is what a physical connection is doing.
type State string

const (
	// Idle: nobody has it.
	Idle State = "idle"
	// Leased: its [Connection.Holder] has it.
	Leased State = "leased"
	// Between: on its way from one to the other, or out: it is being checked, tidied
	// up, or closed.
	Between State = "between"
)

// Snapshot is one pool at one moment: what it says was true at the same time.
type Snapshot struct {
	Stats       Stats
	Waiters     []Waiter     // Stats.Waiting who want a connection, the next one first, then Stats.Writers who want to write
	Connections []Connection // the oldest first: Stats.Open, and Stats.Dedicated that have their holders to themselves
}

// Waiter is one who waits in the queue.
type Waiter struct {
	Name   string        // the route or the task
	Since  time.Time     // when it came
	Waited time.Duration // since then
	At     string        // file:line of the statement that wants a connection, or to write
	Writes bool          // it has its connection, and wants its turn to write (SQLite)
}

// Connection is one physical connection.
type Connection struct {
	ID        int64 // a number that no other connection of the pool has had
	State     State
	Opened    time.Time
	Age       time.Duration // since Opened: no less than its holder has held it
	Expires   time.Time     // when its age ends; zero is never
	IdleSince time.Time     // zero unless State is Idle

	Holder *Holder // who has it; nil unless State is Leased
}

// Snapshot returns the numbers, the connections and their holders. Only copying
// them keeps others waiting; their texts are made afterwards.
func (p *Pool) Snapshot() Snapshot {
	p.mu.Lock()
	s := Snapshot{Stats: p.statsLocked()}
	waiting := p.waitingLocked()
	conns := slices.AppendSeq(slices.Collect(maps.Keys(p.conns)), maps.Keys(p.dedicated))
	leases := make([]leaseCopy, 0, len(conns))
	isIdle := make(map[*conn]bool, len(p.idle))
	for _, c := range p.idle {
		isIdle[c] = true
	}
	for _, c := range conns {
		one, lease := Connection{ID: c.id, State: Between, Opened: c.openedAt, Expires: c.expiresAt}, leaseCopy{}
		if isIdle[c] {
			one.State, one.IdleSince = Idle, c.idleSince
		} else if copied, ok := c.copyLease(); ok {
			one.State, one.Holder, lease = Leased, &copied.Holder, copied
		}
		one.Age = time.Since(c.openedAt)
		s.Connections, leases = append(s.Connections, one), append(leases, lease)
	}
	p.mu.Unlock()
	for i, one := range s.Connections {
		if one.Holder != nil {
			*one.Holder = leases[i].holder()
		}
	}
	for _, w := range waiting {
		s.Waiters = append(s.Waiters, w.waiter())
	}
	slices.SortStableFunc(s.Connections, func(a, b Connection) int { return a.Opened.Compare(b.Opened) })
	return s
}

// waiterCopy is one who waits, before it is put into words.
type waiterCopy struct {
	owner  Owner
	place  Place
	since  time.Time
	writes bool
}

func (p *Pool) waitingLocked() []waiterCopy {
	waiting := make([]waiterCopy, 0, p.waiters.Len()+p.turns.queue.Len())
	for e := p.waiters.Front(); e != nil; e = e.Next() {
		w := e.Value.(*waiter)
		waiting = append(waiting, waiterCopy{w.claim.Owner, w.claim.Place, w.since, false})
	}
	for e := p.turns.queue.Front(); e != nil; e = e.Next() {
		w := e.Value.(*turn)
		waiting = append(waiting, waiterCopy{w.st.lease.owner, w.st.place, w.since, true})
	}
	return waiting
}

func (w *waiterCopy) waiter() Waiter {
	return Waiter{Name: name(w.owner), Since: w.since, Waited: time.Since(w.since), At: w.place.String(), Writes: w.writes}
}

// leaseCopy is what a lease says about itself, before it is put into words.
type leaseCopy struct {
	Holder
	owner     Owner
	place     Place
	lastQuery string
}

// copyLease reports whether somebody holds the connection. The pool itself, which
// prepares sessions, is nobody.
func (c *conn) copyLease() (leaseCopy, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lease == nil || c.lease.owner == nil {
		return leaseCopy{}, false
	}
	return c.lease.copyLocked(), true
}

// copyLocked copies the lease, which conn.mu protects.
func (l *Lease) copyLocked() leaseCopy {
	c, now, in := l.conn, time.Now(), l.inTransactionLocked()
	h := Holder{
		Alias: c.pool.cfg.Alias, Since: l.since, Held: now.Sub(l.since),
		InAtomicBlock: in, Open: c.flight != nil || in || len(c.stmts) > 0, Queries: l.queries,
		Dedicated: c.dedicated,
	}
	inside := time.Duration(l.inside.Load())
	if c.flight != nil && c.flight.inCall {
		inside += c.pool.clock() - c.flight.started
	}
	if !l.queued.IsZero() {
		inside += now.Sub(l.queued)
	}
	h.Idle = max(0, h.Held-inside)
	return leaseCopy{Holder: h, owner: l.owner, place: l.place, lastQuery: l.lastQuery}
}

// holder puts the copy into words.
func (l *leaseCopy) holder() Holder {
	h := l.Holder
	h.Name, h.Streaming, h.Kept = l.owner.Name(), l.owner.Responding(), l.owner.Kept()
	h.LastStatement, h.At = Fingerprint(l.lastQuery), l.place.String()
	return h
}
