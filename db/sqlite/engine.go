package sqlite

import (
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
)

// Engine is the [db.Engine] for SQLite. The zero value is ready, has no state, and
// may be used concurrently.
type Engine struct{}

var _ db.Engine = Engine{}

// Name returns "sqlite", what ENGINE says.
func (Engine) Name() string { return "sqlite" }

// Dialect returns a new sqlitedialect for bun.
func (Engine) Dialect() schema.Dialect { return sqlitedialect.New() }

// Open checks the settings and returns what opens their connections. It neither
// opens nor makes a file. A relative NAME counts from the folder that the process
// is in now. Every mistake is a *[db.SettingsError], joined with the others.
func (Engine) Open(alias string, settings db.Settings) (pool.Driver, error) {
	return configure(alias, settings)
}
