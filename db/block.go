package db

import (
	"context"
	"fmt"
	"sync/atomic"

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
	atomicBlock   blockKind = iota
	beginBlock              // a BeginTx
	requestBlock            // of ATOMIC_REQUESTS
	snapshotBlock           // of Iterate: held by name
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
