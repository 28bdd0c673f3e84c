package pool

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Stats are the numbers of one pool at one moment.
type Stats struct {
	Max        int // MAX_CONNECTIONS
	Open       int // physical connections: leased, idle, or on their way out
	InUse      int // leased
	Idle       int
	Connecting int
	Closing    int // on their way out, quarantined ones among them
	Waiting    int // callers in the queue
	Writers    int // statements in the queue for writing (SQLite); each has its connection
	Dedicated  int // connections beside these, each somebody's own

	// Since the pool was opened:
	Leases       int64         // leases given out
	Opened       int64         // physical connections opened
	Closed       int64         // physical connections closed
	Waited       int64         // leases, and turns to write, that had to queue
	WaitDuration time.Duration // by all callers together
	Refused      int64         // acquires, and waits for a turn to write, that failed
	Exhausted    int64         // of them, those that had waited ACQUIRE_TIMEOUT while others held every connection
	QueueFull    int64         // of them, those that MAX_WAITING has turned away
	Pings        int64         // health checks that cost a round trip
	Dead         int64         // idle connections that the peek or the ping found dead
	Statements   int64         // statements sent, but by OnConnect and on dedicated connections
	Failed       int64         // of them, those that were answered with an error
	Canceled     int64         // statements stopped on the wire
	Leaked       int64         // rows, transactions and statements that a release had to end
	Quarantined  int64         // connections cut because a release could not end what was open on them
}

// Holder is one lease as others see it.
type Holder struct {
	Alias         string
	Name          string        // the route or the task
	Since         time.Time     // when the lease began
	Held          time.Duration // how long it has been held
	Idle          time.Duration // Held less the time spent in the database
	InAtomicBlock bool
	Open          bool   // rows, a transaction or a statement are open
	LastStatement string // shortened, without its values
	At            string // file:line of the statement that took the lease
	Queries       int

	// Streaming: the response of this holder has begun, and it still holds the
	// connection, by KeepConnection or because rows or a block are open.
	Streaming bool
	Kept      bool // its code says by name that it holds: KeepConnection, or a snapshot of Iterate
	Dedicated bool // it keeps a connection of its own, which is none of MAX_CONNECTIONS
}

// String is the holder in one clause.
func (h Holder) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s held %s, %s of it idle", cmp.Or(h.Name, "somebody"), h.Held.Round(time.Millisecond), h.Idle.Round(time.Millisecond))
	if h.InAtomicBlock {
		b.WriteString(", in a transaction")
	}
	if h.LastStatement != "" {
		fmt.Fprintf(&b, ", last %q", h.LastStatement)
	}
	fmt.Fprintf(&b, ", at %s", h.At)
	return b.String()
}

// Stats returns the numbers of this moment.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.statsLocked()
}

func (p *Pool) statsLocked() Stats {
	s := p.stats
	s.Max = p.cfg.Max
	s.Open = len(p.conns)
	s.Idle = len(p.idle)
	s.InUse = p.inUse
	s.Connecting = p.connecting
	s.Closing = p.closing + p.cutLoose
	s.Waiting = p.waiters.Len()
	s.Writers = p.turns.queue.Len()
	s.Dedicated = len(p.dedicated)
	s.Pings = p.pings.Load()
	s.Statements = p.statements.Load()
	s.Failed = p.failures.Load()
	s.Canceled = p.canceled.Load()
	return s
}

// Holders returns who holds a connection now, the oldest first, dedicated ones among
// them.
func (p *Pool) Holders() []Holder {
	p.mu.Lock()
	conns := make([]*conn, 0, len(p.conns)+len(p.dedicated))
	for c := range p.conns {
		conns = append(conns, c)
	}
	for c := range p.dedicated {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	var holders []Holder
	for _, c := range conns {
		if h, ok := c.holder(); ok {
			holders = append(holders, h)
		}
	}
	slices.SortFunc(holders, func(a, b Holder) int { return a.Since.Compare(b.Since) })
	return holders
}

func (c *conn) holder() (Holder, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lease == nil || c.lease.owner == nil { // the pool itself, setting the session up
		return Holder{}, false
	}
	return c.lease.holderLocked(), true
}

// holderLocked describes the lease, which conn.mu protects.
func (l *Lease) holderLocked() Holder {
	copied := l.copyLocked()
	return copied.holder()
}
