package dbtest

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/goquintet/quintet/db/pool"
)

// begin begins a transaction of the scope: a savepoint of the test's.
func (v *virtual) begin(ctx context.Context, readOnly bool) error {
	if v.block != nil {
		return fmt.Errorf("%w: %w", ErrWrapped, pool.ErrInAtomicBlock)
	}
	r, over, err := v.turn(ctx, true)
	if err != nil {
		return err
	}
	v.hub.wire.Lock()
	defer v.hub.wire.Unlock()
	v.hub.names++
	v.savepoint, v.readOnly = "quintet_block_"+strconv.Itoa(v.hub.names), readOnly
	query := "SAVEPOINT " + v.savepoint
	if readOnly && v.hub.postgres {
		query += "; SET TRANSACTION READ ONLY"
	}
	if err = v.run(ctx, r, query); err == nil && !v.hub.postgres {
		v.changes, err = r.text(context.WithoutCancel(ctx), "SELECT total_changes()")
	}
	if err != nil {
		v.block = nil
		over()
	}
	return err
}

// ends ends the transaction: COMMIT, END, ROLLBACK or ABORT.
func (v *virtual) ends(ctx context.Context, query string) error {
	if v.block == nil {
		return nil // as PostgreSQL, which only warns
	}
	word := strings.ToUpper(strings.TrimLeft(query, " \t\r\n"))
	if strings.HasPrefix(word, "COMMIT") || strings.HasPrefix(word, "END") {
		return v.commit(ctx)
	}
	return v.rollback(ctx)
}

func (v *virtual) commit(ctx context.Context) error {
	if v.hub.postgres && v.readOnly {
		return v.rollback(ctx) // nothing was written, and the test's transaction goes on writing
	}
	r, err := v.hub.open()
	if err != nil {
		return v.done(err)
	}
	v.hub.wire.Lock()
	if v.hub.engine.Committable(r.Conn, pool.TxOptions{}) != nil {
		v.hub.wire.Unlock()
		return v.rollback(ctx) // as PostgreSQL answers the COMMIT of a failed transaction
	}
	defer v.hub.wire.Unlock()
	if r.defers {
		// What a commit would check. Going back leaves the modes as they were.
		err = v.run(ctx, r, "SAVEPOINT quintet_commit; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK TO SAVEPOINT quintet_commit; RELEASE SAVEPOINT quintet_commit")
	}
	if err != nil {
		return v.done(errors.Join(err, v.run(ctx, r, v.back())))
	}
	return v.done(v.run(ctx, r, "RELEASE SAVEPOINT "+v.savepoint))
}

func (v *virtual) back() string {
	return "ROLLBACK TO SAVEPOINT " + v.savepoint + "; RELEASE SAVEPOINT " + v.savepoint
}

func (v *virtual) rollback(ctx context.Context) error {
	r, err := v.hub.open()
	if err != nil {
		return v.done(err)
	}
	v.hub.wire.Lock()
	defer v.hub.wire.Unlock()
	return v.done(v.run(ctx, r, v.back()))
}

// done ends the turn of the transaction.
func (v *virtual) done(err error) error {
	v.hub.turns.give(v.block)
	v.block, v.savepoint, v.readOnly = nil, "", false
	return err
}

// BeginTx is for database/sql's own transactions.
func (v *virtual) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	o := pool.TxOptions{Isolation: opts.Isolation, ReadOnly: opts.ReadOnly}
	if _, err := (&virtualDriver{v.hub.engine, v.hub}).Begin(o); err != nil {
		return nil, err
	}
	if err := v.begin(ctx, opts.ReadOnly); err != nil {
		return nil, err
	}
	return virtualTx{v}, nil
}

// Begin is the old form; database/sql uses the other.
func (v *virtual) Begin() (driver.Tx, error) {
	return v.BeginTx(context.Background(), driver.TxOptions{})
}

type virtualTx struct{ v *virtual }

func (t virtualTx) Commit() error {
	if t.v.block == nil {
		return errNoBlock
	}
	return t.v.commit(context.Background())
}

func (t virtualTx) Rollback() error {
	if t.v.block == nil {
		return errNoBlock
	}
	return t.v.rollback(context.Background())
}
