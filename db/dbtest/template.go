package dbtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/goquintet/quintet/db"
)

// Template is a database that is made once, migrated and filled, and copied for
// each test: Django's test database. Its methods may be called concurrently.
type Template struct {
	fill func(ctx context.Context, conns *db.Connections) error

	mu       sync.Mutex // guards the rest; held while the template is made
	file     []byte     // SQLite's
	database string     // PostgreSQL's
}

// NewTemplate returns a template that fill makes when the first copy is asked for,
// once for each engine. Its context is that of a scope.
func NewTemplate(fill func(ctx context.Context, conns *db.Connections) error) *Template {
	return &Template{fill: fill}
}

// Database is the package's [Database] with the contents of the template.
func (tpl *Template) Database(t testing.TB, engine string) db.Settings {
	t.Helper()
	tpl.mu.Lock()
	defer tpl.mu.Unlock()
	var err error
	switch engine {
	case SQLite:
		if tpl.file == nil {
			tpl.file, err = tpl.makeFile(t.Context())
		}
	case Postgres:
		srv := Server(t)
		if name := shared.name("template"); tpl.database == "" {
			err = srv.CreateDatabase(t.Context(), name, "")
			if err == nil {
				err = tpl.make(t.Context(), settingsOf(srv, name))
			}
			if err == nil {
				tpl.database = name
			}
		}
	}
	if err != nil {
		t.Fatalf("dbtest: template: %v", err)
	}
	if engine == Postgres {
		return onServer(t, tpl.database)
	}
	settings := Database(t, engine)
	if err := os.WriteFile(settings.Name, tpl.file, 0o600); err != nil {
		t.Fatal(err)
	}
	return settings
}

func (tpl *Template) makeFile(ctx context.Context) (_ []byte, err error) {
	dir, err := os.MkdirTemp("", "quintet-template")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	// Without a write-ahead log everything is in the one file.
	settings := db.Settings{Engine: SQLite, Name: filepath.Join(dir, "template.sqlite3"), Options: map[string]string{"journal_mode": "delete"}}
	if err := tpl.make(ctx, settings); err != nil {
		return nil, err
	}
	return os.ReadFile(settings.Name)
}

func (tpl *Template) make(ctx context.Context, settings db.Settings) error {
	conns, err := db.Open(map[string]db.Settings{db.DefaultAlias: settings}, db.Options{Engines: engines()})
	if err != nil {
		return err
	}
	fillErr := conns.Run(ctx, "dbtest.Template", func(ctx context.Context) error { return tpl.fill(ctx, conns) })
	if err := conns.Close(ctx); err != nil {
		return fmt.Errorf("fill must give every connection back: %w", err)
	}
	return fillErr
}
