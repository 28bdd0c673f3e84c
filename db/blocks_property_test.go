package db_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// The property of blocks: whatever program of blocks, statements, callbacks, failures
// and concurrent siblings a scope runs, the rows that are stored and the callbacks that
// ran are exactly those that a simple model predicts. The model knows two things: a
// statement that was accepted shares the fate of its block, and a block that is
// not kept takes along what is in it. A statement that landed in a block it was not
// in would share another fate.
//
// QUINTET_BLOCK_RUNS=10000 runs the whole count; QUINTET_BLOCK_SEED repeats one.
func TestBlocks_DoWhatASimpleModelPredicts(t *testing.T) {
	t.Parallel()
	runs, seed := number(t, "QUINTET_BLOCK_RUNS", 600), uint64(number(t, "QUINTET_BLOCK_SEED", int(time.Now().UnixNano()>>10)))
	t.Logf("seed %d, %d runs on each engine", seed, runs)
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		if settings.Engine == dbtest.SQLite {
			settings.Options = map[string]string{"synchronous": "off"}
		}
		settings.AtomicRequests = true
		conns := dbtest.Open(t, onlyOne(settings))
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return exec(ctx, conn, "CREATE TABLE item (id integer PRIMARY KEY)", "INSERT INTO item VALUES (0)")
		})
		m := &model{t: t}
		for run := range runs {
			m.run(conns, rand.New(rand.NewPCG(seed, uint64(run))))
			if t.Failed() {
				t.Fatalf("run %d of seed %d on %s", run, seed, settings.Engine)
			}
		}
		t.Logf("%s: %d steps, %d of them refused; %d blocks, %d of them kept; the deepest was %d",
			settings.Engine, m.steps, m.refused, m.blocks, m.kept, m.deepest)
		expect(t, "connections opened", stats(conns).Opened, 1)
		if m.deepest < 50 && runs >= 600 {
			t.Errorf("no block was 50 deep, but %d", m.deepest)
		}
	})
}

