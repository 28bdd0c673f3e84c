package app_test

import (
	"fmt"
	"os"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
)

// What do the settings of a site look like, and which value wins? The last one
// that is read: the files in their order, then the environment.
func ExampleLoad() {
	os.Setenv("QUINTET_DATABASES__DEFAULT__PASSWORD", "hunter2")
	defer os.Unsetenv("QUINTET_DATABASES__DEFAULT__PASSWORD")

	settings, err := app.Load("testdata/settings/settings.yaml", "testdata/settings/production.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	database := settings.Databases["default"]
	fmt.Println("debug:  ", settings.Debug)
	fmt.Println("hosts:  ", settings.AllowedHosts)
	fmt.Println("engine: ", database.Engine)
	fmt.Println("health: ", database.ConnHealthChecks) // what production.yaml does not say stays
	fmt.Println("forever:", database.ConnMaxAge == db.Forever)
	fmt.Println("listen: ", settings.Listen) // nobody says it: the default

	// Output:
	// debug:   false
	// hosts:   [blog.example.com]
	// engine:  postgres
	// health:  true
	// forever: true
	// listen:  127.0.0.1:8000
}

// Where does a value come from?
func ExampleSettings_Origin() {
	settings, err := app.Load("testdata/settings/settings.yaml", "testdata/settings/production.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(settings.Origin("DEBUG"))
	fmt.Println(settings.Origin("DATABASES.default.CONN_HEALTH_CHECKS"))
	fmt.Println(settings.Origin("LISTEN"))

	// Output:
	// testdata/settings/production.yaml:1
	// testdata/settings/settings.yaml:9
	// default
}
