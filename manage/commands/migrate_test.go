package commands_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/signals"
)

// untimed replaces how long a migration took.
func untimed(text string) string {
	return regexp.MustCompile(`\([0-9.]+[mµn]?s\)`).ReplaceAllString(text, "(0s)")
}

// TestMigrate is Django's MigrateTests.test_migrate: forward and backward to named
// migrations.
func TestMigrate(t *testing.T) {
	t.Parallel()
	env := polls(t)
	for _, step := range []struct{ args, want string }{
		{"showmigrations", "polls\n [ ] 0001_initial\n [ ] 0002_votes\nstatic\n (no migrations)\n"},
		{"migrate polls 0001", "Operations to perform:\n  Target migration of polls: 0001\n  Applying polls.0001_initial... OK (0s)\n"},
		{"showmigrations polls", "polls\n [X] 0001_initial\n [ ] 0002_votes\n"},
		{"migrate", "Operations to perform:\n  Apply all migrations: polls\n  Applying polls.0002_votes... OK (0s)\n"},
		{"migrate", "Operations to perform:\n  Apply all migrations: polls\n  No migrations to apply.\n"},
		{"migrate polls", "Operations to perform:\n  Apply all migrations: polls\n  No migrations to apply.\n"},
		{"migrate polls zero", "Operations to perform:\n  Target migration of polls: zero\n  Unapplying polls.0002_votes... OK (0s)\n  Unapplying polls.0001_initial... OK (0s)\n"},
		{"migrate polls --database default", "Operations to perform:\n  Apply all migrations: polls\n  Applying polls.0001_initial... OK (0s)\n  Applying polls.0002_votes... OK (0s)\n"},
	} {
		if r := run(t, env, strings.Fields(step.args)...); r.status != 0 || untimed(r.out) != step.want {
			t.Errorf("%s ends with %d:\n%s%swant:\n%s", step.args, r.status, r.out, r.errors, step.want)
		}
	}
}

func TestMigrateAnotherDatabase(t *testing.T) {
	t.Parallel()
	env := polls(t, func(s *app.Settings, _ *app.Options) {
		s.Databases["replica"] = db.Settings{Engine: "sqlite", Name: t.TempDir() + "/replica.db"}
	})
	if r := run(t, env, "migrate", "--database=replica"); r.status != 0 {
		t.Fatalf("migrate: %+v", r)
	}
	if r := run(t, env, "showmigrations", "polls"); strings.Contains(r.out, "[X]") {
		t.Errorf("the default database was migrated:\n%s", r.out)
	}
	if r := run(t, env, "showmigrations", "polls", "--database=replica"); strings.Contains(r.out, "[ ]") {
		t.Errorf("the other one was not:\n%s", r.out)
	}
}

func TestAFailingMigrationIsExplained(t *testing.T) {
	t.Parallel()
	env := polls(t, func(_ *app.Settings, o *app.Options) {
		o.Apps[0].Migrations = fstest.MapFS{"0001_initial.sql": {Data: []byte("-- +goose Up\nCREATE TABLE poll (id integer);\nCREATE TABL vote (id integer);\n")}}
	})
	r := run(t, env, "migrate")
	if r.status != 1 || !strings.HasSuffix(r.out, "  Applying polls.0001_initial... FAILED\n") ||
		!strings.HasPrefix(r.errors, "error: migrate: polls/0001_initial.sql:3: ") || !strings.Contains(r.errors, "\nhint: nothing of the file was kept: correct it and migrate again\n") {
		t.Errorf("migrate: %+v", r)
	}
}

func TestMistakesInMigrationFilesAreExplainedOneByOne(t *testing.T) {
	t.Parallel()
	env := polls(t, func(_ *app.Settings, o *app.Options) {
		o.Apps[0].Migrations = fstest.MapFS{"0001_initial.sql": {Data: []byte("CREATE TABLE poll (id integer);\n")}, "0002-x.sql": {}}
	})
	if r := run(t, env, "migrate"); r.status != 1 || strings.Count(r.errors, "error: ") != 2 || strings.Count(r.errors, "hint: ") != 2 {
		t.Errorf("migrate: %+v", r)
	}
}

// TestReceiversOfMigrateFinishedCanQuery: what fills tables after they were made
// finds a scope, and a site.
func TestReceiversOfMigrateFinishedCanQuery(t *testing.T) {
	t.Parallel()
	env := polls(t, func(s *app.Settings, o *app.Options) {
		database := s.Databases[db.DefaultAlias]
		database.MaxConnections = 1
		s.Databases[db.DefaultAlias] = database
		o.Apps[0].Ready = func(site *app.Site) error {
			site.Bus().MigrateFinished.Connect(func(ctx context.Context, _ signals.MigrateFinished) error {
				if app.From(ctx) != site {
					return errors.New("no site")
				}
				_, err := db.From(ctx).ExecContext(ctx, "INSERT INTO poll (votes) VALUES (1)")
				return err
			})
			return nil
		}
	})
	if r := run(t, env, "migrate"); r.status != 0 {
		t.Errorf("migrate: %+v", r)
	}
}
