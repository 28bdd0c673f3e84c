package commands_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
)

// TestSQLMigrate prints what runs, for the engine of the database, and asks none:
// that of this test does not exist.
func TestSQLMigrate(t *testing.T) {
	t.Parallel()
	env := polls(t, func(s *app.Settings, o *app.Options) {
		s.Databases["other"] = db.Settings{Engine: "postgres", Name: "polls", Host: "nowhere.invalid"}
		o.Apps[0].Migrations = fstest.MapFS{
			"0001_initial.sql":       {Data: []byte("-- +goose Up\nCREATE TABLE poll (\n    id integer\n);\nINSERT INTO poll VALUES (1);\n-- +goose Down\nDROP TABLE poll;\n")},
			"0002_fast.sql":          {Data: []byte("-- +goose Up\n-- +goose Down\n")},
			"0002_fast.postgres.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY poll_id ON poll (id);\n")},
		}
	})
	for args, want := range map[string]string{
		"sqlmigrate polls 0001": "-- polls.0001_initial (0001_initial.sql)\nBEGIN;\nCREATE TABLE poll (\n    id integer\n);\n" +
			"INSERT INTO poll VALUES (1);\nCOMMIT;\n",
		"sqlmigrate polls 0001_initial --backwards": "-- polls.0001_initial (0001_initial.sql), backwards\nBEGIN;\nDROP TABLE poll;\nCOMMIT;\n",
		"sqlmigrate polls 0002":                     "-- polls.0002_fast (0002_fast.sql)\n-- nothing to run\n",
		"sqlmigrate --database other polls 0002":    "-- polls.0002_fast (0002_fast.postgres.sql)\n-- without a transaction\nCREATE INDEX CONCURRENTLY poll_id ON poll (id);\n",
	} {
		if r := run(t, env, strings.Fields(args)...); r.status != 0 || r.out != want || r.errors != "" {
			t.Errorf("%s: %+v", args, r)
		}
	}
	r := run(t, env, "sqlmigrate", "polls", "0002", "--backwards", "--database=other")
	if r.status != 1 || !strings.HasPrefix(r.errors, "error: migrate: polls/0002_fast.postgres.sql: irreversible migration: it has no Down section\nhint: write a line -- +goose Down") {
		t.Errorf("without Down: %+v", r)
	}
}
