package dbtest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	// whoseAfter is how long a statement may take before somebody asks whom it waits
	// for.
	whoseAfter = time.Second
	// seats is how many wrapped tests have a connection at once, of the server's
	// max_connections.
	seats = 150
	// connectAgain and longestWait are between attempts to connect to a full server.
	connectAgain = 10 * time.Millisecond
	longestWait  = 500 * time.Millisecond
)

// Patience returns a context that ends shortly before the test's deadline, while there
// is time to say who waits for whom. Without a deadline, as in a testing/synctest
// bubble, it does not end by itself.
func Patience(t testing.TB) (context.Context, context.CancelFunc) { return patience(t) }

func patience(t testing.TB) (context.Context, context.CancelFunc) {
	deadline, ok := deadline(t)
	if !ok {
		return context.WithCancel(context.Background())
	}
	return context.WithDeadline(context.Background(), deadline.Add(-time.Until(deadline)/10))
}

// deadline recovers because a *testing.T refuses to tell its deadline inside a
// testing/synctest bubble, by a panic.
func deadline(t testing.TB) (deadline time.Time, ok bool) {
	dated, ok := t.(interface{ Deadline() (time.Time, bool) })
	if !ok {
		return time.Time{}, false
	}
	defer func() {
		if recover() != nil {
			deadline, ok = time.Time{}, false
		}
	}()
	return dated.Deadline()
}

// sleep waits, and reports whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// seat waits for one of the server's connections, as long as ctx does.
func (p *process) seat(ctx context.Context, postgres bool) (free func(), err error) {
	if !postgres {
		return func() {}, nil
	}
	p.mu.Lock()
	if p.seats == nil {
		p.seats = make(chan struct{}, seats)
	}
	taken := p.seats
	p.mu.Unlock()
	select {
	case taken <- struct{}{}:
		return func() { <-taken }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("dbtest: %d wrapped tests have a connection, and none has ended before the deadline of this one; run fewer at once, with go test -parallel", seats)
	}
}

// watch looks whom a statement waits for when it takes long, and stops it when the
// test's deadline comes. What it returns ends that, and explains the statement's
// error.
func (h *hub) watch(r *real, query string) func(err error) error {
	if !h.postgres {
		return func(err error) error { return err }
	}
	ctx, cancel := context.WithCancel(h.turns.patience)
	done, whose := make(chan struct{}), ""
	timer := time.AfterFunc(whoseAfter, func() {
		defer close(done)
		if whose = h.whose(ctx, r); whose != "" {
			h.t.Logf("dbtest: %s waits for %s, which has not ended: %s", h.t.Name(), whose, query)
		}
		<-ctx.Done()
		if h.turns.patience.Err() != nil {
			ctx, cancel := cleanup()
			defer cancel()
			if err := h.engine.Cancel(ctx, r.Conn); err != nil {
				h.t.Logf("dbtest: cancel: %v", err)
			}
		}
	})
	return func(err error) error {
		cancel()
		if !timer.Stop() {
			<-done
		}
		if err != nil && whose != "" {
			err = fmt.Errorf("%w (dbtest: %s has waited for %s, which has the same row in a transaction of its own)", err, h.t.Name(), whose)
		}
		return err
	}
}

// whose names the tests whose transactions the session waits for, "" when it waits
// for none.
func (h *hub) whose(ctx context.Context, r *real) string {
	c, err := h.engine.Connect(ctx)
	if err != nil {
		return ""
	}
	defer func() { _ = h.engine.Close(c) }() // it has served
	other, ok := newReal(c)
	if !ok {
		return ""
	}
	names, err := other.text(ctx, "SELECT coalesce(string_agg(application_name, ', '), '') FROM pg_stat_activity WHERE pid = ANY(pg_blocking_pids("+r.pid+"))")
	if err != nil {
		return ""
	}
	return names
}

// refused are statements that have no effect in a transaction that is rolled back, or
// another one than in production.
func (h *hub) refuse(query string) error {
	expression, why := `(?i)^\s*(LISTEN|NOTIFY)\b|\bpg_notify\s*\(`, "a notification is sent by a commit"
	if !h.postgres {
		expression, why = `(?i)^\s*PRAGMA\s+(\w+\.)?foreign_keys\s*[=(]`, "it has no effect inside of a transaction"
	}
	if !regexp.MustCompile(expression).MatchString(query) {
		return nil
	}
	return fmt.Errorf("%w: %q: %s; use dbtest.Database", ErrWrapped, query, why)
}

// explain adds the way out to what a database refuses inside of a transaction.
func (h *hub) explain(err error) error {
	if err == nil {
		return nil
	}
	var state interface{ SQLState() string }
	outside := errors.As(err, &state) && state.SQLState() == "25001" // active_sql_transaction
	if !h.postgres {
		outside = strings.Contains(err.Error(), "within transaction") || strings.Contains(err.Error(), "within a transaction")
	}
	if outside {
		return fmt.Errorf("%w: the test has one transaction; use dbtest.Database: %w", ErrWrapped, err)
	}
	return err
}
