package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/goquintet/quintet/db"
)

// Configure is what pgx is given.
func Configure(alias string, s db.Settings) (*pgx.ConnConfig, error) {
	cfg, _, err := configure(alias, s)
	return cfg, err
}

// ConnString is what of it pgx has parsed.
func ConnString(s db.Settings) string { return connString(s) }
