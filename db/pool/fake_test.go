package pool_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// network is a database at the outermost edge: what the driver talks to. Its
// statements are words: "sleep 2ms", "rows", "hang" until it is cancelled, "deaf"
// until its socket is gone, "fail", "doubtful"; anything else succeeds at once.
type network struct {
	dialling time.Duration     // how long a Connect takes
	dial     func(n int) error // whether the n-th succeeds
	peek     func(*wire) error // nil finds nothing
	ping     func(ctx context.Context) error
	cancel   func(n int) error // of the n-th request; errIgnored is not noticed
	linger   time.Duration     // how long a request goes on after it was noticed
	farewell time.Duration     // how long a Close takes
	demoted  func(*wire) bool  // nil is nobody
	traits   pool.Traits

	mu                                sync.Mutex
	dials, live, most, pings, cancels int
	closed, killed, resets            int
	sent                              []string
}

var (
	errCanceled = errors.New("canceled by request")
	errKilled   = errors.New("socket closed")
	errFailed   = errors.New("failed")
	errDoubtful = errors.New("doubtful")
	errIgnored  = errors.New("ignored")
)

// wire is one connection to it.
type wire struct {
	n      *network
	number int
	mu     sync.Mutex
	stop   chan struct{} // of the statement that runs
	cut    chan struct{} // closed by Kill
	dead   bool
}

func (n *network) count(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// of reads one of the counts.
func (n *network) of(count *int) (value int) {
	n.count(func() { value = *count })
	return value
}

func (n *network) Connect(ctx context.Context) (driver.Conn, error) {
	var number int
	n.count(func() {
		n.dials++
		number = n.dials
		n.live++
		n.most = max(n.most, n.live)
	})
	fail := func(err error) (driver.Conn, error) {
		n.count(func() { n.live-- })
		return nil, err
	}
	select {
	case <-time.After(n.dialling):
	case <-ctx.Done():
		return fail(ctx.Err())
	}
	if n.dial != nil {
		if err := n.dial(number); err != nil {
			return fail(err)
		}
	}
	return &wire{n: n, number: number, cut: make(chan struct{})}, nil
}

func (n *network) Close(c driver.Conn) error { return c.Close() }

func (n *network) Kill(c driver.Conn) {
	w := c.(*wire)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.dead {
		w.dead = true
		close(w.cut)
		n.count(func() { n.killed++ })
	}
}

func (n *network) Peek(c driver.Conn) error {
	if n.peek == nil {
		return nil
	}
	return n.peek(c.(*wire))
}

func (n *network) Ping(ctx context.Context, _ driver.Conn) error {
	n.count(func() { n.pings++ })
	if n.ping == nil {
		return nil
	}
	return n.ping(ctx)
}

func (n *network) Cancel(_ context.Context, c driver.Conn) error {
	var number int
	n.count(func() { n.cancels++; number = n.cancels })
	if n.cancel != nil {
		if err := n.cancel(number); err != nil {
			if errors.Is(err, errIgnored) {
				return nil
			}
			return err
		}
	}
	w := c.(*wire)
	w.mu.Lock()
	if w.stop != nil {
		close(w.stop)
		w.stop = nil
	}
	w.mu.Unlock()
	time.Sleep(n.linger)
	return nil
}

func (n *network) InTransaction(driver.Conn) (in, known bool) { return false, false }

func (n *network) Begin(pool.TxOptions) (string, error) { return "begin", nil }

func (n *network) Committable(driver.Conn, pool.TxOptions) error { return nil }

func (n *network) Kind(driver.Conn, error) error { return nil }

func (n *network) Reset(context.Context, driver.Conn) error {
	n.count(func() { n.resets++ })
	return nil
}

func (n *network) Dirties(query string) bool { return strings.HasPrefix(query, "set") }

func (n *network) Classify(err error) pool.Class {
	switch {
	case errors.Is(err, errCanceled):
		return pool.Canceled
	case errors.Is(err, errKilled), errors.Is(err, driver.ErrBadConn):
		return pool.Lost
	case errors.Is(err, errDoubtful):
		return pool.Doubtful
	}
	return pool.Harmless
}

func (n *network) Demoted(c driver.Conn) bool { return n.demoted != nil && n.demoted(c.(*wire)) }

func (n *network) Transient(err error) bool { return !errors.Is(err, errFailed) }

func (n *network) Traits() pool.Traits { return n.traits }

func (w *wire) Close() error {
	time.Sleep(w.n.farewell)
	w.n.count(func() { w.n.live--; w.n.closed++ })
	return nil
}

func (w *wire) Prepare(query string) (driver.Stmt, error) {
	return nil, errors.New("fake: no statements")
}
func (w *wire) Begin() (driver.Tx, error) { return nil, errors.New("fake: no transactions") }

func (w *wire) ExecContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(0), w.run(query)
}

