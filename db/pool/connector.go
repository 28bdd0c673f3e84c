package pool

import (
	"context"
	"database/sql/driver"
)

// Connector leases connections for a *sql.DB: a lease for each of its driver
// connections, released when it closes one.
type Connector struct {
	Pool  *Pool
	Owner Owner
}

// Connect leases a connection.
func (k Connector) Connect(ctx context.Context) (driver.Conn, error) {
	l, err := k.Pool.Acquire(ctx, Claim{Owner: k.Owner, Place: k.Pool.Here()})
	if err != nil {
		return nil, err
	}
	l.conn.mu.Lock()
	defer l.conn.mu.Unlock()
	return &leased{handle: newHandle(l, true), l: l}, nil
}

// Driver returns a driver that refuses to open by name.
func (Connector) Driver() driver.Driver { return driverOnly{} }

// leased is a handle that owns its lease.
type leased struct {
	*handle
	l *Lease
}

// Close releases the lease.
func (c *leased) Close() error {
	c.l.Release("closed", Place{}, false)
	return nil
}
