package commands_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
)

// TestMakeMigrationsEmpty: the next number, never over a file that is there. The
// folder of an app is found by the test of the built program.
func TestMakeMigrationsEmpty(t *testing.T) {
	t.Parallel()
	env := polls(t)
	env.Dir = t.TempDir()
	folder := filepath.Join(env.Dir, "polls", "migrations")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ args, out, files string }{
		{"makemigrations --empty polls --dir polls/migrations --dry-run", "  polls/migrations/0001_initial.sql\n", ""},
		{"makemigrations --empty polls --dir polls/migrations", "  polls/migrations/0001_initial.sql\n", "0001_initial.sql"},
		{"makemigrations polls --empty --name choice_votes --dir=polls/migrations", "  polls/migrations/0002_choice_votes.sql\n", "0001_initial.sql 0002_choice_votes.sql"},
		{
			"makemigrations polls --empty -n search --postgres --dir=" + folder, "  polls/migrations/0003_search.sql\n  polls/migrations/0003_search.postgres.sql\n",
			"0001_initial.sql 0002_choice_votes.sql 0003_search.postgres.sql 0003_search.sql",
		},
	} {
		r := run(t, env, strings.Fields(step.args)...)
		files, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, file := range files {
			names = append(names, file.Name())
		}
		if r.status != 0 || r.out != "Migrations for polls:\n"+step.out || strings.Join(names, " ") != step.files {
			t.Errorf("%s: %+v; the folder has %q, want %q", step.args, r, names, step.files)
		}
	}
	if text, err := os.ReadFile(filepath.Join(folder, "0003_search.postgres.sql")); err != nil || string(text) != "-- +goose Up\n\n-- +goose Down\n" {
		t.Errorf("a new file has %q, %v", text, err)
	}
}

func routes(*app.Group) {}

// TestMakeMigrationsFindsTheSourceOfAnApp, here the folder of this test.
func TestMakeMigrationsFindsTheSourceOfAnApp(t *testing.T) {
	t.Parallel()
	env := polls(t, func(_ *app.Settings, o *app.Options) { o.Apps[1].Routes = routes })
	want := "Migrations for static:\n  migrations/0001_initial.sql\nEmbed the folder, and set App.Migrations of static to it.\n"
	if r := run(t, env, "makemigrations", "--empty", "--dry-run", "static"); r.status != 0 || r.out != want {
		t.Errorf("makemigrations: %+v", r)
	}
	env = polls(t, func(_ *app.Settings, o *app.Options) { o.Apps[0].Routes = routes })
	r := run(t, env, "makemigrations", "--empty", "--dry-run", "--name", "more", "polls")
	if r.status != 1 || !strings.HasPrefix(r.errors, "error: the migrations of the app polls are in none of ") || !strings.HasSuffix(r.errors, "\nhint: name their folder with --dir\n") {
		t.Errorf("an app whose migrations lie elsewhere: %+v", r)
	}
}
