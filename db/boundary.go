package db

import (
	"context"

	"github.com/goquintet/quintet/db/pool"
)

// CloseOldConnections is Django's boundary by hand: every connection of ctx' scope
// is given back, which closes those that are unusable or past CONN_MAX_AGE. A
// connection with a transaction open is left alone. The next statement leases
// again. It returns [ErrNoScope] when ctx belongs to no scope.
func CloseOldConnections(ctx context.Context) error {
	sc := scopeOf(ctx)
	if sc == nil {
		return ErrNoScope
	}
	place := pool.Here(1)
	for _, c := range sc.touched() {
		_ = c.giveBack("boundary", place, false) // one with a block open is left alone
	}
	return nil
}

// Release gives the connections of ctx' scope back now, whatever their age: those
// of the given aliases, or all. With a transaction open on one of them it returns
// [ErrInAtomicBlock] with its place, and nothing has changed. The next statement
// leases again.
func Release(ctx context.Context, aliases ...string) error {
	sc := scopeOf(ctx)
	if sc == nil {
		return ErrNoScope
	}
	conns := sc.touched()
	if len(aliases) > 0 {
		conns = nil
		for _, alias := range aliases {
			c := sc.conn(alias)
			if c.err != nil {
				return c.err
			}
			conns = append(conns, c)
		}
	}
	for _, c := range conns {
		if err := c.inBlock(); err != nil {
			return err
		}
	}
	place := pool.Here(1)
	for _, c := range conns {
		if err := c.giveBack("released", place, false); err != nil {
			return err // a goroutine has begun a block meanwhile
		}
	}
	return nil
}

// Holders returns what ctx' scope holds now, one entry for each connection that is
// leased: nil when every one is home, and when ctx belongs to no scope. Those of
// all scopes are [Connections.Holders].
func Holders(ctx context.Context) []Holder {
	sc := scopeOf(ctx)
	if sc == nil {
		return nil
	}
	var held []Holder
	for _, c := range sc.touched() {
		if h, ok := c.holder(); ok {
			held = append(held, h)
		}
	}
	return held
}

// ResetQueries forgets the statements that [Conn.Queries] returns, of every
// connection of ctx' scope. Django's reset_queries.
func ResetQueries(ctx context.Context) {
	sc := scopeOf(ctx)
	if sc == nil {
		return
	}
	for _, c := range sc.touched() {
		c.mu.Lock()
		c.log = ring{}
		c.mu.Unlock()
	}
}
