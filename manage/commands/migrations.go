package commands

import (
	"context"
	"errors"
	"fmt"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/migrate"
)

// withMigrator hands fn what migrates one database of the site.
func withMigrator(site *app.Site, alias string, fn func(*migrate.Migrator) error) (err error) {
	settings, ok := site.Connections().Settings(alias)
	if !ok {
		return unknownAlias(site, alias)
	}
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
	return fn(migrator)
}

func unknownAlias(site *app.Site, alias string) error {
	aliases := site.Connections().Aliases()
	if len(aliases) == 0 {
		return &Error{Problem: "this site has no database", Hint: "add DATABASES to its settings"}
	}
	return &Error{Problem: fmt.Sprintf("there is no database %q", alias), Hint: meant(alias, aliases, "DATABASES has ")}
}

// pending lists what is not applied to the default database; nothing on a site
// without one.
func pending(ctx context.Context, site *app.Site) (names []migrate.Migration, err error) {
	if _, ok := site.Connections().Settings(db.DefaultAlias); !ok {
		return nil, nil
	}
	err = withMigrator(site, db.DefaultAlias, func(m *migrate.Migrator) error {
		names, err = m.Pending(ctx)
		return err
	})
	return names, err
}