func number(t *testing.T, key string, otherwise int) int {
	t.Helper()
	text := os.Getenv(key)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// step is one step of a program.
type step struct {
	kind     string // write, double, callback, stale, block, siblings
	id       int
	merged   bool   // a block without a savepoint
	inTx     bool   // a RunInTx
	outcome  string // of a block: keep, error, rollback, panic, gone
	children []*step
}

// program makes up a program. Most are small; some go 50 blocks deep.
func program(r *rand.Rand, id *int, depth, deepest int) []*step {
	var steps []*step
	n := 1 + r.IntN(4)
	if depth > 3 {
		n = 1 + r.IntN(2)
	}
	for range n {
		*id++
		s := &step{id: *id}
		switch p := r.IntN(100); {
		case p < 40:
			s.kind = "write"
		case p < 55:
			s.kind = "callback"
		case p < 60 && (deepest == 0 || r.IntN(20) == 0): // which lets nothing deeper in
			s.kind = "double"
		case p < 65:
			s.kind = "stale"
		case p < 75 && depth < 3:
			s.kind = "siblings"
			for range 2 + r.IntN(2) {
				s.children = append(s.children, program(r, id, depth+1, 0)...)
			}
		case depth < 4:
			s = block(r, id, depth, 0)
		default:
			s.kind = "write"
		}
		steps = append(steps, s)
	}
	if depth < deepest {
		steps = append(steps, block(r, id, depth, deepest))
	}
	return steps
}

func block(r *rand.Rand, id *int, depth, deepest int) *step {
	outcomes := []string{"keep", "keep", "keep", "keep", "error", "rollback", "panic", "gone"}
	if deepest > 0 {
		outcomes = slices.Concat(slices.Repeat([]string{"keep"}, 40), outcomes[4:])
	}
	return &step{
		kind: "block", outcome: outcomes[r.IntN(len(outcomes))], merged: r.IntN(4) == 0, inTx: r.IntN(8) == 0,
		children: program(r, id, depth+1, deepest),
	}
}

// model runs programs and predicts what comes of them.
type model struct {
	t  *testing.T
	id int

	mu        sync.Mutex
	rows      []int // that must be stored
	callbacks []int // that must have run
	ran       []int // that have

	steps, refused, blocks, kept, deepest int
}

// fate is what the model knows of an open block, and of what is outside of any.
type fate struct {
	m         *model
	depth     int
	outer     context.Context // whose statements are not in this block; nil outside of any
	rows      []int
	callbacks []int
	broken    bool
	refused   error // a sibling was told that the block is broken, perhaps before the model was
}

func (m *model) run(conns *db.Connections, r *rand.Rand) {
	first := m.id + 1
	m.rows, m.callbacks, m.ran = nil, nil, nil
	deepest := 0
	if r.IntN(50) == 0 {
		deepest = 50
	}
	steps := program(r, &m.id, 0, deepest)
	ctx, sc := conns.NewScope(m.t.Context(), "program")
	switch r.IntN(4) {
	case 0:
		m.request(ctx, sc, steps, r.IntN(3) > 0)
	default:
		autocommit := &fate{m: m}
		for _, s := range steps {
			autocommit.step(ctx, s, false)
		}
	}
	if err := sc.End(); err != nil {
		m.t.Error(err)
	}
	var stored []int
	scope(m.t, conns, func(ctx context.Context, conn *db.Conn) error {
		expect(m.t, "in a block", conn.InAtomicBlock(), false)
		return conn.NewSelect().Table("item").Column("id").Where("id >= ?", first).Order("id").Scan(ctx, &stored)
	})
	slices.Sort(m.rows)
	if !slices.Equal(stored, m.rows) {
		m.t.Errorf("stored %v, want %v", stored, m.rows)
	}
	slices.Sort(m.callbacks)
	slices.Sort(m.ran)
	if !slices.Equal(m.ran, m.callbacks) {
		m.t.Errorf("callbacks %v ran, want %v", m.ran, m.callbacks)
	}
}

// request runs a program as the view of a request with ATOMIC_REQUESTS.
func (m *model) request(outer context.Context, sc *db.Scope, steps []*step, commit bool) {
	ctx, blocks, err := sc.AtomicRequests(outer, db.AtomicRequestsOptions{Deferred: len(steps)%2 == 0})
	if err != nil {
		m.t.Error(err)
		return
	}
	inner := &fate{m: m, depth: 1, outer: outer}
	for _, s := range steps {
		inner.step(ctx, s, false)
	}
	if commit && !inner.broken {
		m.rows, m.callbacks = inner.rows, inner.callbacks
	}
	switch {
	case !commit:
		err = blocks.Rollback()
	case inner.broken:
		expectError(m.t, "the commit of a request that has failed", blocks.Commit(), db.ErrTransactionAborted)
	default:
		err = blocks.Commit()
	}
	if err != nil {
		m.t.Error(err)
	}
}

// may fails the test unless err is one of those that the model allows.
func (f *fate) may(what string, err error, siblings bool) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.refused++
	switch {
	case siblings && errors.Is(err, db.ErrOutsideBlock): // one of them has a block open
	case siblings && errors.Is(err, db.ErrTransactionAborted):
		f.refused = err
	case f.broken && errors.Is(err, db.ErrTransactionAborted):
	default:
		f.m.t.Errorf("%s: %v", what, err)
	}
}

func (f *fate) note(list *[]int, id int) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	*list = append(*list, id)
}

func (f *fate) breaks() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.broken = f.outer != nil
}

func (f *fate) isBroken() bool {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.broken
}

