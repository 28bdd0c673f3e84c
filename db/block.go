package db

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// block is a transaction or a part of one while it is open: what Atomic, BeginTx and
// ATOMIC_REQUESTS put around statements. The blocks of a connection are a stack, and
// statements run in the innermost; a context says which one a statement is meant for.
//
// What changes a block on the connection happens inside of pool.Lease.Control, when
// nobody else can be on it.
type block struct {
	conn  *Conn
	outer *block // nil for the outermost
	kind  blockKind
	place pool.Place

	// name is the savepoint that the block is, and what decides about the
	// statements that it sends: without a name it is the transaction, or, merged, a
	// part of the outer block that has no savepoint.
	name   string
	merged bool

	options pool.TxOptions // of the outermost
	// beginning is held by who sends the BEGIN of a block that is lazy; nil for
	// others.
	beginning chan struct{}
	lease     atomic.Pointer[pool.Lease] // of the outermost, once it has begun

	state      atomic.Int32
	tornBy     error // of a torn block
	failure    atomic.Pointer[failure]
	savepoints []savepoint // made as text; of who has the connection

	callbacks []callback // guarded by conn.mu
}

type blockKind int

const (
	atomicBlock  blockKind = iota
	beginBlock             // a BeginTx
	requestBlock           // of ATOMIC_REQUESTS
)

// The states of a block.
const (
	blockOpen  int32 = iota
	blockEnded       // left; a context that has it is outside of it again
	blockTorn        // ended from outside while its function still runs: that must hear of it
)

// failure is the first thing that went wrong in a block.
type failure struct {
	place pool.Place
	query string
	err   error
	depth int // savepoints that were open as text
}

// savepoint is one that a library has made as text.
type savepoint struct{ name string }

// blockContext is the context of the function of a block. The connection is the
// key: each scope has its own, so that a block stays within its scope.
type blockContext struct {
	context.Context
	block *block
}

func (c *blockContext) Value(key any) any {
	if key == any(c.block.conn) {
		return c.block
	}
	return c.Context.Value(key)
}

// blockIn returns the innermost block of this connection that ctx takes part in.
func (c *Conn) blockIn(ctx context.Context) *block {
	b, _ := ctx.Value(c).(*block)
	for b != nil && b.state.Load() == blockEnded {
		b = b.outer
	}
	return b
}

func (b *block) root() *block {
	for b.outer != nil {
		b = b.outer
	}
	return b
}

// at is where the block was begun, for errors.
func (b *block) at() string {
	if b.kind == requestBlock {
		return "the start of the request, by ATOMIC_REQUESTS"
	}
	return b.place.String()
}

// mark makes the block one that can only be rolled back. The first failure counts.
func (b *block) mark(f *failure) { b.failure.CompareAndSwap(nil, f) }

// aborted is the error of a block that has failed, nil for others. The innermost
// block with a failure tells it.
func (b *block) aborted(here pool.Place) error {
	f := b.failure.Load()
	if f == nil {
		return nil
	}
	return &AbortedError{Alias: b.conn.alias, Here: here.String(), First: f.place.String(), Query: f.query, Err: f.err}
}

// takesPart returns the block that a statement of ctx belongs to, nil for autocommit,
// or says why it may not run.
func (c *Conn) takesPart(ctx context.Context, here pool.Place, via *block) (*block, error) {
	open := c.block.Load()
	if open == nil && c.torn.Load() == 0 {
		return nil, nil
	}
	in := via
	if in == nil {
		in = c.blockIn(ctx)
	}
	switch {
	case in != nil && in.state.Load() == blockTorn:
		return nil, in.tornError(here)
	case open == nil: // it has just ended
		return nil, nil
	case in != open:
		return nil, &OutsideBlockError{Alias: c.alias, Here: here.String(), Begun: open.at(), tx: open.kind == beginBlock, inner: in != nil}
	}
	return in, nil
}

func (b *block) tornError(here pool.Place) error {
	return fmt.Errorf("db: the block on %q begun at %s, used at %s, was rolled back before its end: %w",
		b.conn.alias, b.at(), here.String(), b.tornBy)
}

