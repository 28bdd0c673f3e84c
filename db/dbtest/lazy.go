package dbtest

import (
	"context"
	"database/sql/driver"
	"sync"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
)

// Lazy is an engine whose databases are made when they are first connected to: at
// makes the one of an alias, once, and says where it is. Package app/apptest uses
// it: what a site's database has is known when the site is.
func Lazy(engine db.Engine, at func(ctx context.Context, alias string, settings db.Settings) (db.Settings, error)) db.Engine {
	return lazyEngine{engine, at}
}

type lazyEngine struct {
	db.Engine
	at func(ctx context.Context, alias string, settings db.Settings) (db.Settings, error)
}

func (e lazyEngine) Open(alias string, settings db.Settings) (pool.Driver, error) {
	d, err := e.Engine.Open(alias, settings)
	if err != nil {
		return nil, err
	}
	return &lazyDriver{Driver: d, move: func(ctx context.Context) (pool.Driver, error) {
		own, err := e.at(ctx, alias, settings)
		if err != nil {
			return nil, err
		}
		return e.Engine.Open(alias, own)
	}}, nil
}

// lazyDriver connects through another driver of the same engine, for the same
// sessions.
type lazyDriver struct {
	pool.Driver
	move func(ctx context.Context) (pool.Driver, error)

	mu sync.Mutex // guards to; held while the database is made
	to pool.Driver
}

func (d *lazyDriver) Connect(ctx context.Context) (driver.Conn, error) {
	to, err := d.moved(ctx)
	if err != nil {
		return nil, err
	}
	return to.Connect(ctx)
}

func (d *lazyDriver) moved(ctx context.Context) (_ pool.Driver, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.to == nil {
		// The time that a connection may take is not the time of its database.
		d.to, err = d.move(context.WithoutCancel(ctx))
	}
	return d.to, err
}
