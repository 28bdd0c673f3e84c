// Package demo is the site that this repository runs: a small chain of music shops
// and its sales, with a page for each thing that a stream can be.
//
// It is written as any site would be. Copy what you need: site.go is where the parts
// come together, apps.go lists the apps, urls.go the addresses, and sales is an app.
package demo

import (
	"embed"
	"io/fs"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/sqlite"
)

//go:embed templates static
var files embed.FS

// New makes the site from settings.yaml and the environment. It opens nothing.
func New() (*app.Site, error) {
	settings, err := app.Load("settings.yaml")
	if err != nil {
		return nil, err
	}
	return NewWith(settings)
}

// NewWith makes the site from settings that are there already: those of a test.
func NewWith(settings app.Settings) (*app.Site, error) {
	templates, err := fs.Sub(files, "templates")
	if err != nil {
		return nil, err
	}
	static, err := fs.Sub(files, "static")
	if err != nil {
		return nil, err
	}
	return app.New(settings, app.Options{
		Engines:   []db.Engine{sqlite.Engine{}, postgres.Engine{}},
		Apps:      apps(),
		Routes:    urls,
		Templates: templates,
		Static:    static,
	})
}