// Admit implements pool.Blocks. It is not for users.
func (c *Conn) Admit(st *pool.Statement) error {
	if c.block.Load() == nil && c.torn.Load() == 0 {
		return nil
	}
	via, _ := st.Via().(*block)
	b, err := c.takesPart(st.Context, st.At(), via)
	if err != nil || b == nil {
		return err
	}
	if root := b.root(); root.lease.Load() != st.Lease() { // cut off while the block was open
		return fmt.Errorf("%w: the block on %q begun at %s has lost its connection; used at %s", ErrReleased, c.alias, root.at(), placeOf(st))
	}
	text, name := pool.TextOf(st.Query())
	switch text {
	case pool.Begins, pool.Ends:
		return fmt.Errorf("%w on %q, begun at %s: it sends BEGIN, COMMIT and ROLLBACK itself; %q at %s was not sent",
			ErrInAtomicBlock, c.alias, b.root().at(), st.Query(), placeOf(st))
	case pool.RollsBack:
		if f := b.failure.Load(); f != nil && b.absorbs(f, name) {
			return nil
		}
	}
	return b.aborted(st.At())
}

func placeOf(st *pool.Statement) string {
	at := st.At()
	return at.String()
}

// Failed implements pool.Blocks. It is not for users.
func (c *Conn) Failed(st *pool.Statement, err error) {
	b := c.block.Load()
	if b == nil || b.root().lease.Load() == nil { // not begun: nothing is lost with it
		return
	}
	b.mark(&failure{place: st.At(), query: st.Query(), err: err, depth: len(b.savepoints)})
}

// Savepoint implements pool.Blocks: libraries nest with savepoints of their own, and
// going back to one takes back what failed since then. It is not for users.
func (c *Conn) Savepoint(text pool.TxText, name string) {
	b := c.block.Load()
	if b == nil {
		return
	}
	i := b.savepoint(name)
	switch {
	case text == pool.Saves:
		b.savepoints = append(b.savepoints, savepoint{name})
	case i < 0:
	case text == pool.Releases:
		b.savepoints = b.savepoints[:i]
	case text == pool.RollsBack:
		if f := b.failure.Load(); f != nil && f.depth > i {
			b.failure.Store(nil)
		}
		b.savepoints = b.savepoints[:i+1]
	}
}

// savepoint is the index of the innermost savepoint with the name, -1 without.
func (b *block) savepoint(name string) int {
	for i := len(b.savepoints) - 1; i >= 0; i-- {
		if b.savepoints[i].name == name {
			return i
		}
	}
	return -1
}

// absorbs reports whether going back to the savepoint takes the failure back.
func (b *block) absorbs(f *failure, name string) bool {
	i := b.savepoint(name)
	return i >= 0 && f.depth > i
}

// Begun implements pool.Blocks. It is not for users.
func (c *Conn) Begun() (pool.Place, bool) {
	b := c.block.Load()
	if b == nil {
		return pool.Place{}, false
	}
	root := b.root()
	return root.place, root.lease.Load() != nil
}

// Within implements pool.Blocks. It is not for users.
func (c *Conn) Within(ctx context.Context) bool { return c.blockIn(ctx) != nil }

// move makes b the innermost block.
func (c *Conn) move(b *block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.block.Store(b)
}

// enter opens a block inside of the one that ctx has, or the outermost.
func (c *Conn) enter(ctx context.Context, b *block) error {
	if c.err != nil {
		return c.err
	}
	outer, err := c.takesPart(ctx, b.place, nil)
	if err != nil {
		return err
	}
	b.conn, b.outer = c, outer
	if outer == nil {
		return c.enterOutermost(ctx, b)
	}
	return c.enterInner(ctx, b)
}

func (c *Conn) enterOutermost(ctx context.Context, b *block) error {
	b.merged = false
	l, err := c.hold(ctx, b.place)
	if err != nil {
		return err
	}
	return b.begin(ctx, l, b.place, func() error {
		_, err := c.takesPart(ctx, b.place, nil) // another goroutine may have begun one
		return err
	})
}

// begin sends the BEGIN of the outermost block on l, which it holds from then on.
func (b *block) begin(ctx context.Context, l *pool.Lease, place pool.Place, before func() error) error {
	c := b.conn
	sent, err := l.Begin(ctx, place, b.options, before, func(err error) {
		if err == nil {
			b.lease.Store(l)
			c.move(b)
		}
	})
	if err == nil {
		return nil
	}
	if sent {
		if in, known := l.InTransaction(); in || !known {
			c.release("BEGIN failed", place, false)
		}
	}
	c.Ended(l)
	return err
}

