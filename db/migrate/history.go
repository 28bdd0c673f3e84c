package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pressly/goose/v3/database"
)

// table is the one table of all apps.
const table = "quintet_migrations"

// records are the applied migrations and their times.
type records map[Migration]time.Time

func (r records) has(m Migration) bool {
	_, ok := r[m]
	return ok
}

// names returns the applied migrations of one app.
func (r records) names(app string) map[string]bool {
	names := make(map[string]bool)
	for m := range r {
		if m.App == app {
			names[m.Name] = true
		}
	}
	return names
}

// history reads and writes the table: Django's MigrationRecorder.
type history struct {
	dialect string
	table   string // with its schema, so that a file may set the search_path
	exists  bool
}

// findHistory looks for the table where db's session would find or create it.
func findHistory(ctx context.Context, db database.DBTxConn, dialect string) (*history, error) {
	h := &history{dialect: dialect, table: table}
	var err error
	if dialect == postgres {
		err = h.findSchema(ctx, db)
	} else {
		err = db.QueryRowContext(ctx, "SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = '"+table+"'").Scan(&h.exists)
	}
	if err != nil {
		return nil, fmt.Errorf("migrate: looking for the table %s: %w", table, err)
	}
	return h, nil
}

func (h *history) findSchema(ctx context.Context, db database.DBTxConn) error {
	var found, current sql.NullString
	err := db.QueryRowContext(ctx, `
SELECT (SELECT quote_ident(n.nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.oid = to_regclass('`+table+`')),
       quote_ident(current_schema())`).Scan(&found, &current)
	switch {
	case err != nil:
		return err
	case found.Valid:
		h.table, h.exists = found.String+"."+table, true
	case current.Valid:
		h.table = current.String + "." + table
	default:
		return errors.New("the search_path leads to no schema: create it, or correct the path in OPTIONS")
	}
	return nil
}

// create makes the table unless it is there. It asks first: PostgreSQL wants the
// right to create also where IF NOT EXISTS has nothing to do.
func (h *history) create(ctx context.Context, db database.DBTxConn) error {
	if h.exists {
		return nil
	}
	moment := "timestamptz"
	if h.dialect == sqlite {
		moment = "text"
	}
	_, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+h.table+
		" (app text NOT NULL, name text NOT NULL, applied "+moment+" NOT NULL, PRIMARY KEY (app, name))")
	if err != nil {
		return fmt.Errorf("migrate: creating the table %s: %w", h.table, err)
	}
	h.exists = true
	return nil
}

func (h *history) applied(ctx context.Context, db database.DBTxConn) (_ records, err error) {
	all := make(records)
	if !h.exists {
		return all, nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("migrate: reading the table %s: %w", h.table, err)
		}
	}()
	rows, err := db.QueryContext(ctx, "SELECT app, name, applied FROM "+h.table)
	if err != nil {
		return nil, err
	}
	defer func() { err = also(err, rows.Close()) }()
	for rows.Next() {
		var m Migration
		var applied any
		if err := rows.Scan(&m.App, &m.Name, &applied); err != nil {
			return nil, err
		}
		if all[m], err = moment(applied); err != nil {
			return nil, fmt.Errorf("%s: %w", m, err)
		}
	}
	return all, rows.Err()
}

func (h *history) insert(ctx context.Context, db database.DBTxConn, m Migration) error {
	var now any = time.Now().UTC()
	if h.dialect == sqlite {
		now = time.Now().UTC().Format(time.RFC3339Nano)
	}
	_, err := db.ExecContext(ctx, h.bind("INSERT INTO "+h.table+" (app, name, applied) VALUES ($1, $2, $3)"), m.App, m.Name, now)
	return err
}

func (h *history) delete(ctx context.Context, db database.DBTxConn, m Migration) error {
	_, err := db.ExecContext(ctx, h.bind("DELETE FROM "+h.table+" WHERE app = $1 AND name = $2"), m.App, m.Name)
	return err
}

// bind spells PostgreSQL's numbered parameters as SQLite does.
func (h *history) bind(query string) string {
	if h.dialect == sqlite {
		return strings.ReplaceAll(query, "$", "?")
	}
	return query
}

// moment reads a time as a driver returns it.
func moment(value any) (time.Time, error) {
	switch v := value.(type) {
	case time.Time:
		return v.UTC(), nil
	case string:
		return time.Parse(time.RFC3339Nano, v)
	case []byte:
		return time.Parse(time.RFC3339Nano, string(v))
	}
	return time.Time{}, fmt.Errorf("%T is no time", value)
}
