package dbtest

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
)

// ErrFenced reports a statement on an alias that the test has not asked for: Django's
// DatabaseOperationForbidden.
var ErrFenced = errors.New("dbtest: the test has not asked for this database")

// Fence is an engine that opens nothing for the aliases that are not allowed: their
// statements fail with [ErrFenced]. Who is told whose fence that is.
func Fence(engine db.Engine, who string, allowed func(alias string) bool) db.Engine {
	return fencedEngine{engine, who, allowed}
}

type fencedEngine struct {
	db.Engine
	who     string
	allowed func(alias string) bool
}

func (e fencedEngine) Open(alias string, settings db.Settings) (pool.Driver, error) {
	d, err := e.Engine.Open(alias, settings)
	if err != nil || e.allowed(alias) {
		return d, err
	}
	return fenced{d, fenceError(e.who, alias)}, nil
}

func fenceError(who, alias string) error {
	return fmt.Errorf("%w: %s, alias %q; add it to the databases that the test names", ErrFenced, who, alias)
}

type fenced struct {
	pool.Driver
	err error
}

func (d fenced) Connect(context.Context) (driver.Conn, error) { return nil, d.err }

func (d fenced) Transient(error) bool { return false }