// ensureBegun sends the BEGIN of a block that is lazy, once.
func (b *block) ensureBegun(ctx context.Context, place pool.Place) error {
	root := b.root()
	if root.lease.Load() != nil || root.beginning == nil {
		return nil
	}
	select {
	case root.beginning <- struct{}{}:
	case <-ctx.Done():
		return contextError(ctx)
	}
	defer func() { <-root.beginning }()
	if root.lease.Load() != nil || root.state.Load() != blockOpen {
		return nil
	}
	l, err := root.conn.hold(ctx, place)
	if err != nil {
		return err
	}
	return root.begin(ctx, l, place, func() error { return nil })
}

func (c *Conn) enterInner(ctx context.Context, b *block) error {
	outer := b.outer
	if err := outer.ensureBegun(ctx, b.place); err != nil {
		return err
	}
	query := ""
	if !b.merged {
		depth := 0
		for o := outer; o != nil; o = o.outer {
			depth++
		}
		b.name = "atomic_" + strconv.Itoa(depth)
		query = "SAVEPOINT " + b.name
	}
	l := outer.root().lease.Load()
	if l == nil {
		return fmt.Errorf("%w: the block on %q begun at %s has just ended", ErrBlockOrder, c.alias, outer.at())
	}
	_, err := l.Control(ctx, b.place, query, func() error {
		if _, err := c.takesPart(ctx, b.place, nil); err != nil {
			return err
		}
		return outer.aborted(b.place)
	}, func(err error) {
		if err == nil {
			c.move(b)
		}
	})
	return err
}

// leave ends the block: keeps what it has done when err is nil and nothing speaks
// against that, and takes it back otherwise. It returns err or what speaks against
// it, and the callbacks that are due now.
func (b *block) leave(ctx context.Context, err error) ([]callback, error) {
	here := b.place
	if b.state.Load() == blockTorn {
		return nil, join(withoutRollback(err), b.leaveTorn())
	}
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("db: the block on %q begun at %s is rolled back: %w", b.conn.alias, b.at(), contextError(ctx))
	}
	if err == nil {
		err = b.aborted(here)
	}
	if err == nil {
		callbacks, err := b.keep(ctx)
		if err == nil {
			return callbacks, nil
		}
		return nil, join(err, b.takeBack(ctx, err))
	}
	back := b.takeBack(ctx, err)
	return nil, join(withoutRollback(err), back)
}

// join is errors.Join that leaves a single error as it is.
func join(err, other error) error {
	switch {
	case err == nil:
		return other
	case other == nil:
		return err
	}
	return errors.Join(err, other)
}

// leaveTorn is the end of a block that was ended from outside.
func (b *block) leaveTorn() error {
	b.close()
	return b.tornError(b.place)
}

// close makes the block one that is over.
func (b *block) close() {
	if b.state.Swap(blockEnded) == blockTorn {
		b.conn.torn.Add(-1)
	}
}

// keep commits: COMMIT, RELEASE SAVEPOINT, or nothing for a merged block. The client
// that has just gone does not stop it.
func (b *block) keep(ctx context.Context) (callbacks []callback, err error) {
	c := b.conn
	query := "COMMIT"
	switch {
	case b.merged:
		query = ""
	case b.name != "":
		query = "RELEASE SAVEPOINT " + b.name
	}
	l := b.root().lease.Load()
	sent, err := l.Control(context.WithoutCancel(ctx), b.place, query, func() error {
		if err := b.isInnermost(); err != nil {
			return err
		}
		if err := b.aborted(b.place); err != nil {
			return err
		}
		if b.outer == nil {
			return b.committable(l)
		}
		return nil
	}, func(err error) {
		if err == nil {
			callbacks = b.ended()
		}
	})
	if err != nil {
		// Whatever is no answer of the database leaves it open.
		if sent && b.outer == nil && (!errors.Is(err, ErrDatabase) || errors.Is(err, ErrConnectionLost)) {
			err = fmt.Errorf("%w: the block on %q begun at %s: %w", ErrCommitUnknown, c.alias, b.at(), err)
		}
		return nil, err
	}
	if b.outer == nil {
		c.Ended(l)
	}
	return callbacks, nil
}

