package db

import (
	"github.com/uptrace/bun/schema"

	"github.com/goquintet/quintet/db/pool"
)

// Engine is a kind of database: Django's database backend. A site names the
// engines that it is built with ([Options].Engines); nothing registers itself.
// Packages db/postgres and db/sqlite have one each.
type Engine interface {
	// Name is what ENGINE in the settings says, in lower case.
	Name() string

	// Open checks the settings of one alias, in full, and returns what opens its
	// connections. It opens nothing. Errors are *[SettingsError] values, joined.
	Open(alias string, settings Settings) (pool.Driver, error)

	// Dialect returns a new SQL dialect for bun.
	Dialect() schema.Dialect
}
