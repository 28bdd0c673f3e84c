package apptest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/internal/within"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/migrate"
)

// databases are those of the site under test.
type databases struct {
	t        testing.TB
	newSite  func() (*app.Site, error)
	plan     *plan
	site     *app.Site // known when its routes are made
	reserved map[string]reserved
}

// reserved is the database that an alias has when the test is not wrapped, or on
// SQLite.
type reserved struct {
	settings db.Settings
	copyOf   func(ctx context.Context, tpl *dbtest.Template) error
}

// rewire gives every alias that the test asks for a database of a test, and fences
// the others. It runs in the goroutine of the test, because PostgreSQL may be
// missing.
func (d *databases) rewire(settings *app.Settings, options *app.Options) {
	for alias, s := range settings.Databases {
		switch engine := strings.ToLower(s.Engine); {
		case !d.plan.allows(alias):
		case engine == dbtest.SQLite:
			d.reserve(alias, engine)
			settings.Databases[alias] = at(s, d.reserved[alias].settings)
		case strings.HasPrefix(engine, dbtest.Postgres):
			dbtest.Server(d.t)
			if d.plan.commits {
				d.reserve(alias, dbtest.Postgres)
				settings.Databases[alias] = at(s, d.reserved[alias].settings)
			}
		}
	}
	options.Engines = slices.Clone(options.Engines)
	for i, engine := range options.Engines {
		if d.plan.commits {
			engine = dbtest.Lazy(engine, d.at)
		} else {
			engine = dbtest.Wrapped(d.t, engine, d.at)
		}
		options.Engines[i] = dbtest.Fence(engine, d.t.Name(), d.plan.allows)
	}
}

func (d *databases) reserve(alias, engine string) {
	settings, copyOf := dbtest.Reserve(d.t, engine)
	d.reserved[alias] = reserved{settings, copyOf}
}

// at are the settings s at the place of own.
func at(s, own db.Settings) db.Settings {
	s.Name, s.Host, s.Port, s.User, s.Password = own.Name, own.Host, own.Port, own.User, own.Password
	options := maps.Clone(s.Options)
	if options == nil {
		options = make(map[string]string)
	}
	delete(options, "service")
	maps.Copy(options, own.Options)
	s.Options = options
	return s
}

// at makes the database of an alias, when it is first connected to.
func (d *databases) at(ctx context.Context, alias string, settings db.Settings) (db.Settings, error) {
	tpl, err := d.template(alias)
	if err != nil {
		return settings, err
	}
	if r, ok := d.reserved[alias]; ok {
		return settings, r.copyOf(ctx, tpl)
	}
	own, err := tpl.Shared(ctx)
	return at(settings, own), err
}

// template is what the database of an alias is a copy of: migrated, and filled with
// the fixtures.
func (d *databases) template(alias string) (*dbtest.Template, error) {
	key, err := d.key(alias)
	if err != nil {
		return nil, err
	}
	return dbtest.TemplateFor(key, func(ctx context.Context, conns *db.Connections) error {
		settings, _ := conns.Settings(db.DefaultAlias)
		return d.fill(ctx, alias, settings)
	}), nil
}

// key names what the template of an alias is made from: two sites with the same
// migrations and fixtures share it.
func (d *databases) key(alias string) (string, error) {
	sum := sha256.New()
	own, _ := d.site.Connections().Settings(alias)
	fmt.Fprintf(sum, "engine %q\n", own.Engine)
	for _, a := range d.site.Apps() {
		if a.Migrations == nil {
			continue
		}
		fmt.Fprintf(sum, "app %q\n", a.Name)
		err := fs.WalkDir(a.Migrations, ".", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := fs.ReadFile(a.Migrations, name)
			fmt.Fprintf(sum, "%q %d\n%s\n", name, len(content), content)
			return err
		})
		if err != nil {
			return "", fmt.Errorf("apptest: migrations of %q: %w", a.Name, err)
		}
	}
	if alias == db.DefaultAlias {
		for _, f := range d.plan.fixtures {
			fmt.Fprintf(sum, "fixture %p\n", f)
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}

// fill migrates a new database and runs the fixtures, on a site of its own: it has
// this database and no other.
func (d *databases) fill(ctx context.Context, alias string, settings db.Settings) (err error) {
	var site *app.Site
	within.ForTest(func(s *app.Settings, o *app.Options) {
		s.Databases = maps.Clone(s.Databases)
		for _, change := range d.plan.settings {
			change(s)
		}
		s.Databases[alias] = at(s.Databases[alias], settings)
		o.Logger = slog.New(slog.DiscardHandler)
		o.Engines = slices.Clone(o.Engines)
		for i, engine := range o.Engines {
			o.Engines[i] = dbtest.Fence(engine, "a fixture", func(other string) bool { return other == alias })
		}
	}, func() { site, err = d.newSite() })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	// As the migrate command does: receivers of its signals have the site's context.
	siteCtx := valued{ctx, site.Context()}
	err = site.Connections().Run(siteCtx, "migrate", func(ctx context.Context) error { return up(ctx, site, alias) })
	if err != nil {
		return err
	}
	if alias != db.DefaultAlias {
		return nil
	}
	return site.Connections().Run(siteCtx, "apptest.Fixture", func(ctx context.Context) error {
		for _, f := range d.plan.fixtures {
			if err := f.fill(ctx); err != nil {
				return fmt.Errorf("apptest: fixture: %w", err)
			}
		}
		return nil
	})
}

// up applies the migrations of the site.
func up(ctx context.Context, site *app.Site, alias string) (err error) {
	settings, _ := site.Connections().Settings(alias)
	var sources []migrate.Source
	for _, a := range site.Apps() {
		sources = append(sources, migrate.Source{App: a.Name, FS: a.Migrations})
	}
	sqldb := site.Connections().SQLDB(alias)
	defer func() { err = errors.Join(err, sqldb.Close()) }()
	migrator, err := migrate.New(sqldb, settings.Engine, sources, migrate.Options{Alias: alias, Bus: site.Bus()})
	if err != nil {
		return err
	}
	_, err = migrator.Up(ctx, nil)
	return err
}
