package app_test

import (
	"encoding/json"
	"fmt"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
)

// What does a site print of its settings? Everything but the secrets.
func ExampleSecret() {
	database := db.Settings{
		Engine: "postgres", User: "blog", Password: "hunter2",
		Options: map[string]string{"sslpassword": "hunter2", "sslmode": "require"},
	}
	settings := app.Settings{SecretKey: "hunter2", Databases: map[string]db.Settings{"default": database}}

	fmt.Println(settings.SecretKey)
	fmt.Println(settings.Databases["default"])
	encoded, err := json.Marshal(settings.SecretKey)
	fmt.Println(string(encoded), err)
	fmt.Println(string(settings.SecretKey)) // only whoever asks for it gets it

	// Output:
	// [hidden]
	// {postgres  blog [hidden]  0 map[sslmode:require sslpassword:[hidden]] 0s false false  0 0 0s 0s 0s  0s 0s 0s }
	// "[hidden]" <nil>
	// hunter2
}

// How are settings built without a file? As any struct: zero values mean the
// defaults.
func ExampleSettings() {
	settings := app.Settings{
		Debug:     true,
		Databases: map[string]db.Settings{"default": {Engine: "sqlite", Name: ":memory:"}},
	}
	fmt.Println(settings.Validate())
	settings = settings.WithDefaults()
	fmt.Println(settings.Listen, settings.StaticURL, settings.ShutdownTimeout)

	// Output:
	// <nil>
	// 127.0.0.1:8000 /static/ 10s
}
