package postgres_test

import (
	"fmt"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres"
)

// What is wrong with the settings of a PostgreSQL database?
func ExampleEngine_Open() {
	_, err := postgres.Engine{}.Open("default", db.Settings{
		User: "ada",
		Options: map[string]string{
			"search_path":     "blog",
			"connect_timeout": "10",
			"exec_mode":       "fast",
		},
	})
	fmt.Println(err)

	// Output:
	// db: DATABASES.default.NAME: is missing; name the database, or a service in OPTIONS
	// db: DATABASES.default.OPTIONS.connect_timeout: is no option here; use CONNECT_TIMEOUT
	// db: DATABASES.default.OPTIONS.exec_mode: "fast" is unknown; say exec, simple_protocol, cache_describe, cache_statement, describe_exec
}