func (w *wire) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	return &answer{w: w, query: query}, w.run(query)
}

func (w *wire) run(query string) error {
	w.n.count(func() { w.n.sent = append(w.n.sent, query) })
	w.mu.Lock()
	if w.dead {
		w.mu.Unlock()
		return errKilled
	}
	stop := make(chan struct{})
	w.stop = stop
	w.mu.Unlock()
	word, argument, _ := strings.Cut(query, " ")
	var over <-chan time.Time
	switch word {
	case "sleep":
		d, err := time.ParseDuration(argument)
		if err != nil {
			return err
		}
		over = time.After(d)
	case "hang":
	case "deaf":
		stop = nil
	case "fail":
		return errFailed
	case "doubtful":
		return errDoubtful
	default:
		return nil
	}
	select {
	case <-over:
		return nil
	case <-stop:
		return errCanceled
	case <-w.cut:
		return errKilled
	}
}

// answer is endless rows whose Close reads on for as long as the query says.
type answer struct {
	w     *wire
	query string
}

func (*answer) Columns() []string { return []string{"n"} }

func (a *answer) Next(dest []driver.Value) error {
	if strings.HasPrefix(a.query, "empty") {
		return io.EOF
	}
	dest[0] = int64(1)
	return nil
}

func (a *answer) Close() error {
	switch {
	case strings.HasPrefix(a.query, "rows slow"):
		return a.w.run("hang")
	case strings.HasPrefix(a.query, "rows deaf"):
		return a.w.run("deaf")
	}
	return nil
}

// owner is on whose behalf a lease is taken.
type owner struct{ name string }

func (o *owner) Name() string   { return o.name }
func (*owner) Responding() bool { return false }
func (*owner) Kept() bool       { return false }

// bubble runs a test on a clock of its own.
func bubble(t *testing.T, n *network, change func(*pool.Config), test func(t *testing.T, p *pool.Pool)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := pool.Config{
			Alias: "default", Driver: n, Max: 5, AcquireTimeout: 5 * time.Second, ConnectTimeout: 3 * time.Second,
			MaxAge: pool.Forever, MaxIdle: pool.Forever, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		}
		if change != nil {
			change(&cfg)
		}
		p := pool.New(cfg)
		test(t, p)
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
		expect(t, "open after Close", p.Stats().Open, 0)
		expect(t, "live after Close", n.of(&n.live), 0)
		expect(t, "in use after Close", p.Stats().InUse, 0)
	})
}

func acquire(t *testing.T, p *pool.Pool, claims ...func(*pool.Claim)) *pool.Lease {
	t.Helper()
	l, err := tryAcquire(context.Background(), p, claims...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func tryAcquire(ctx context.Context, p *pool.Pool, claims ...func(*pool.Claim)) (*pool.Lease, error) {
	claim := pool.Claim{Owner: &owner{"somebody"}, Place: pool.Here(1)}
	for _, change := range claims {
		change(&claim)
	}
	return p.Acquire(ctx, claim)
}

// of and brief change a claim.
func of(o *owner) func(*pool.Claim) { return func(c *pool.Claim) { c.Owner = o } }
func brief(c *pool.Claim)           { c.Brief = true }

func giveBack(l *pool.Lease) { l.Release("done", pool.Here(1), false) }

func run(l *pool.Lease, query string) error { return runWith(context.Background(), l, query) }

func runWith(ctx context.Context, l *pool.Lease, query string) error {
	_, err := l.ExecContext(l.Statement(ctx, pool.Here(1), nil), query)
	return err
}

// use is one lease with one statement.
func use(p *pool.Pool, query string, claims ...func(*pool.Claim)) error {
	l, err := tryAcquire(context.Background(), p, claims...)
	if err != nil {
		return err
	}
	defer giveBack(l)
	return run(l, query)
}

func expect[V comparable](t *testing.T, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func expectError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// expectTook compares a time on the bubble's clock, which is exact.
func expectTook(t *testing.T, what string, began time.Time, want time.Duration) {
	t.Helper()
	if took := time.Since(began); took != want {
		t.Errorf("%s took %s, want %s", what, took, want)
	}
}
