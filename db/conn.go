package db

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/schema"

	"github.com/goquintet/quintet/db/pool"
)

// Conn is the connection of one scope to one alias: Django's connection object. It
// is opened by its first statement. It is a bun.IDB, and may be shared by the
// goroutines of its scope: their statements wait for each other.
type Conn struct {
	scope    *Scope
	database *database
	alias    string
	err      error // why no statement can ever run

	block atomic.Pointer[block] // the innermost that is open; moves under mu
	torn  atomic.Int32          // blocks that were ended from outside, and not left yet

	cursors atomic.Int64 // that Iterate has declared: their names differ

	mu        sync.Mutex // guards the rest
	lease     *pool.Lease
	uses      int  // statements, rows and transactions that need the lease
	acquiring bool // one goroutine acquires for all
	ended     bool
	acquired  chan struct{} // made by who waits for it
	log       ring
	repeats   *pool.Repeats // while debugging
}

var (
	_ bun.IDB     = (*Conn)(nil)
	_ pool.Blocks = (*Conn)(nil)
)

// From returns the connection of ctx' scope to the default alias: Django's
// connection. It is never nil; statements fail with [ErrNoScope] when ctx belongs
// to no scope.
func From(ctx context.Context) *Conn { return Using(ctx, DefaultAlias) }

// Using is [From] for any alias: Django's connections[alias]. Statements fail with
// an *[UnknownAliasError] when it does not exist.
func Using(ctx context.Context, alias string) *Conn {
	sc := scopeOf(ctx)
	if sc == nil {
		return brokenConn(alias, ErrNoScope)
	}
	return sc.conn(alias)
}

// brokenConn is a connection whose every statement fails. Its builders need some
// dialect and a database that is never asked.
func brokenConn(alias string, err error) *Conn {
	refusing := sql.OpenDB(refusal{})
	if cerr := refusing.Close(); cerr != nil { // it never dials: this only ends its goroutine
		err = fmt.Errorf("%w; %w", err, cerr)
	}
	return &Conn{alias: alias, err: err, database: &database{alias: alias, builder: bun.NewDB(refusing, pgdialect.New())}}
}

// Alias returns the alias.
func (c *Conn) Alias() string { return c.alias }

// String names engine and alias.
func (c *Conn) String() string {
	return fmt.Sprintf("db.Conn engine=%q alias=%q", c.database.settings.Engine, c.alias)
}

// Dialect returns the SQL dialect.
func (c *Conn) Dialect() schema.Dialect { return c.database.builder.Dialect() }

// EnsureConnection leases a connection now, instead of at the first statement.
func (c *Conn) EnsureConnection(ctx context.Context) error {
	l, err := c.hold(ctx, pool.Here(1))
	if err != nil {
		return err
	}
	c.Ended(l)
	return nil
}

// IsUsable reports whether the connection answers a ping. One that is not open is
// not usable.
func (c *Conn) IsUsable(ctx context.Context) bool {
	c.mu.Lock()
	l := c.lease
	c.mu.Unlock()
	return l != nil && l.Ping(ctx, pool.Here(1)) == nil
}

// InAtomicBlock reports whether a block is open: one of Atomic, BeginTx or
// ATOMIC_REQUESTS.
func (c *Conn) InAtomicBlock() bool { return c.block.Load() != nil }

// Close gives the connection back and closes its socket, whatever its age. The
// next statement opens another. Inside a transaction it returns
// [ErrInAtomicBlock], and nothing has changed; Django loses the block.
func (c *Conn) Close() error {
	return c.giveBack("closed", pool.Here(1), true)
}

// Queries returns a copy of the last statements of this scope, the oldest first;
// nil unless debugging. Django's connection.queries.
func (c *Conn) Queries() []Query {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.all()
}

