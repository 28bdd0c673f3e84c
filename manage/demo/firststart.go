package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/manage/commands"
)

// firstStart lets "runserver" prepare the database of the demo, so that there is
// something to look at after one command. It is an app with a runserver of its own,
// which goes before the one of the framework.
//
// The framework itself never migrates behind anybody's back: on your own site,
// leave this app out and say "migrate" when you mean it.
func firstStart() app.App {
	return app.App{
		Name: "firststart",
		Commands: []app.Command{{
			Name:  "runserver",
			Short: "Serve the site for development (the demo fills its database first)",
			Run: func(ctx context.Context, site *app.Site, args []string) error {
				if err := prepare(ctx, site); err != nil {
					return err
				}
				return commands.Call(ctx, site, "runserver", args...)
			},
		}},
	}
}

// prepare migrates, and by that fills, a SQLite database in which there is nothing
// yet. Any other database is its owner's business.
func prepare(ctx context.Context, site *app.Site) error {
	database := site.Settings().Databases[db.DefaultAlias]
	if !site.Settings().Debug || database.Engine != "sqlite" {
		return nil
	}
	var tables int64
	err := db.Run(ctx, "first start", func(ctx context.Context) (err error) { // holds nothing afterwards
		tables, err = db.From(ctx).NewSelect().TableExpr("sqlite_schema").Count(ctx)
		return err
	})
	if err != nil || tables > 0 {
		return err
	}
	begun, out := time.Now(), commands.Stdout(ctx)
	_, err = fmt.Fprintf(out, "First start: the demo creates, migrates and fills its database, %s.\n", database.Name)
	if err != nil {
		return err
	}
	if err := commands.Call(ctx, site, "migrate"); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "It is ready after %s. Remove the file to begin again.\n\n", time.Since(begun).Round(time.Millisecond))
	return err
}