// step runs one step in ctx, which is the one of f. With siblings, other goroutines
// run steps in it, too.
func (f *fate) step(ctx context.Context, s *step, siblings bool) {
	m := f.m
	m.mu.Lock()
	m.steps++
	m.mu.Unlock()
	broken := f.isBroken()
	switch s.kind {
	case "write":
		switch err := put(ctx, s.id); {
		case err != nil:
			f.may("a write", err, siblings)
		case broken:
			m.t.Errorf("a write into a block that has failed was accepted")
		default:
			f.note(&f.rows, s.id)
		}
	case "double":
		err := put(ctx, 0)
		if errors.Is(err, db.ErrUnique) && !errors.Is(err, db.ErrTransactionAborted) {
			f.breaks()
		} else {
			f.may("a double key", err, siblings)
		}
	case "callback":
		at := f.note
		err := db.OnCommit(ctx, func(context.Context) error { at(&m.ran, s.id); return nil })
		if err == nil {
			f.note(&f.callbacks, s.id)
		} else {
			f.may("a callback", err, siblings)
		}
	case "stale":
		if f.outer != nil {
			expectError(m.t, "a statement of the block around it", put(f.outer, s.id), db.ErrOutsideBlock)
		}
	case "siblings":
		var all sync.WaitGroup
		for _, child := range s.children {
			all.Go(func() { f.step(ctx, child, true) })
		}
		all.Wait()
		if !siblings && f.refused != nil && !f.broken { // all of them have ended
			m.t.Errorf("siblings were told of a failure that there was not: %v", f.refused)
		}
	case "block":
		f.block(ctx, s, siblings)
	}
	if f.outer == nil {
		f.settle()
	}
}

// settle is what autocommit does: everything is kept at once.
func (f *fate) settle() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.rows = append(f.m.rows, f.rows...)
	f.m.callbacks = append(f.m.callbacks, f.callbacks...)
	f.rows, f.callbacks = nil, nil
}

func put(ctx context.Context, id int) error {
	_, err := db.From(ctx).ExecContext(ctx, "INSERT INTO item (id) VALUES (?)", id)
	return err
}

// block runs a block, and decides what becomes of it.
func (f *fate) block(outer context.Context, s *step, siblings bool) {
	m := f.m
	inner := &fate{m: m, depth: f.depth + 1, outer: outer}
	entered := false
	ctx, leave := context.WithCancel(outer)
	defer leave()
	err, panicked := attempt(func() error {
		body := func(ctx context.Context) error {
			entered = true
			for _, child := range s.children {
				inner.step(ctx, child, false)
			}
			switch s.outcome {
			case "error":
				return errWanted
			case "rollback":
				return db.ErrRollback
			case "panic":
				panic(s)
			case "gone":
				leave()
			}
			return nil
		}
		if s.inTx {
			s.merged = false
			return db.From(ctx).RunInTx(ctx, nil, func(ctx context.Context, _ bun.Tx) error { return body(ctx) })
		}
		return db.AtomicWith(ctx, db.AtomicOptions{NoSavepoint: s.merged}, body)
	})
	if !entered {
		f.may("a block", err, siblings)
		return
	}
	kept := s.outcome == "keep" && !inner.broken
	m.mu.Lock()
	m.blocks++
	m.deepest = max(m.deepest, inner.depth)
	if kept {
		m.kept++
		f.rows = append(f.rows, inner.rows...)
		f.callbacks = append(f.callbacks, inner.callbacks...)
	} else if s.merged && f.outer != nil {
		f.broken = true
	}
	m.mu.Unlock()
	want := map[string]error{"error": errWanted, "gone": context.Canceled}[s.outcome]
	if s.outcome == "keep" && inner.broken {
		want = db.ErrTransactionAborted
	}
	switch {
	case s.outcome == "panic":
		expect(m.t, "the panic", panicked, any(s))
	case panicked != nil:
		m.t.Errorf("panic: %v", panicked)
	case want == nil && err != nil, !errors.Is(err, want):
		m.t.Errorf("a block that ends with %q and is broken: %t: %v, want %v", s.outcome, inner.broken, err, want)
	}
}

func attempt(fn func() error) (err error, panicked any) { //nolint:revive,staticcheck // in the order of what matters
	defer func() { panicked = recover() }()
	return fn(), nil
}
