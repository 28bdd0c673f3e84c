package pool

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// leakMessage is for who gives back with something open.
const leakMessage = "db: released with something open"

// Release gives the connection back. It never waits longer than a quarter of a
// second for what was left open: rows are closed, transactions rolled back,
// statements cancelled; what does not end by then is cut off with its socket. Nor does
// it wait longer for a reset or a check, which then goes on without it. It
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
	c := l.conn
	c.pool.cutTurns(l)
	held := time.Since(l.since)
	leaks := c.cutOff(l)
	for _, leak := range leaks {
		c.pool.tell(l.context(), slog.LevelWarn, Notice{Message: leakMessage, At: leak.Place}, name(l.owner), func() []slog.Attr {
			return []slog.Attr{slog.String("open", leak.What), slog.String("reason", reason)}
		})
	}
	switch gated := leaks == nil && c.gate.try(); {
	case gated && c.talks(l):
		c.settleSoon(l, held, reason, place, drop)
	default:
		c.settle(l, gated, leaks, held, reason, place, drop)
	}
}

// settleSoon is settle where the server must answer first. Who gives back waits for it
// no longer than for what was left open.
func (c *conn) settleSoon(l *Lease, held time.Duration, reason string, place Place, drop bool) {
	done := make(chan struct{})
	c.pool.background.Go(func() {
		defer close(done)
		c.settle(l, true, nil, held, reason, place, drop)
	})
	timer := time.NewTimer(leakLimit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// settle ends what is open, makes the session fit for the next holder, and gives the
// connection back. Gated, the caller has taken the gate, and nothing is open.
func (c *conn) settle(l *Lease, gated bool, leaks []Open, held time.Duration, reason string, place Place, drop bool) {
	var fate fate
	if gated {
		fate = c.tidy(l, false)
		c.gate.give()
	} else {
		fate = c.endLeaks(l, leaks)
	}
	if fate == keep && l.reset {
		fate = c.setUpAgain()
	}
	c.pool.endPrepared(l, leaks != nil)
	if fate == keep && drop && !c.pool.traits.Single {
		fate = closed("dropped")
	}
	if l.owner != nil && c.pool.cfg.Released != nil {
		c.mu.Lock()
		queries := l.queries
		c.mu.Unlock()
		r := Report{Alias: c.pool.cfg.Alias, Holder: l.owner.Name(), Reason: reason, Held: held, Queries: queries, Owner: l.owner, LeftOpen: listed(leaks)}
		r.Idle = max(0, held-l.Inside())
		r.Kept = l.giveBack(fate, reason, place)
		c.pool.cfg.Released(r)
		return
	}
	l.giveBack(fate, reason, place)
}

func listed(leaks []Open) string {
	var texts []string
	for _, leak := range leaks {
		texts = append(texts, leak.What+" at "+leak.Place)
	}
	return strings.Join(texts, ", ")
}

func name(o Owner) string {
	if o == nil {
		return ""
	}
	return o.Name()
}

// endPrepared closes what prepared statements stood on. Where some may be open it
// stays for a while, to tell them that they come too late.
func (p *Pool) endPrepared(l *Lease, leaks bool) {
	l.conn.mu.Lock()
	over := l.prepared
	l.conn.mu.Unlock()
	if leaks && over != nil {
		p.mu.Lock()
		p.leftovers = append(p.leftovers, over)
		over = nil
		if len(p.leftovers) > p.cfg.Max {
			over, p.leftovers = p.leftovers[0], p.leftovers[1:]
		}
		p.mu.Unlock()
	}
	if over != nil {
		// The release may run inside of Stmt.Close, which holds this *sql.DB's lock.
		p.background.Go(func() { p.closeDB(over) })
	}
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
	c.lease = nil
	if l.owner != nil {
		c.last = l
	}
	var leaks []Open
	if c.tx != nil {
		c.tx.cut = true
	}
	if l.inTransactionLocked() {
		at, _ := l.begunLocked() // inside of the branch, so that nothing is allocated where there is none
		leaks = append(leaks, Open{What: "a transaction", Place: at.String(), Tx: true})
	}
	if f := c.flight; f != nil {
		what := "the statement "
		if c.rows != nil {
			what = "the rows of "
		}
		leaks = append(leaks, Open{What: what + quote(f.query), Place: f.place.String()})
	}
	for s := range c.stmts {
		leaks = append(leaks, Open{What: "the prepared statement " + quote(s.query), Place: s.made.place.String()})
	}
	if leaks != nil {
		c.epoch++
	}
	return leaks
}

// endLeaks ends what was open, within leakLimit.
func (c *conn) endLeaks(l *Lease, leaks []Open) fate {
	p := c.pool
	p.count(func(s *Stats) { s.Leaked += int64(len(leaks)) })
	done := make(chan fate, 1)
	var settled atomic.Bool // by whoever comes first: the clean-up or its limit
	p.background.Add(1)
	go func() {
		defer p.background.Done()
		f := c.endOpen(l, leaks)
		if settled.Swap(true) {
			p.closeConn(c)
			p.cutLooseBy(-1)
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
	p.cutLooseBy(1)
	if settled.Swap(true) {
		p.cutLooseBy(-1)
		return <-done
	}
	// What will not end loses its socket; the goroutine above then gets its error
	// and closes the connection. The permit is free at once.
	p.cfg.Driver.Kill(c.inner)
	p.count(func(s *Stats) { s.Quarantined++ })
	p.cfg.Logger.Error("db: connection quarantined: what was open on it did not end", "alias", p.cfg.Alias, "holder", name(l.owner))
	return gone
}

func (p *Pool) cutLooseBy(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutLoose += n
	p.growLocked()
}

// endOpen closes rows, statements and transactions, cancelling what takes long.
func (c *conn) endOpen(l *Lease, leaks []Open) fate {
	c.mu.Lock()
	st, limit := c.flight, drainLimit
	if c.rows == nil {
		limit = 0 // it runs: nobody will read its answer
	}
	c.mu.Unlock()
	if st != nil {
		timer := time.AfterFunc(limit, func() { c.cancel(st, c.releasedError(l)) })
		defer timer.Stop()
	}
	c.wire.take() // the goroutine that was inside the driver has left it
	c.mu.Lock()
	open, t, stmts := c.rows, c.tx, c.stmts // it may have left something new
	adopted := c.adopted
	c.tx, c.stmts, c.adopted = nil, nil, nil
	if t != nil {
		t.cut, c.rawBegin = true, true
	}
	for _, a := range adopted {
		a.cut = true
	}
	c.mu.Unlock()
	var errs []error
	mine := open != nil && !open.closed // otherwise its own Close goes on
	if mine {
		open.closed, open.err = true, c.releasedError(l)
		errs = append(errs, open.inner.Close())
	}
	for s := range stmts {
		errs = append(errs, s.inner.Close())
	}
	c.wire.give()
	if mine {
		open.st.end()
	}
	for _, a := range adopted {
		a.end()
		<-a.gone // from now on its methods return sql.ErrTxDone
	}
	// Whose statement it was has noted what became of it and left.
	c.gate.take()
	defer c.gate.give()
	if err := errors.Join(errs...); err != nil && !c.alive(err) {
		return closed("leak")
	}
	return c.tidy(l, slices.ContainsFunc(leaks, func(o Open) bool { return o.Tx }))
}

// alive reports whether the connection may be used after err.
func (c *conn) alive(err error) bool {
	class := c.pool.cfg.Driver.Classify(err)
	return class == Canceled || class == Harmless || class == Foreign
}

// tidy makes the session fit for the next holder, or names what forbids that. A
// clean session costs nothing. The gate is taken: nobody else is on the connection.
func (c *conn) tidy(l *Lease, told bool) fate {
	p := c.pool
	c.mu.Lock()
	lost, doubtful, rawBegin := c.lost, l.doubtful, c.rawBegin
	c.mu.Unlock()
	if lost {
		return closed("lost")
	}
	in, known := p.cfg.Driver.InTransaction(c.inner)
	if in || !known && rawBegin {
		switch err := c.exchange(healthLimit, c.sendRollback); {
		case err == nil:
			doubtful = false
			if told {
				break
			}
			p.cfg.Logger.Warn("db: rolled back a transaction that its holder left open", "alias", p.cfg.Alias, "holder", name(l.owner), "last", Fingerprint(l.lastQuery))
		case known:
			return closed("open transaction")
		}
	}
	if doubtful && c.ping(healthLimit) != nil {
		return closed("error")
	}
	if p.cfg.Reset == ResetAlways || p.cfg.Reset == ResetAuto && l.dirty.Load() {
		if err := c.exchange(healthLimit, p.cfg.Driver.Reset); err != nil {
			return closed("reset")
		}
		l.reset = true
	}
	if p.cfg.Driver.Demoted(c.inner) {
		p.cfg.Logger.Warn("db: the server has become read-only; its connections are checked", "alias", p.cfg.Alias)
		p.recheck()
		return closed("read only")
	}
	if c.suspect.Load() && c.stillServes(healthLimit) != nil {
		return closed("dead")
	}
	if v, ok := c.inner.(driver.Validator); ok && !p.traits.Single && !v.IsValid() {
		return closed("invalid")
	}
	return keep
}

// talks reports whether tidy will ask the server something.
func (c *conn) talks(l *Lease) bool {
	p := c.pool
	c.mu.Lock()
	lost, doubtful, rawBegin := c.lost, l.doubtful, c.rawBegin
	c.mu.Unlock()
	switch {
	case lost:
		return false
	case doubtful, c.suspect.Load(), p.cfg.Reset == ResetAlways, p.cfg.Reset == ResetAuto && l.dirty.Load():
		return true
	}
	in, known := p.cfg.Driver.InTransaction(c.inner)
	return in || !known && rawBegin
}

// setUpAgain prepares a session that was reset.
func (c *conn) setUpAgain() fate {
	ctx, cancel := context.WithTimeout(context.Background(), healthLimit)
	defer cancel()
	if err := c.pool.setup(ctx, c); err != nil {
		c.pool.cfg.Logger.Error("db: OnConnect failed after a reset; the connection is closed", "alias", c.pool.cfg.Alias, "err", Loggable(err))
		return closed("setup")
	}
	return keep
}

// exchange makes a call on the driver for the pool itself. The server's answer
// proves the connection.
func (c *conn) exchange(limit time.Duration, call func(context.Context, driver.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c.wire.take()
	defer c.wire.give()
	c.mu.Lock()
	c.rawBegin = false
	c.mu.Unlock()
	if err := call(ctx, c.inner); err != nil {
		return err
	}
	c.verifiedAt, c.proven = time.Now(), true
	return nil
}

func (c *conn) ping(limit time.Duration) error {
	c.pool.pings.Add(1)
	return c.exchange(limit, c.pool.cfg.Driver.Ping)
}

func (c *conn) sendRollback(ctx context.Context, _ driver.Conn) error {
	_, err := c.exec.ExecContext(ctx, "ROLLBACK", nil)
	return err
}

// setup prepares a session: Options.OnConnect.
func (p *Pool) setup(ctx context.Context, c *conn) error {
	if p.cfg.Setup == nil {
		return nil
	}
	l := &Lease{conn: c, since: time.Now()}
	l.begin()
	err := p.cfg.Setup(ctx, session{l})
	if leaks := c.cutOff(l); leaks != nil {
		return errors.Join(err, fmt.Errorf("db: OnConnect left %s open, made at %s", leaks[0].What, leaks[0].Place))
	}
	return err
}
