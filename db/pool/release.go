package pool

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Release gives the connection back. It never waits longer than a quarter of a
// second for what was left open: rows are closed, transactions rolled back,
// statements cancelled; what does not end by then is cut off with its socket. It
// may be called twice, and while other goroutines use the lease: they get
// [ErrReleased]. With drop the physical connection is closed too.
func (l *Lease) Release(reason string, place Place, drop bool) {
	l.mu.Lock()
	if l.released {
		l.mu.Unlock()
		return
	}
	l.released, l.reason, l.releasedAt = true, reason, place
	l.mu.Unlock()
	if l.unwatch != nil {
		l.unwatch()
	}

	c := l.conn
	held := time.Since(l.since)
	leaks := c.cutOff(l)
	var fate fate
	switch {
	case leaks == nil:
		fate = c.tidy(l)
	default:
		for _, leak := range leaks {
			c.pool.cfg.Logger.Warn("db: released with something open", "alias", c.pool.cfg.Alias, "holder", name(l.owner),
				"open", leak.What, "at", leak.Place, "reason", reason)
		}
		fate = c.endLeaks(l, len(leaks))
	}
	if fate == keep && drop {
		fate = closed("dropped")
	}
	if l.owner != nil && c.pool.cfg.Released != nil {
		c.mu.Lock()
		queries := l.queries
		c.mu.Unlock()
		r := Report{Alias: c.pool.cfg.Alias, Holder: l.owner.Name(), Reason: reason, Held: held, Queries: queries}
		r.Idle = max(0, held-l.Inside())
		r.Kept = c.pool.giveBack(c, fate, l.brief)
		c.pool.cfg.Released(r)
		return
	}
	c.pool.giveBack(c, fate, l.brief)
}

func name(o Owner) string {
	if o == nil {
		return ""
	}
	return o.Name()
}

// fate is what becomes of a connection at give-back: keep, gone, or the reason for
// closing it.
type fate string

const (
	keep fate = ""
	gone fate = "quarantined" // somebody else closes it
)

func closed(reason string) fate { return fate(reason) }

// cutOff ends the lease. What is open loses its handles and is returned.
func (c *conn) cutOff(l *Lease) []Open {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.lease = l, nil
	var leaks []Open
	if c.tx != nil {
		c.tx.cut = true
		leaks = append(leaks, Open{What: "a transaction", Place: c.tx.place.String()})
	}
	if f := c.flight; f != nil {
		what := "the statement "
		if c.rows != nil {
			what = "the rows of "
		}
		leaks = append(leaks, Open{What: what + quote(f.query), Place: f.place.String()})
	}
	for s := range c.stmts {
		leaks = append(leaks, Open{What: "the prepared statement " + quote(s.query), Place: s.place.String()})
	}
	if leaks != nil {
		c.epoch++
	}
	return leaks
}

// endLeaks ends what was open, within leakLimit.
func (c *conn) endLeaks(l *Lease, n int) fate {
	p := c.pool
	p.count(func(s *Stats) { s.Leaked += int64(n) })
	done := make(chan fate, 1)
	var settled atomic.Bool // by whoever comes first: the clean-up or its limit
	p.background.Add(1)
	go func() {
		defer p.background.Done()
		f := c.endOpen(l)
		if f == keep {
			f = c.tidy(l)
		}
		if settled.Swap(true) {
			p.closeConn(c)
			return
		}
		done <- f
	}()
	timer := time.NewTimer(leakLimit)
	defer timer.Stop()
	select {
	case f := <-done:
		return f
	case <-timer.C:
	}
	if settled.Swap(true) {
		return <-done
	}
	// What will not end loses its socket; the goroutine above then gets its error
	// and closes the connection. The permit is free at once.
	p.cfg.Driver.Kill(c.inner)
	p.count(func(s *Stats) { s.Quarantined++ })
	p.cfg.Logger.Error("db: connection quarantined: what was open on it did not end", "alias", p.cfg.Alias, "holder", name(l.owner))
	return gone
}

