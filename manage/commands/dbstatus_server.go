package commands

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
)

// databaseReport is what the server of an alias says, or the file.
type databaseReport struct {
	Alias    string          `json:"alias"`
	Engine   string          `json:"engine"`
	Name     string          `json:"name"`
	Error    string          `json:"error,omitempty"`
	Postgres *postgresReport `json:"postgres,omitempty"`
	SQLite   *sqliteReport   `json:"sqlite,omitempty"`

	idleWarn time.Duration // HOLD_IDLE_WARN
}

func askDatabase(ctx context.Context, site *app.Site, alias string) (databaseReport, error) {
	settings, _ := site.Connections().Settings(alias)
	report := databaseReport{Alias: alias, Engine: settings.Engine, Name: settings.Name, idleWarn: settings.HoldIdleWarn}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	err := site.Connections().Run(ctx, "dbstatus", func(ctx context.Context) (err error) {
		switch settings.Engine {
		case "postgres":
			report.Postgres, err = askPostgres(ctx, alias)
		case "sqlite":
			report.SQLite, err = askSQLite(ctx, site, alias, settings)
		}
		return err
	})
	if err != nil {
		report.Error, _ = splitHint(err)
	}
	return report, err
}

// postgresReport is what a server knows about connections. Those of dbstatus itself
// are not counted.
type postgresReport struct {
	Version        string     `json:"version"`
	Connections    int        `json:"connections"`     // of clients, of all databases
	MaxConnections int        `json:"max_connections"` // the setting
	Reserved       int        `json:"reserved"`        // of them, for superusers and some roles
	Replica        bool       `json:"replica"`
	Activity       []activity `json:"activity"` // in the alias' database
}

// activity is what the connections of one application do.
type activity struct {
	Application string `json:"application"`
	State       string `json:"state"` // as in pg_stat_activity; empty is one that this user may not see
	Count       int    `json:"count"`
	// LongestSeconds is the longest time in this state.
	LongestSeconds float64 `json:"longest_seconds"`
}

func askPostgres(ctx context.Context, alias string) (*postgresReport, error) {
	r := &postgresReport{Activity: []activity{}}
	conn := db.Using(ctx, alias)
	err := conn.NewRaw(`
		SELECT current_setting('server_version'), pg_is_in_recovery(), current_setting('max_connections')::int,
			current_setting('superuser_reserved_connections')::int + coalesce(current_setting('reserved_connections', true), '0')::int,
			(SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend' AND pid <> pg_backend_pid())`,
	).Scan(ctx, &r.Version, &r.Replica, &r.MaxConnections, &r.Reserved, &r.Connections)
	if err != nil {
		return nil, err
	}
	err = conn.NewRaw(`
		SELECT coalesce(application_name, '') AS application, coalesce(state, '') AS state, count(*) AS count,
			coalesce(extract(epoch FROM max(clock_timestamp() - state_change)), 0)::float8 AS longest_seconds
		FROM pg_stat_activity
		WHERE datname = current_database() AND coalesce(backend_type, 'client backend') = 'client backend' AND pid <> pg_backend_pid()
		GROUP BY 1, 2 ORDER BY 1, 2`,
	).Scan(ctx, &r.Activity)
	return r, err
}

// sqliteReport is what a file tells.
type sqliteReport struct {
	Version     string `json:"version,omitempty"`
	Path        string `json:"path"`
	Missing     bool   `json:"missing"` // there is no file yet
	JournalMode string `json:"journal_mode,omitempty"`
	Bytes       int64  `json:"bytes"`
	WALBytes    int64  `json:"wal_bytes"`
	Busy        bool   `json:"busy"` // somebody is writing
}

// askSQLite makes no file: only a process that uses it shall.
func askSQLite(ctx context.Context, site *app.Site, alias string, settings db.Settings) (*sqliteReport, error) {
	r := &sqliteReport{Path: settings.Name}
	if settings.Name != ":memory:" {
		info, err := os.Stat(settings.Name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			r.Missing = true
			return r, nil
		case err != nil:
			return r, err
		}
		r.Bytes = info.Size()
		if wal, err := os.Stat(settings.Name + "-wal"); err == nil { // there need not be one
			r.WALBytes = wal.Size()
		}
	}
	conn := db.Using(ctx, alias)
	if err := conn.NewRaw("SELECT sqlite_version()").Scan(ctx, &r.Version); err != nil {
		return r, err
	}
	if err := conn.NewRaw("PRAGMA journal_mode").Scan(ctx, &r.JournalMode); err != nil {
		return r, err
	}
	if err := db.Release(ctx, alias); err != nil { // one connection is enough
		return r, err
	}
	var err error
	r.Busy, err = isBusy(ctx, site, alias)
	return r, err
}

// isBusy tries the lock of writers, without waiting, and gives it back at once.
func isBusy(ctx context.Context, site *app.Site, alias string) (busy bool, err error) {
	sqldb := site.Connections().SQLDB(alias)
	defer func() { err = errors.Join(err, sqldb.Close()) }()
	conn, err := sqldb.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	for _, statement := range []string{"PRAGMA busy_timeout = 0", "BEGIN IMMEDIATE", "ROLLBACK"} {
		_, err := conn.ExecContext(ctx, statement)
		switch {
		case err != nil && errors.Is(err, db.ErrSerialization), err != nil && strings.Contains(err.Error(), "locked"):
			return true, nil
		case err != nil && strings.Contains(err.Error(), "readonly"):
			return false, nil // OPTIONS mode: ro
		case err != nil:
			return false, fmt.Errorf("%s: %w", statement, err)
		}
	}
	return false, nil
}
