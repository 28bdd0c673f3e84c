// Package sales is an app: regions, what was sold there, and an export that may take
// as long as its reader likes.
package sales

import (
	"embed"
	"io/fs"

	"github.com/goquintet/quintet/app"
)

//go:embed migrations templates
var files embed.FS

// App is what the site lists among its apps and includes in its urls.
func App() app.App {
	return app.App{
		Name:       "sales",
		Models:     []any{(*Region)(nil), (*Sale)(nil)},
		Migrations: folder("migrations"),
		Templates:  folder("templates"),
		Routes:     urls,
		Ready:      ready,
		Commands:   []app.Command{seedCommand()},
	}
}

// ready fills the tables when they have been made: Django's post_migrate.
func ready(site *app.Site) error {
	site.Bus().MigrateFinished.ConnectOnce("sales.seed", seedAfterMigrate)
	return nil
}

// folder is one of the folders that are part of the program.
func folder(name string) fs.FS {
	sub, err := fs.Sub(files, name)
	if err != nil {
		panic(err) // only for a name that no folder can have
	}
	return sub
}