// endOpen closes rows, statements and transactions, cancelling what takes long.
func (c *conn) endOpen(l *Lease) fate {
	c.mu.Lock()
	st, open, t := c.flight, c.rows, c.tx
	c.mu.Unlock()
	if st != nil {
		limit := drainLimit
		if open == nil {
			limit = 0 // it runs: nobody will read its answer
		}
		timer := time.AfterFunc(limit, func() { c.cancel(st, ErrReleased) })
		defer timer.Stop()
	}
	c.wire.take() // the goroutine that was inside the driver has left it
	err := c.closeOpen(l, open)
	c.wire.give()
	if open != nil && !open.byUser {
		st.end()
	}
	if t != nil && t.end != nil {
		t.end()
	}
	if err != nil && !c.alive(err) {
		return closed("leak")
	}
	return keep
}

func (c *conn) closeOpen(l *Lease, open *rows) error {
	var errs []error
	if open != nil {
		if open.closed {
			open.byUser = true
		} else {
			open.closed, open.err = true, c.releasedError(l)
			errs = append(errs, open.inner.Close())
		}
	}
	c.mu.Lock()
	stmts := c.stmts
	c.stmts, c.tx = nil, nil
	c.mu.Unlock()
	for s := range stmts {
		errs = append(errs, s.inner.Close())
	}
	return errors.Join(errs...)
}

// alive reports whether the connection may be used after err.
func (c *conn) alive(err error) bool {
	class := c.pool.cfg.Driver.Classify(err)
	return class == Canceled || class == Harmless || class == Foreign
}

// tidy makes the session fit for the next holder, or names what forbids that. A
// clean session costs nothing.
func (c *conn) tidy(l *Lease) fate {
	p := c.pool
	c.mu.Lock()
	lost, doubtful, rawBegin := c.lost, l.doubtful, c.rawBegin
	c.mu.Unlock()
	if lost {
		return closed("lost")
	}
	in, known := p.cfg.Driver.InTransaction(c.inner)
	if !known {
		in = rawBegin
	}
	if in {
		if err := c.bounded(func(ctx context.Context) error {
			_, err := c.exec.ExecContext(ctx, "ROLLBACK", nil)
			return err
		}); err != nil && known {
			return closed("open transaction")
		}
		p.cfg.Logger.Warn("db: rolled back a transaction that its holder left open", "alias", p.cfg.Alias, "holder", name(l.owner), "last", shorten(l.lastQuery))
		doubtful = false
	}
	if doubtful {
		p.pings.Add(1)
		if err := c.bounded(func(ctx context.Context) error { return p.cfg.Driver.Ping(ctx, c.inner) }); err != nil {
			return closed("error")
		}
	}
	if p.cfg.Reset == ResetAlways || p.cfg.Reset == ResetAuto && l.dirty.Load() {
		if err := c.bounded(func(ctx context.Context) error { return p.cfg.Driver.Reset(ctx, c.inner) }); err != nil {
			return closed("reset")
		}
		ctx, cancel := context.WithTimeout(context.Background(), healthLimit)
		defer cancel()
		if err := p.setup(ctx, c); err != nil {
			return closed("setup")
		}
	}
	if v, ok := c.inner.(driver.Validator); ok && !p.traits.Single && !v.IsValid() {
		return closed("invalid")
	}
	return keep
}

func (c *conn) bounded(call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), healthLimit)
	defer cancel()
	c.wire.take()
	defer c.wire.give()
	c.mu.Lock()
	c.rawBegin = false
	c.mu.Unlock()
	return call(ctx)
}

// setup prepares a session: Options.OnConnect.
func (p *Pool) setup(ctx context.Context, c *conn) error {
	if p.cfg.Setup == nil {
		return nil
	}
	l := &Lease{conn: c, since: time.Now()}
	l.begin(ctx)
	err := p.cfg.Setup(ctx, session{l})
	if l.unwatch != nil {
		l.unwatch()
	}
	if leaks := c.cutOff(l); leaks != nil {
		return errors.Join(err, fmt.Errorf("db: OnConnect left %s open, made at %s", leaks[0].What, leaks[0].Place))
	}
	return err
}
