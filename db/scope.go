package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// Scope is one request, task or command: what holds connections, and gives them
// all back when it ends. Its goroutines share its connections, one statement at a
// time.
type Scope struct {
	connections *Connections
	watch       context.Context // ends the statements of the scope

	responding atomic.Bool  // leases are brief: the response begins
	begun      atomic.Bool  // what could go home before its first byte has
	keep       atomic.Bool  // by KeepConnection
	snapshots  atomic.Int32 // of Iterate, open now
	lease      atomic.Pointer[Lease]
	leases     atomic.Int32 // that its connections have now

	opened opened     // by whom
	run    bool       // by Run
	trace  Trace      // nil while nobody observes; set before anybody has the scope
	waits  *pool.Wait // who waits for this scope, in Run

	naming sync.Mutex // guards name; no other lock is taken inside
	name   string

	mu      sync.Mutex // guards the rest
	ended   bool
	conns   []*Conn // only ever grows: who has seen a part of it may go on reading
	space   [1]*Conn
	first   Conn // the first one's place
	queries int  // of leases that have ended
	inside  time.Duration
}

var _ pool.Owner = (*Scope)(nil)

// scopeContext is the context of a scope, and the scope itself.
type scopeContext struct {
	context.Context
	scope Scope
}

type scopeKey struct{}

func (c *scopeContext) Value(key any) any {
	if key == (scopeKey{}) {
		return &c.scope
	}
	return c.Context.Value(key)
}

func scopeOf(ctx context.Context) *Scope {
	sc, _ := ctx.Value(scopeKey{}).(*Scope)
	return sc
}

// NewScope opens a scope and returns the context in which [From] finds it. It
// leases nothing. When ctx ends, statements of the scope are cancelled; only End
// gives the connections back.
func (cs *Connections) NewScope(ctx context.Context, name string) (context.Context, *Scope) {
	if ctx == context.Background() || ctx == context.TODO() {
		ctx = withDone(ctx)
	}
	c := &scopeContext{Context: ctx}
	c.scope.connections = cs
	pool.Callers(c.scope.opened[:])
	c.scope.watch = ctx //nolint:fatcontext // a scope keeps the one context it was made with
	c.scope.name = name
	if by := cs.observers.Load(); by != nil {
		c.scope.observe(ctx, *by)
	}
	return c, &c.scope
}

// Run runs fn in a scope of its own: Django's request_started and
// request_finished around a task, a command, a cron job. It returns what fn
// returns, joined with what [Scope.End] says. A panic ends the scope and goes on.
//
// The scope of ctx, if there is one, keeps what it holds and counts as one that
// waits until Run returns: see [ErrSelfDeadlock]. In a goroutine that it does not
// wait for, say Run(context.WithoutCancel(ctx), ...).
func (cs *Connections) Run(ctx context.Context, name string, fn func(ctx context.Context) error) (err error) {
	waits := waitOf(ctx)
	ctx, sc := cs.NewScope(withDone(ctx), name)
	sc.run, sc.waits = true, waits
	defer func() {
		if endErr := sc.End(); endErr != nil {
			err = errors.Join(err, endErr)
		}
	}()
	return fn(ctx)
}

// Run is [Connections.Run] on the connections that ctx belongs to. It returns
// [ErrNoScope] when it belongs to none.
func Run(ctx context.Context, name string, fn func(ctx context.Context) error) error {
	sc := scopeOf(ctx)
	if sc == nil {
		return ErrNoScope
	}
	return sc.connections.Run(ctx, name, fn)
}

// ScopeOf returns the scope that ctx belongs to, nil when it belongs to none. Few need
// it: statements find theirs by themselves.
func ScopeOf(ctx context.Context) *Scope { return scopeOf(ctx) }

// Parent returns the scope that this one was opened in, and whether that waits for it:
// it does not when the context was cut off, context.WithoutCancel. It is nil for a
// scope of its own.
func (sc *Scope) Parent() (parent *Scope, waits bool) {
	parent = scopeOf(sc.watch)
	return parent, parent != nil && (sc.waits != nil || !sc.run)
}

// Name returns the route or the task.
func (sc *Scope) Name() string {
	sc.naming.Lock()
	defer sc.naming.Unlock()
	return sc.name
}

// SetName renames the scope: a request learns its route while it is under way.
func (sc *Scope) SetName(name string) {
	sc.naming.Lock()
	sc.name = name
	sc.naming.Unlock()
	if sc.trace != nil {
		sc.trace.Named(name)
	}
}

// SetLease changes how long the connections of this scope are held; the empty
// Lease is each alias' own CONN_LEASE. It counts from the next statement.
func (sc *Scope) SetLease(l Lease) { sc.lease.Store(&l) }

// Responding reports whether the response of this scope has begun: what had nothing
// open has gone home.
func (sc *Scope) Responding() bool { return sc.begun.Load() }

// Kept reports whether the code says by name that the scope holds a connection:
// [Scope.Keep] was called, or a loop over an [Iterate] in ModeSnapshot runs.
func (sc *Scope) Kept() bool { return sc.keep.Load() || sc.snapshots.Load() > 0 }

// End gives every connection back and ends the scope; later statements fail with
// [ErrScopeEnded]. It returns an error that names each transaction that was still
// open: it was rolled back. Rows left open are closed and logged. It may be called
// twice, and waits at most a quarter of a second for a connection.
func (sc *Scope) End() error {
	sc.mu.Lock()
	if sc.ended {
		sc.mu.Unlock()
		return nil
	}
	sc.ended = true
	conns := sc.conns
	sc.mu.Unlock()
	var errs []error
	for _, c := range conns {
		if err := c.end(); err != nil {
			errs = append(errs, err)
		}
	}
	if sc.trace != nil {
		sc.trace.ScopeEnds()
	}
	return errors.Join(errs...)
}

