package sqlite_test

import (
	"fmt"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/sqlite"
)

// What is wrong with the settings of a SQLite database?
func ExampleEngine_Open() {
	_, err := sqlite.Engine{}.Open("default", db.Settings{
		Name:    "blog.db",
		User:    "ada",
		Options: map[string]string{"timeout": "20", "journal_mode": "wall"},
	})
	fmt.Println(err)

	// Output:
	// db: DATABASES.default.USER: means nothing to SQLite, which has no server; remove it, or choose another ENGINE
	// db: DATABASES.default.OPTIONS.journal_mode: "wall" is unknown; say wal, delete, truncate, persist, memory, off
}
