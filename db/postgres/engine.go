package postgres

import (
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/schema"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
)

// Engine is the [db.Engine] for PostgreSQL. The zero value is ready, has no state,
// and may be used concurrently.
type Engine struct{}

var _ db.Engine = Engine{}

// Name returns "postgres", what ENGINE says.
func (Engine) Name() string { return "postgres" }

// Dialect returns a new pgdialect for bun.
func (Engine) Dialect() schema.Dialect { return pgdialect.New() }

// Open checks the settings and returns what opens their connections. It dials
// nothing, but reads the files that the settings name: certificates, the service
// file, the password file. Every mistake is a *[db.SettingsError], joined with the
// others; none of them shows a password.
//
// NAME is required unless OPTIONS has a service, as in Django.
func (Engine) Open(alias string, settings db.Settings) (pool.Driver, error) {
	settings = settings.WithDefaults()
	cfg, dialer, err := configure(alias, settings)
	if err != nil {
		return nil, err
	}
	return &sessions{cfg: cfg, dialer: dialer, pooled: settings.Pooler == db.PoolerPgBouncer}, nil
}
