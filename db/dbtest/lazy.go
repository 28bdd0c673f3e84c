package dbtest

import (
	"context"
	"database/sql/driver"
	"sync"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
)

// Lazy is an engine whose databases are made when they are first connected to:
// prepare makes the one of an alias, once, unless it fails. Package app/apptest uses
// it: what a site's database has is known when the site is.
func Lazy(engine db.Engine, prepare func(ctx context.Context, alias string) error) db.Engine {
	return lazyEngine{engine, prepare}
}

type lazyEngine struct {
	db.Engine
	prepare func(ctx context.Context, alias string) error
}

func (e lazyEngine) Open(alias string, settings db.Settings) (pool.Driver, error) {
	d, err := e.Engine.Open(alias, settings)
	if err != nil {
		return nil, err
	}
	return &lazyDriver{Driver: d, prepare: func(ctx context.Context) error { return e.prepare(ctx, alias) }}, nil
}

type lazyDriver struct {
	pool.Driver
	prepare func(ctx context.Context) error

	mu       sync.Mutex // guards prepared; held while it is made
	prepared bool
}

func (d *lazyDriver) Connect(ctx context.Context) (driver.Conn, error) {
	if err := d.ready(ctx); err != nil {
		return nil, err
	}
	return d.Driver.Connect(ctx)
}

func (d *lazyDriver) ready(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.prepared {
		return nil
	}
	// The time that a connection may take is not the time of its database.
	if err := d.prepare(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	d.prepared = true
	return nil
}
