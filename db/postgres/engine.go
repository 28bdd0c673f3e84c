package postgres

import (
	"maps"

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
// file, the password file. Each connection reads them again, as those of libpq do, so
// that a password or a certificate can be replaced under a site that runs. Every mistake is a *[db.SettingsError], joined with the
// others; none of them shows a password.
//
// NAME is required unless OPTIONS has a service, as in Django.
func (Engine) Open(alias string, settings db.Settings) (pool.Driver, error) {
	settings = settings.WithDefaults()
	settings.Options = maps.Clone(settings.Options) // read again and again
	if _, _, err := configure(alias, settings); err != nil {
		return nil, err
	}
	return &sessions{alias: alias, settings: settings, pooled: settings.Pooler == db.PoolerPgBouncer}, nil
}
