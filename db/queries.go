package db

import (
	"log/slog"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// Query is one statement in the log of a scope.
type Query struct {
	SQL      string
	Duration time.Duration // until it was answered: until the first row
	At       string        // file:line
	Err      error
}

// queriesLimit is how many statements a log keeps, as in Django.
const queriesLimit = 9000

// ring keeps the newest statements.
type ring struct {
	entries []Query
	next    int // the oldest, once the ring is full
}

func (r *ring) add(q Query) {
	if len(r.entries) < queriesLimit {
		r.entries = append(r.entries, q)
		return
	}
	r.entries[r.next] = q
	r.next = (r.next + 1) % queriesLimit
}

func (r *ring) all() []Query {
	if len(r.entries) == 0 {
		return nil
	}
	return append(append([]Query(nil), r.entries[r.next:]...), r.entries[:r.next]...)
}

// observe hears of every statement while debugging, or for Options.OnQuery.
func (c *Conn) observe(ran pool.Ran) {
	q := Query{SQL: ran.Query, Duration: ran.Took, At: ran.At.String(), Err: ran.Err}
	cs := c.scope.connections
	if cs.onQuery != nil {
		cs.onQuery(c.scope.watch, c.alias, q)
	}
	if cs.debug {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.log.add(q)
		if !ran.Control && !ran.GoesOn {
			const limit = 400 // more than is shown
			if c.repeats == nil {
				c.repeats = new(pool.Repeats)
			}
			c.repeats.Add(pool.Normalize(q.SQL, limit), q.At, time.Now().Add(-q.Duration), q.Duration)
		}
	}
}

// repeatedMessage is for statements that one for all rows could replace.
const repeatedMessage = "db: one line sends the same statement for one row after the other (N+1)"

// tellRepeats tells of what the scope has repeated, at its end.
func (c *Conn) tellRepeats() {
	c.mu.Lock()
	repeats := c.repeats
	c.repeats = nil
	c.mu.Unlock()
	if repeats == nil {
		return
	}
	for _, r := range repeats.AtLeast(pool.ManyRepeats) {
		notice := pool.Notice{Message: repeatedMessage, At: r.At}
		c.scope.connections.notices.Tell(c.scope.watch, slog.LevelWarn, notice, func() []slog.Attr {
			return []slog.Attr{
				slog.String("alias", c.alias), slog.String("holder", c.scope.Name()), slog.String("statement", pool.Shorten(r.Query)),
				slog.Int("count", r.Count), slog.Duration("duration", r.Took.Round(time.Microsecond)), slog.String("hint", r.Hint()),
			}
		})
	}
}