func (b *block) committable(l *pool.Lease) error {
	err := l.Committable(b.options)
	if err == nil || errors.Is(err, ErrConnectionLost) || errors.Is(err, ErrReleased) {
		return err
	}
	return &AbortedError{Alias: b.conn.alias, Here: b.place.String(), First: "an unknown place", Err: err}
}

// isInnermost returns ErrBlockOrder when a block inside of this one is open.
func (b *block) isInnermost() error {
	if b.state.Load() == blockTorn {
		return b.tornError(b.place)
	}
	for o := b.conn.block.Load(); o != nil; o = o.outer {
		if o.outer == b {
			return fmt.Errorf("%w: the block on %q begun at %s ends while the one inside it, begun at %s, is still open; both are rolled back",
				ErrBlockOrder, b.conn.alias, b.at(), o.at())
		}
	}
	return nil
}

// ended makes the outer block the innermost, and returns the callbacks that are due
// then; a block inside of others hands them on.
func (b *block) ended() (due []callback) {
	c := b.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	b.close()
	c.block.Store(b.outer)
	if b.outer == nil {
		return b.callbacks
	}
	b.outer.callbacks = append(b.outer.callbacks, b.callbacks...)
	return nil
}

// rollbackLimit bounds a rollback, which has nothing to do.
const rollbackLimit = time.Second

// takeBack rolls back, whoever still waits for it. cause is why: a block without a
// savepoint hands it to the outer one. It returns what the caller must hear of
// besides.
func (b *block) takeBack(ctx context.Context, cause error) error {
	order := b.tearInner(cause)
	if b.state.Load() == blockTorn {
		return join(order, b.leaveTorn())
	}
	if b.merged {
		b.outer.mark(&failure{place: b.place, err: cause})
		b.drop()
		return order
	}
	query := "ROLLBACK"
	if b.name != "" {
		query = "ROLLBACK TO SAVEPOINT " + b.name + "; RELEASE SAVEPOINT " + b.name
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackLimit)
	defer cancel()
	l := b.root().lease.Load()
	_, err := l.Control(ctx, b.place, query, func() error {
		if b.state.Load() == blockTorn {
			return errOver
		}
		if in, known := l.InTransaction(); b.outer == nil && known && !in {
			return errOver // SQLite has rolled it back by itself
		}
		return nil
	}, func(err error) {
		if err == nil {
			b.drop()
		}
	})
	switch {
	case err == nil:
	case errors.Is(err, errOver):
		b.drop()
	case b.outer != nil: // it is broken with this one
		b.outer.mark(&failure{place: b.place, query: query, err: err})
		b.drop()
	default:
		// With its connection gone, or given back, the transaction is over.
		if !errors.Is(err, ErrConnectionLost) && !errors.Is(err, ErrReleased) {
			b.conn.scope.connections.logger.Warn("db: the connection is given up: its transaction could not be rolled back",
				"alias", b.conn.alias, "begun", b.at(), "err", err)
			b.conn.release("rollback failed", b.place, true)
		}
		b.drop()
	}
	if b.outer == nil {
		b.conn.Ended(l)
	}
	return order
}

// drop ends the block with its callbacks.
func (b *block) drop() {
	c := b.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	b.close()
	b.callbacks = nil
	if b.outer == nil || b.outer.state.Load() == blockOpen {
		c.block.Store(b.outer)
	}
}

// tearInner ends the blocks that are open inside of this one, whose functions have
// not returned yet. It returns ErrBlockOrder unless cause is that already.
func (b *block) tearInner(cause error) (order error) {
	c := b.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.state.Load() == blockTorn {
		return nil
	}
	if order = b.isInnermost(); order == nil {
		return nil
	}
	for o := c.block.Load(); o != nil && o != b; o = o.outer {
		o.tear(order)
	}
	if errors.Is(cause, ErrBlockOrder) {
		return nil
	}
	return order
}

// tear marks a block that ends before its function has; conn.mu is taken.
func (b *block) tear(by error) {
	if b.state.Load() != blockOpen {
		return
	}
	b.tornBy = by
	b.state.Store(blockTorn)
	b.conn.torn.Add(1)
}

// errOver says that there is nothing to roll back.
var errOver = errors.New("db: the transaction is over")

// contextError is ctx's error, with its cause beside it when that is another.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
