package db

import (
	"context"
	"database/sql"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db/pool"
)

// ExecContext runs a statement that returns no rows. Arguments replace "?" as
// everywhere in bun; without any the query is sent as it is.
func (c *Conn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	st, l, err := c.statement(ctx)
	if err != nil {
		return nil, err
	}
	return l.ExecContext(st, c.format(query, args))
}

// QueryContext runs a statement that returns rows. The caller closes them.
func (c *Conn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	st, l, err := c.statement(ctx)
	if err != nil {
		return nil, err
	}
	return l.QueryContext(st, c.format(query, args))
}

// queryAt is QueryContext of a query that was made elsewhere, and that may go on where
// the one before has stopped.
func (c *Conn) queryAt(ctx context.Context, place pool.Place, query string, goesOn bool) (*sql.Rows, error) {
	st, l, err := c.statementAt(ctx, place)
	if err != nil {
		return nil, err
	}
	if goesOn {
		st.GoesOn()
	}
	return l.QueryContext(st, query)
}

// execAt is ExecContext, likewise.
func (c *Conn) execAt(ctx context.Context, place pool.Place, query string) error {
	st, l, err := c.statementAt(ctx, place)
	if err != nil {
		return err
	}
	_, err = l.ExecContext(st, query)
	return err
}

// QueryRowContext runs a statement that returns one row. Errors come from Scan,
// which must be called: it closes the row.
func (c *Conn) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	st, l, err := c.statement(ctx)
	if err != nil {
		return errorRow(err)
	}
	row := l.DB().QueryRowContext(st, c.format(query, args))
	st.Abandon()
	return row
}

// PrepareContext prepares a statement on the connection of this scope, which is
// held until the statement is closed. The release of the connection ends it
// otherwise, and logs that. Placeholders are the engine's own.
func (c *Conn) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	st, l, err := c.statement(ctx)
	if err != nil {
		return nil, err
	}
	return l.PrepareContext(st, query)
}

func (c *Conn) statement(ctx context.Context) (*pool.Statement, *pool.Lease, error) {
	return c.statementAt(ctx, c.database.pool.Here())
}

func (c *Conn) statementAt(ctx context.Context, place pool.Place) (*pool.Statement, *pool.Lease, error) {
	if err := c.ready(ctx, place); err != nil {
		return nil, nil, err
	}
	l, err := c.hold(ctx, place)
	if err != nil {
		return nil, nil, err
	}
	return l.Statement(ctx, place, c), l, nil
}

// ready refuses a statement that is not in the open block, before it costs a
// connection, and begins a block that is lazy.
func (c *Conn) ready(ctx context.Context, place pool.Place) error {
	if c.block.Load() == nil && c.torn.Load() == 0 {
		return nil
	}
	b, err := c.takesPart(ctx, place, nil)
	if err != nil || b == nil {
		return err
	}
	return b.ensureBegun(ctx, place)
}

func (c *Conn) format(query string, args []any) string { return c.database.format(query, args) }

func (d *database) format(query string, args []any) string {
	if len(args) == 0 {
		return query
	}
	return d.builder.QueryGen().FormatQuery(query, args...)
}

// errorRow is a *sql.Row whose Scan returns err; only a database can make one.
func errorRow(err error) *sql.Row {
	refusing := sql.OpenDB(refusal{})
	defer refusing.Close() // it has never dialled
	return refusing.QueryRowContext(context.WithValue(context.Background(), refusalKey{}, err), "")
}

// NewSelect begins a SELECT on this connection.
func (c *Conn) NewSelect() *bun.SelectQuery { return c.database.builder.NewSelect().Conn(c) }

// NewInsert begins an INSERT on this connection.
func (c *Conn) NewInsert() *bun.InsertQuery { return c.database.builder.NewInsert().Conn(c) }

// NewUpdate begins an UPDATE on this connection.
func (c *Conn) NewUpdate() *bun.UpdateQuery { return c.database.builder.NewUpdate().Conn(c) }

// NewDelete begins a DELETE on this connection.
func (c *Conn) NewDelete() *bun.DeleteQuery { return c.database.builder.NewDelete().Conn(c) }

// NewMerge begins a MERGE on this connection.
func (c *Conn) NewMerge() *bun.MergeQuery { return c.database.builder.NewMerge().Conn(c) }

// NewRaw begins a query written as SQL.
func (c *Conn) NewRaw(query string, args ...any) *bun.RawQuery {
	return c.database.builder.NewRaw(query, args...).Conn(c)
}

// NewValues begins a VALUES list.
func (c *Conn) NewValues(model any) *bun.ValuesQuery {
	return c.database.builder.NewValues(model).Conn(c)
}

// NewCreateTable begins a CREATE TABLE.
func (c *Conn) NewCreateTable() *bun.CreateTableQuery {
	return c.database.builder.NewCreateTable().Conn(c)
}

// NewDropTable begins a DROP TABLE.
func (c *Conn) NewDropTable() *bun.DropTableQuery { return c.database.builder.NewDropTable().Conn(c) }

// NewCreateIndex begins a CREATE INDEX.
func (c *Conn) NewCreateIndex() *bun.CreateIndexQuery {
	return c.database.builder.NewCreateIndex().Conn(c)
}

// NewDropIndex begins a DROP INDEX.
func (c *Conn) NewDropIndex() *bun.DropIndexQuery { return c.database.builder.NewDropIndex().Conn(c) }

// NewTruncateTable begins a TRUNCATE.
func (c *Conn) NewTruncateTable() *bun.TruncateTableQuery {
	return c.database.builder.NewTruncateTable().Conn(c)
}

// NewAddColumn begins an ALTER TABLE ADD COLUMN.
func (c *Conn) NewAddColumn() *bun.AddColumnQuery { return c.database.builder.NewAddColumn().Conn(c) }

// NewDropColumn begins an ALTER TABLE DROP COLUMN.
func (c *Conn) NewDropColumn() *bun.DropColumnQuery {
	return c.database.builder.NewDropColumn().Conn(c)
}
