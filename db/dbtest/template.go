package dbtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres/server"
)

// Template is a database that is made once, migrated and filled, and copied for
// each test: Django's test database. Its methods may be called concurrently.
type Template struct {
	fill func(ctx context.Context, conns *db.Connections) error

	mu   sync.Mutex // guards the rest; held while the template is made
	file []byte     // SQLite's
	name string     // PostgreSQL's

	shared string // PostgreSQL's copy for wrapped tests
}

// NewTemplate returns a template that fill makes when the first copy is asked for,
// once for each engine. Its context is that of a scope.
func NewTemplate(fill func(ctx context.Context, conns *db.Connections) error) *Template {
	return &Template{fill: fill}
}

// Database is the package's [Database] with the contents of the template.
func (tpl *Template) Database(t testing.TB, engine string) db.Settings {
	t.Helper()
	settings, copyOf := Reserve(t, engine)
	if err := copyOf(t.Context(), tpl); err != nil {
		t.Fatal(err)
	}
	return settings
}

// Reserve is [Template.Database] for a database that may never be needed, or whose
// template is not known yet: nothing is there before copyOf is called, once, by any
// goroutine.
func Reserve(t testing.TB, engine string) (_ db.Settings, copyOf func(ctx context.Context, tpl *Template) error) {
	t.Helper()
	if engine == Postgres {
		srv := Server(t)
		name, create := reserve(t, srv)
		return settingsOf(srv, name), func(ctx context.Context, tpl *Template) error {
			template, err := tpl.database(ctx, srv)
			if err != nil {
				return err
			}
			return create(ctx, template)
		}
	}
	settings := Database(t, engine)
	return settings, func(ctx context.Context, tpl *Template) error {
		content, err := tpl.content(ctx)
		if err != nil {
			return err
		}
		return os.WriteFile(settings.Name, content, 0o600)
	}
}

// Shared returns a database with the contents of the template that all wrapped tests
// of this process share, PostgreSQL's: none commits anything.
func (tpl *Template) Shared(ctx context.Context) (db.Settings, error) {
	srv, err := shared.get()
	if err != nil {
		return db.Settings{}, err
	}
	template, err := tpl.database(ctx, srv)
	if err != nil {
		return db.Settings{}, err
	}
	tpl.mu.Lock()
	defer tpl.mu.Unlock()
	if tpl.shared == "" {
		name := shared.name("wrapped")
		if err := srv.CreateDatabase(ctx, name, template); err != nil {
			return db.Settings{}, err
		}
		tpl.shared = name
	}
	return settingsOf(srv, tpl.shared), nil
}

// TemplateFor returns the template of this key, and makes it of fill for the first
// caller in this process. Package app/apptest keeps those of its sites here.
func TemplateFor(key string, fill func(ctx context.Context, conns *db.Connections) error) *Template {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.templates == nil {
		shared.templates = make(map[string]*Template)
	}
	if shared.templates[key] == nil {
		shared.templates[key] = NewTemplate(fill)
	}
	return shared.templates[key]
}

// content returns the file of SQLite's template, and makes it for the first caller.
func (tpl *Template) content(ctx context.Context) (_ []byte, err error) {
	tpl.mu.Lock()
	defer tpl.mu.Unlock()
	if tpl.file == nil {
		if tpl.file, err = tpl.makeFile(ctx); err != nil {
			return nil, fmt.Errorf("dbtest: template: %w", err)
		}
	}
	return tpl.file, nil
}

// database returns the name of PostgreSQL's template, and makes it for the first
// caller.
func (tpl *Template) database(ctx context.Context, srv *server.Server) (string, error) {
	tpl.mu.Lock()
	defer tpl.mu.Unlock()
	if tpl.name != "" {
		return tpl.name, nil
	}
	name := shared.name("template")
	err := srv.CreateDatabase(ctx, name, "")
	if err == nil {
		err = tpl.make(ctx, settingsOf(srv, name))
	}
	if err != nil {
		return "", fmt.Errorf("dbtest: template: %w", err)
	}
	tpl.name = name
	return name, nil
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
