package db

import (
	"context"
	"database/sql"
	"database/sql/driver"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db/pool"
)

// Dedicated is a connection that somebody keeps: for LISTEN, for a lock that is held
// for hours. It belongs to no scope, takes none of MAX_CONNECTIONS and is in
// nobody's way; [Stats] counts it apart, and [Connections.Holders] shows it with
// Dedicated set. Its methods may be called concurrently: they take turns. When the
// connection is lost they say so ([ErrConnectionLost]); close it and take another.
type Dedicated struct {
	name     string
	database *database
	lease    *pool.Lease
}

var _ bun.IConn = (*Dedicated)(nil)

// Dedicated opens a connection of an alias for the caller alone, under a name that
// Holders shows. While the server is away it tries again for ACQUIRE_TIMEOUT, at most
// until ctx ends; after that ctx is of no concern. The caller closes it;
// [Connections.Close] closes what is left, also under a statement that runs.
func (cs *Connections) Dedicated(ctx context.Context, alias, name string) (*Dedicated, error) {
	d, ok := cs.databases[alias]
	if !ok {
		return nil, &UnknownAliasError{Alias: alias, Have: cs.aliases}
	}
	l, err := d.pool.Dedicated(ctx, pool.Claim{Owner: &library{name: name}, Place: pool.Here(1)})
	if err != nil {
		return nil, err
	}
	return &Dedicated{name: name, database: d, lease: l}, nil
}

// Name is the name that it was given, Alias what it leads to.
func (d *Dedicated) Name() string { return d.name }

// Alias is the database that it leads to.
func (d *Dedicated) Alias() string { return d.database.alias }

// Close closes the connection. A statement under way fails with [ErrConnectionLost].
// It may be called twice, and never fails.
func (d *Dedicated) Close() error {
	d.lease.CloseDedicated("closed", pool.Here(1))
	return nil
}

// ExecContext runs a statement that returns no rows, as [Conn.ExecContext] does.
func (d *Dedicated) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := d.lease.Err(); err != nil {
		return nil, err
	}
	return d.lease.ExecContext(d.statement(ctx), d.database.format(query, args))
}

// QueryContext runs a statement that returns rows. The caller closes them.
func (d *Dedicated) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := d.lease.Err(); err != nil {
		return nil, err
	}
	return d.lease.QueryContext(d.statement(ctx), d.database.format(query, args))
}

// QueryRowContext runs a statement that returns one row. Errors come from Scan.
func (d *Dedicated) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if err := d.lease.Err(); err != nil {
		return errorRow(err)
	}
	return d.lease.DB().QueryRowContext(d.statement(ctx), d.database.format(query, args))
}

func (d *Dedicated) statement(ctx context.Context) *pool.Statement {
	return d.lease.Statement(ctx, d.lease.Here(), nil)
}

// Raw lends the driver's own connection to fn, for as long as that takes: to wait for
// notifications, say, which postgres.RawOf does with pgx's types. Contexts are
// fn's own affair. Close ends it from outside.
func (d *Dedicated) Raw(ctx context.Context, fn func(driverConn any) error) error {
	st := d.lease.Statement(context.WithoutCancel(ctx), pool.Here(1), nil)
	return d.lease.Raw(st, func(inner driver.Conn) error { return fn(inner) })
}