// hold returns the lease for one use, acquiring it if there is none. Every
// successful hold is followed by one Ended.
func (c *Conn) hold(ctx context.Context, place pool.Place) (*pool.Lease, error) {
	if c.err != nil {
		return nil, c.err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.lease == nil {
		switch {
		case c.ended:
			return nil, c.scope.late(ctx, c.alias, place)
		case c.acquiring:
			if err := c.awaitLocked(ctx); err != nil {
				return nil, err
			}
		default:
			if err := c.acquireLocked(ctx, place); err != nil {
				return nil, err
			}
		}
	}
	c.uses++
	return c.lease, nil
}

// acquireLocked acquires the lease, without the lock while it waits.
func (c *Conn) acquireLocked(ctx context.Context, place pool.Place) error {
	claim := pool.Claim{Owner: c.scope, Place: place, Context: c.scope.watch, Brief: c.scope.brief(c.database), Blocks: c, Waits: c.scope.waits}
	if cs := c.scope.connections; cs.debug || cs.onQuery != nil {
		claim.Observer = c.observe
	}
	if trace := c.scope.trace; trace != nil {
		claim.Trace = trace
	}
	c.acquiring = true
	c.mu.Unlock()
	l, err := c.database.pool.Acquire(ctx, claim)
	c.mu.Lock()
	c.acquiring = false
	if c.acquired != nil {
		close(c.acquired)
		c.acquired = nil
	}
	if err != nil {
		return err
	}
	if c.ended { // meanwhile
		c.mu.Unlock()
		l.Release("scope ended", place, false)
		c.mu.Lock()
		return nil
	}
	c.lease, c.uses = l, 0
	c.scope.leases.Add(1)
	return nil
}

// forgetLocked is the end of the lease, if there is one, for this connection.
func (c *Conn) forgetLocked() {
	if c.lease != nil {
		c.lease = nil
		c.scope.leases.Add(-1)
	}
}

func (c *Conn) awaitLocked(ctx context.Context) error {
	if c.acquired == nil {
		c.acquired = make(chan struct{})
	}
	acquired := c.acquired
	c.mu.Unlock()
	defer c.mu.Lock()
	select {
	case <-acquired:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ended implements pool.Ender: a statement and its rows, or a transaction, no
// longer need the lease. It is not for users.
func (c *Conn) Ended(l *pool.Lease) {
	c.mu.Lock()
	if c.lease != l { // released in between
		c.mu.Unlock()
		return
	}
	c.uses--
	if c.uses > 0 || !c.scope.brief(c.database) {
		c.mu.Unlock()
		return
	}
	c.forgetLocked()
	c.mu.Unlock()
	c.scope.spent(l)
	l.Release("statement", pool.Place{}, false)
}

// release gives the lease back, whatever is open on it.
func (c *Conn) release(reason string, place pool.Place, drop bool) {
	c.mu.Lock()
	l := c.lease
	c.forgetLocked()
	c.mu.Unlock()
	if l != nil {
		c.scope.spent(l)
		l.Release(reason, place, drop)
	}
}

// giveBack is release outside of blocks. Inside of one it returns ErrInAtomicBlock and
// changes nothing.
func (c *Conn) giveBack(reason string, place pool.Place, drop bool) error {
	c.mu.Lock()
	if err := c.inBlock(); err != nil {
		c.mu.Unlock()
		return err
	}
	l := c.lease
	c.forgetLocked()
	c.mu.Unlock()
	if l != nil {
		c.scope.spent(l)
		l.Release(reason, place, drop)
	}
	return nil
}

// releaseIdle gives the lease back if nothing needs it, and reports whether the
// connection is free of one.
func (c *Conn) releaseIdle(reason string, place pool.Place) bool {
	c.mu.Lock()
	l := c.lease
	if l == nil {
		c.mu.Unlock()
		return true
	}
	if _, open := l.Open(); open || c.uses > 0 {
		c.mu.Unlock()
		return false
	}
	c.forgetLocked()
	c.mu.Unlock()
	c.scope.spent(l)
	l.Release(reason, place, false)
	return true
}

// end is the end of the scope.
func (c *Conn) end() error {
	var block error
	c.mu.Lock()
	c.ended = true
	open := c.block.Load()
	if open != nil && open.root().lease.Load() != nil {
		block = c.inBlock()
	}
	for b := open; b != nil; b = b.outer {
		b.tear(fmt.Errorf("db: scope %q: %w", c.scope.Name(), ErrScopeEnded))
	}
	c.mu.Unlock()
	c.release("scope ended", pool.Place{}, false)
	if c.scope.connections.debug {
		c.tellRepeats()
	}
	if open != nil {
		c.move(nil)
	}
	c.database.pool.EndOwner(c.scope)
	if block != nil {
		return fmt.Errorf("db: scope %q ended, and what it had not committed is rolled back: %w", c.scope.Name(), block)
	}
	return nil
}

// inBlock returns nil outside of blocks, and ErrInAtomicBlock with the place of the
// outermost.
func (c *Conn) inBlock() error {
	if b := c.block.Load(); b != nil {
		return fmt.Errorf("%w on %q, begun at %s", ErrInAtomicBlock, c.alias, b.root().at())
	}
	return nil
}

// holder is the lease as others see it, if there is one.
func (c *Conn) holder() (Holder, bool) {
	c.mu.Lock()
	l := c.lease
	c.mu.Unlock()
	if l == nil {
		return Holder{}, false
	}
	return l.Holder()
}

func (c *Conn) open() (pool.Open, bool) {
	c.mu.Lock()
	l := c.lease
	c.mu.Unlock()
	if l == nil {
		return pool.Open{}, false
	}
	return l.Open()
}

func (c *Conn) usage() (queries int, inside time.Duration) {
	c.mu.Lock()
	l := c.lease
	c.mu.Unlock()
	if l == nil {
		return 0, 0
	}
	return l.Queries(), l.Inside()
}
