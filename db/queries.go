package db

import (
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
	}
}
