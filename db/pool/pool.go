// Package pool leases the connections of one database: first come first served,
// bounded, checked, and given back within a quarter of a second whatever their
// holder left open. It knows database/sql and nothing of requests; package db is
// its user.
package pool

import (
	"container/list"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Pool holds the physical connections of one alias. All methods may be called
// concurrently.
type Pool struct {
	cfg    Config
	traits Traits

	born       time.Time       // what its monotonic times count from
	ctx        context.Context // ends with the pool: dialling stops
	stop       context.CancelFunc
	background sync.WaitGroup // dialling, quarantine, closing of idle connections

	pings, canceled      atomic.Int64
	statements, failures atomic.Int64
	ids, traced          atomic.Int64 // the last numbers given: to connections, to leases with a trace

	mu         sync.Mutex // guards the rest
	closed     bool
	conns      map[*conn]struct{}
	dedicated  map[*conn]struct{} // beside the pool
	idle       []*conn            // the newest last
	inUse      int                // leased
	closing    int                // on their way out; they keep their permits until they are gone
	connecting int
	generation int       // of the connections; those of an older one are closed
	cutLoose   int       // quarantined, and not closed yet
	waiters    list.List // of *waiter, the oldest first
	stats      Stats
	failure    failure
	sweeper    *time.Timer   // closes idle connections; nil when none is due
	watchAt    time.Time     // when watcher is due
	watcher    *time.Timer   // looks at the holders; nil when none may be late
	leftovers  []*sql.DB     // of leases that left prepared statements open
	cutting    bool          // Close has lost its patience
	drained    chan struct{} // closed when the pool is, and nothing is left

	turns     turns
	places    places
	beginners beginners // statements
	peers     []*Pool   // itself among them; see Join
}

// failure is what the growers have met since they last succeeded.
type failure struct {
	err      error
	attempts int
	since    time.Time
}

// New returns a pool that has opened nothing yet.
func New(cfg Config) *Pool {
	p := &Pool{born: time.Now(), cfg: cfg, traits: cfg.Driver.Traits(), conns: make(map[*conn]struct{}), dedicated: make(map[*conn]struct{}), drained: make(chan struct{})}
	if p.traits.Single {
		p.cfg.Max, p.cfg.MaxAge, p.cfg.MaxIdle = 1, Forever, Forever
	} else if d, ok := cfg.Driver.(Writer); ok {
		p.turns.writes = d.Writes
	}
	if cfg.Notices == nil {
		p.cfg.Notices = &Notices{Logger: cfg.Logger}
	}
	p.peers = []*Pool{p}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

// With returns another pool of the same configuration, over the driver that wrap
// makes of this one's: a test puts something between the pool and its engine in this
// way.
func (p *Pool) With(wrap func(Driver) Driver) *Pool {
	cfg := p.cfg
	cfg.Driver = wrap(cfg.Driver)
	return New(cfg)
}

// clock is the time since the pool was made: half the price of time.Now.
func (p *Pool) clock() time.Duration { return time.Since(p.born) }

func (p *Pool) count(f func(*Stats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.stats)
}

// expiry is when a connection opened now has served its time, less up to 5 % so
// that connections opened together do not end together.
func (p *Pool) expiry(now time.Time) time.Time {
	if p.cfg.MaxAge <= 0 {
		return time.Time{}
	}
	return now.Add(p.cfg.MaxAge - time.Duration(rand.Int64N(int64(p.cfg.MaxAge)/20+1)))
}

func (c *conn) expired(now time.Time) bool {
	return !c.expiresAt.IsZero() && !now.Before(c.expiresAt)
}

// giveBack ends the use of a leased connection and reports whether it lives on.
func (p *Pool) giveBack(c *conn, f fate, brief bool) bool {
	if f == keep {
		p.leaveTurn(c) // it is in no transaction any more
	}
	now := time.Now()
	p.mu.Lock()
	if f == keep {
		switch {
		case p.closed:
			f = closed("closed")
		case p.cfg.MaxAge == 0 && !brief:
			f = closed("age")
		default:
			f = c.outdated(now)
		}
	}
	p.inUse--
	if f == keep {
		p.offerLocked(c, now)
		p.mu.Unlock()
		return true
	}
	p.closing++
	p.mu.Unlock()
	p.discard(c, f)
	return false
}

// discard closes a connection that counts as closing, and frees its permit.
func (p *Pool) discard(c *conn, f fate) {
	p.tellClosing(f)
	if f != gone {
		p.closeConn(c)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	p.closing--
	p.stats.Closed++
	p.freedLocked()
}

// tellClosing logs what Stats.Closed counts, and why.
func (p *Pool) tellClosing(f fate) {
	p.cfg.Logger.Debug("db: closing a connection", "alias", p.cfg.Alias, "reason", string(f))
}

// offerLocked hands a healthy connection to the first waiter, or keeps it idle.
func (p *Pool) offerLocked(c *conn, now time.Time) {
	if w := p.popWaiterLocked(c); w != nil {
		p.inUse++
		w.ready <- c
		return
	}
	c.idleSince = now
	p.idle = append(p.idle, c)
	p.armLocked(now)
	p.freedLocked()
}

// freedLocked runs whenever a permit or a connection has become free.
func (p *Pool) freedLocked() {
	p.growLocked()
	if !p.closed || p.inUse+p.closing+p.connecting > 0 {
		return
	}
	select {
	case <-p.drained:
	default:
		close(p.drained)
	}
}

// closeConn closes a connection that nobody else can reach any more.
func (p *Pool) closeConn(c *conn) {
	defer p.leaveTurn(c)
	p.closeDB(c.db)
	c.wire.take()
	defer c.wire.give()
	if err := p.cfg.Driver.Close(c.inner); err != nil {
		// Nobody waits for this connection: the one that broke it was told.
		p.cfg.Logger.Debug("db: close connection", "alias", p.cfg.Alias, "err", err)
	}
}

// closeDB ends the goroutine of a *sql.DB; its handles close nothing.
func (p *Pool) closeDB(sqldb *sql.DB) {
	if sqldb == nil {
		return
	}
	if err := sqldb.Close(); err != nil {
		p.cfg.Logger.Debug("db: close", "alias", p.cfg.Alias, "err", err)
	}
}

// idleLimit is how long a connection may idle.
func (p *Pool) idleLimit() time.Duration {
	if p.cfg.MaxAge == 0 {
		return parkLimit
	}
	return p.cfg.MaxIdle
}

// armLocked sees to it that the sweeper runs when the oldest idle connection is due.
func (p *Pool) armLocked(now time.Time) {
	limit := p.idleLimit()
	if p.sweeper != nil || p.closed || limit < 0 || len(p.idle) == 0 {
		return
	}
	due := p.idle[0].idleSince.Add(limit).Sub(now)
	p.background.Add(1)
	p.sweeper = time.AfterFunc(max(due, 0), func() {
		defer p.background.Done()
		p.sweep()
	})
}

// sweep closes the connections that have idled long enough.
func (p *Pool) sweep() {
	now := time.Now()
	p.mu.Lock()
	p.sweeper = nil
	n := 0
	for n < len(p.idle) && !p.idle[n].idleSince.Add(p.idleLimit()).After(now) {
		n++
	}
	due := append([]*conn(nil), p.idle[:n]...)
	p.idle = append(p.idle[:0], p.idle[n:]...)
	p.closing += len(due)
	p.armLocked(now)
	p.mu.Unlock()
	for _, c := range due {
		p.discard(c, closed("idle"))
	}
}

// EndOwner closes what a scope's brief leases have left idle where connections
// serve one scope only (MaxAge 0).
func (p *Pool) EndOwner(owner Owner) {
	if p.cfg.MaxAge != 0 {
		return
	}
	p.mu.Lock()
	var mine, rest []*conn
	for _, c := range p.idle {
		if c.opener == owner {
			mine = append(mine, c)
		} else {
			rest = append(rest, c)
		}
	}
	for c := range p.conns {
		if c.opener == owner {
			c.obsolete.Store(true)
		}
	}
	p.idle = rest
	p.closing += len(mine)
	p.mu.Unlock()
	for _, c := range mine {
		p.discard(c, closed("age"))
	}
}

// Close refuses new leases, closes what is idle or dedicated, and waits for the rest until ctx
// ends; then it cuts what is still leased, and says so. When it returns nothing is
// left. It may be called twice, also at the same time.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.stop()
	if p.sweeper != nil && p.sweeper.Stop() {
		p.background.Done()
	}
	if p.watcher != nil && p.watcher.Stop() {
		p.background.Done()
	}
	p.sweeper, p.watcher = nil, nil
	for e := p.waiters.Front(); e != nil; e = p.waiters.Front() {
		p.waiters.Remove(e).(*waiter).fail(ErrClosed)
	}
	idle := p.idle
	p.idle = nil
	p.closing += len(idle)
	p.freedLocked()
	p.mu.Unlock()
	p.closeDedicated()
	for _, c := range idle {
		p.discard(c, closed("closed"))
	}

	var err error
	select {
	case <-p.drained:
	case <-ctx.Done():
		err = p.cutAll(contextError(ctx))
		<-p.drained
	}
	p.stopGlancing()
	p.background.Wait()
	p.mu.Lock()
	leftovers := p.leftovers
	p.leftovers = nil
	p.mu.Unlock()
	for _, sqldb := range leftovers {
		p.closeDB(sqldb)
	}
	return err
}

// cutAll releases every lease in its holder's place.
func (p *Pool) cutAll(cause error) error {
	p.mu.Lock()
	p.cutting = true // who is about to get a lease gives it up
	var leases []*Lease
	for c := range p.conns {
		c.mu.Lock()
		if c.lease != nil && c.lease.owner != nil {
			leases = append(leases, c.lease)
		}
		c.mu.Unlock()
	}
	p.mu.Unlock()
	if len(leases) == 0 {
		return nil
	}
	var errs []error
	var all sync.WaitGroup
	place := Here(2)
	for _, l := range leases {
		errs = append(errs, fmt.Errorf("db: %q: cut off %s, who still held a connection taken at %s", p.cfg.Alias, name(l.owner), l.place.String()))
		all.Go(func() { l.Release("closed", place, true) })
	}
	all.Wait()
	return errors.Join(append(errs, cause)...)
}

// session runs the statements of Config.Setup.
type session struct{ l *Lease }

func (s session) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return s.l.conn.db.ExecContext(s.l.Statement(ctx, s.l.Here(), nil), query, args...)
}

func (s session) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return s.l.conn.db.QueryContext(s.l.Statement(ctx, s.l.Here(), nil), query, args...)
}

func (s session) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return s.l.conn.db.QueryRowContext(s.l.Statement(ctx, s.l.Here(), nil), query, args...)
}
