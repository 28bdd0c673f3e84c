package db

import (
	"context"
	"errors"

	"github.com/goquintet/quintet/db/pool"
)

// Intercept puts what wrap returns between each alias and its engine: package
// dbtest runs a test in one transaction in this way. It is called while nobody uses
// the connections, and so is the function that it returns, which closes what was
// opened meanwhile.
func (cs *Connections) Intercept(wrap func(alias string, settings Settings, d pool.Driver) pool.Driver) (restore func(ctx context.Context) error) {
	before := make(map[string]*pool.Pool)
	for alias, d := range cs.databases {
		before[alias] = d.pool
		d.pool = d.pool.With(func(inner pool.Driver) pool.Driver { return wrap(alias, d.settings, inner) })
	}
	return func(ctx context.Context) error {
		var errs []error
		for alias, d := range cs.databases {
			errs = append(errs, d.pool.Close(ctx))
			d.pool = before[alias]
		}
		return errors.Join(errs...)
	}
}
