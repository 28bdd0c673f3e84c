package pool

import (
	"context"
	"database/sql/driver"
	"strings"
)

// Blocks is what the holder of a lease knows of its transactions: package db's
// connection object. The pool asks it about each statement while nobody else is on
// the connection, so that what it answers stays true until the statement has ended.
type Blocks interface {
	// Admit reports why a statement may not run now: it belongs to another block
	// than the one that is open, or that one has failed.
	Admit(st *Statement) error

	// Failed hears of a statement that the database has refused, or whose outcome
	// is unknown.
	Failed(st *Statement, err error)

	// Savepoint hears that a statement written as text has made a savepoint,
	// released one or gone back to it.
	Savepoint(text TxText, name string)

	// Begun returns where the open transaction was begun, if there is one.
	Begun() (Place, bool)

	// Within reports whether ctx is one of the open transaction.
	Within(ctx context.Context) bool
}

// TxOptions say how a transaction begins.
type TxOptions struct {
	Isolation driver.IsolationLevel // database/sql's numbers; 0 is the database's own
	ReadOnly  bool
	Deferred  bool // takes no lock before it needs one, where that is a question
}

// Control sends a statement that begins or ends a transaction, or a part of one,
// once nobody else is on the connection; an empty one is not sent. before may still
// refuse it, and after hears the answer before anybody else is let on; after is not
// called when nothing was done. sent tells that the database may have seen the
// statement.
func (l *Lease) Control(ctx context.Context, place Place, query string, before func() error, after func(error)) (sent bool, err error) {
	return l.control(ctx, place, query, query, before, after)
}

// Begin is a [Lease.Control] that begins a transaction. Without options it is told
// as BEGIN, whatever lock the engine takes with it.
func (l *Lease) Begin(ctx context.Context, place Place, o TxOptions, before func() error, after func(error)) (sent bool, err error) {
	text, err := l.conn.pool.cfg.Driver.Begin(o)
	if err != nil {
		return false, err
	}
	query := text
	if o == (TxOptions{}) {
		query = "BEGIN"
	}
	return l.control(ctx, place, query, text, before, after)
}

func (l *Lease) control(ctx context.Context, place Place, query, text string, before func() error, after func(error)) (sent bool, err error) {
	c := l.conn
	c.mu.Lock()
	h := newHandle(l, true)
	c.mu.Unlock()
	st, err := h.begin(&Statement{Context: ctx, lease: l, place: place, before: before, text: text}, query)
	if err != nil {
		return false, err
	}
	if query != "" {
		_, err = c.exec.ExecContext(st, text, nil)
		c.leaves(st, query)
		if err = c.judge(st, err); err == nil {
			c.mu.Lock()
			l.doubtful = false // the server has answered since
			c.mu.Unlock()
		}
	}
	st.called()
	if query != "" {
		st.observe(err)
	}
	after(err)
	st.end()
	return query != "", err
}

// Committable reports why the open transaction cannot be committed. To be called
// from a Control's before.
func (l *Lease) Committable(o TxOptions) error {
	c := l.conn
	c.wire.take()
	defer c.wire.give()
	if err := l.Err(); err != nil { // the connection may be somebody else's
		return err
	}
	return c.pool.cfg.Driver.Committable(c.inner, o)
}

// InTransaction is what the session says: whether it is inside a transaction, and
// whether it can tell. A lease that has ended is in none.
func (l *Lease) InTransaction() (in, known bool) {
	c := l.conn
	c.wire.take()
	defer c.wire.give()
	if l.Err() != nil {
		return false, true
	}
	return c.pool.cfg.Driver.InTransaction(c.inner)
}

// Query is the statement's text.
func (st *Statement) Query() string { return st.query }

// Lease is the lease that the statement was made for.
func (st *Statement) Lease() *Lease { return st.lease }

// At is where the statement was made.
func (st *Statement) At() Place { return st.place }

// Via is the block of the *sql.Tx that the statement came through; nil without.
func (st *Statement) Via() any { return st.via }

// IsControl reports whether the statement is one of [Lease.Control].
func (st *Statement) IsControl() bool { return st.before != nil }

// TxText is what a statement written as text does to transactions.
type TxText int

const (
	NoTxText  TxText = iota
	Begins           // BEGIN, START TRANSACTION
	Ends             // COMMIT, END, ROLLBACK, ABORT
	Saves            // SAVEPOINT
	Releases         // RELEASE
	RollsBack        // ROLLBACK TO
)

// TextOf recognises transactions written as SQL text, and the name of a savepoint.
func TextOf(query string) (text TxText, name string) {
	word, rest := firstWord(query)
	switch {
	case len(word) == 6 && word[0]|0x20 != 'c', len(word) > 9: // SELECT, INSERT, ...: most of them
	case strings.EqualFold(word, "BEGIN"), strings.EqualFold(word, "START"):
		return Begins, ""
	case strings.EqualFold(word, "COMMIT"), strings.EqualFold(word, "END"), strings.EqualFold(word, "ABORT"):
		return Ends, ""
	case strings.EqualFold(word, "SAVEPOINT"):
		name, _ = firstWord(rest)
		return Saves, name
	case strings.EqualFold(word, "RELEASE"):
		return Releases, savepointName(rest)
	case strings.EqualFold(word, "ROLLBACK"):
		for word, rest = firstWord(rest); word != ""; word, rest = firstWord(rest) {
			if strings.EqualFold(word, "TO") {
				return RollsBack, savepointName(rest)
			}
		}
		return Ends, ""
	}
	return NoTxText, ""
}

func savepointName(text string) string {
	word, rest := firstWord(text)
	if strings.EqualFold(word, "SAVEPOINT") {
		word, _ = firstWord(rest)
	}
	return word
}

func firstWord(text string) (word, rest string) {
	from := 0
	for from < len(text) && between(text[from]) {
		from++
	}
	to := from
	for to < len(text) && !between(text[to]) {
		to++
	}
	return text[from:to], text[to:]
}

func between(b byte) bool {
	return b == ' ' || b == '\t' || b == '\r' || b == '\n' || b == '(' || b == ';'
}
