package db

import (
	"context"
	"database/sql/driver"

	"github.com/goquintet/quintet/db/pool"
)

// Raw lends the driver's own connection to fn, as sql.Conn's method does: the way out
// for what database/sql cannot say. Engines have a typed one, such as
// postgres.Raw. It takes part in the block of ctx and is refused outside of it, as a
// statement is; the end of ctx cancels what runs. Other statements of the scope wait
// for it, a second at most ([ErrBusy]): fn must not run any. It must not keep the
// connection either. Whatever it leaves on the session is reset at give-back, unless
// CONN_RESET says otherwise.
func (c *Conn) Raw(ctx context.Context, fn func(driverConn any) error) error {
	place := pool.Here(1)
	if err := c.ready(ctx, place); err != nil {
		return err
	}
	l, err := c.hold(ctx, place)
	if err != nil {
		return err
	}
	return l.Raw(l.Statement(ctx, place, c), func(inner driver.Conn) error { return fn(inner) })
}