// conn returns the scope's connection of an alias.
func (sc *Scope) conn(alias string) *Conn {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	for _, c := range sc.conns {
		if c.alias == alias {
			return c
		}
	}
	d, ok := sc.connections.databases[alias]
	if !ok {
		return brokenConn(alias, &UnknownAliasError{Alias: alias, Have: sc.connections.aliases})
	}
	c := &sc.first
	if sc.conns == nil {
		sc.conns = sc.space[:0]
	} else {
		c = &Conn{}
	}
	c.scope, c.database, c.alias, c.ended = sc, d, alias, sc.ended
	sc.conns = append(sc.conns, c)
	return c
}

// lateMessage is for a statement of a scope that has ended.
const lateMessage = "db: a request or task is over, and its database is used; do that before, or in a db.Run of its own"

// late tells of a statement that comes after the end, and returns its error.
func (sc *Scope) late(ctx context.Context, alias string, used pool.Place) error {
	at := used.String()
	sc.connections.notices.Tell(ctx, slog.LevelWarn, pool.Notice{Message: lateMessage, At: at}, func() []slog.Attr {
		return []slog.Attr{slog.String("alias", alias), slog.String("holder", sc.Name()), slog.String("reason", "scope ended")}
	})
	return fmt.Errorf("db: scope %q: %w; it is used at %s", sc.Name(), ErrScopeEnded, at)
}

func (sc *Scope) touched() []*Conn {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return sc.conns[:len(sc.conns):len(sc.conns)]
}

// brief reports whether leases last for one statement or one block.
func (sc *Scope) brief(d *database) bool {
	if sc.keep.Load() {
		return false
	}
	if sc.responding.Load() {
		return true
	}
	lease := d.settings.ConnLease
	if l := sc.lease.Load(); l != nil && *l != "" {
		lease = *l
	}
	return lease == LeaseTransaction
}

// Respond is the release point of a response: it gives back every connection with
// nothing open on it and lends one per statement from then on. Rows and
// transactions that are open keep theirs until they end; they are returned, but for
// the snapshot of an [Iterate], which says so by its mode. It
// costs next to nothing when called again.
func (sc *Scope) Respond() []Holder {
	if sc.responding.Swap(true) || sc.keep.Load() {
		return nil
	}
	var holding []*Conn
	for _, c := range sc.touched() {
		if !c.releaseIdle("first byte", pool.Place{}) {
			holding = append(holding, c)
		}
	}
	sc.begun.Store(true)
	var held []Holder
	for _, c := range holding {
		if c.holdsByName() != nil {
			continue
		}
		if h, ok := c.holder(); ok {
			held = append(held, h)
		}
	}
	return held
}

// RespondReleased is the release point of a stream: every connection is given back,
// whatever is open on it, and later statements lease one each. Inside a
// transaction it returns [ErrInAtomicBlock] with its place, and changes nothing.
func (sc *Scope) RespondReleased() error {
	if err := sc.InAtomicBlock(); err != nil {
		return err
	}
	sc.responding.Store(true)
	for _, c := range sc.touched() {
		if err := c.giveBack("stream", pool.Here(1), false); err != nil {
			return err // a goroutine has begun a block meanwhile
		}
	}
	sc.begun.Store(true)
	return nil
}

// InAtomicBlock returns nil outside of any transaction, and otherwise
// [ErrInAtomicBlock] with the alias and the place where it was begun.
func (sc *Scope) InAtomicBlock() error {
	for _, c := range sc.touched() {
		if err := c.inBlock(); err != nil {
			return err
		}
	}
	return nil
}

// Keep says by name that what the scope holds stays held until it ends, also while
// its response is sent.
func (sc *Scope) Keep() {
	sc.keep.Store(true)
	sc.responding.Store(true)
	sc.begun.Store(true)
}

// ReleaseIdle gives back every connection with nothing open on it, before
// something that may wait for the client. The next statement leases again.
func (sc *Scope) ReleaseIdle() {
	for _, c := range sc.touched() {
		c.releaseIdle("request body", pool.Place{})
	}
}

// Held returns nil when the scope has no rows, no transaction and no prepared
// statement open, and otherwise a *[HeldError] with the caller's place. A statement
// that another goroutine of the scope is running does not count: it ends by itself.
// Nor does the snapshot of an [Iterate]: its mode says so by name.
func (sc *Scope) Held() error {
	for _, c := range sc.touched() {
		if c.holdsByName() != nil {
			continue
		}
		if open, ok := c.open(); ok && !open.Running {
			here := pool.Here(1)
			return &HeldError{Alias: c.alias, What: open.What, Opened: open.Place, Yielded: here.String()}
		}
	}
	return nil
}

// Leases counts the leases that the scope has now: while it is zero, nothing is
// open, and [Scope.Held] need not be asked.
func (sc *Scope) Leases() *atomic.Int32 { return &sc.leases }

// Usage returns how many statements the scope has sent and how long it spent in
// the database.
func (sc *Scope) Usage() (queries int, inside time.Duration) {
	for _, c := range sc.touched() {
		q, d := c.usage()
		queries += q
		inside += d
	}
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return queries + sc.queries, inside + sc.inside
}

// spent adds what a lease has done, when it ends.
func (sc *Scope) spent(l *pool.Lease) {
	queries, inside := l.Queries(), l.Inside()
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.queries += queries
	sc.inside += inside
}

// String names the scope.
func (sc *Scope) String() string { return fmt.Sprintf("db.Scope %q", sc.Name()) }
