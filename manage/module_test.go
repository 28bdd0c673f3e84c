package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	siteOfItsOwn = `package main

import (
	"example.com/site/polls"
	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/sqlite"
	"github.com/goquintet/quintet/manage/commands"
)

func main() {
	commands.Main(func() (*app.Site, error) {
		return app.New(
			app.Settings{Debug: true, Databases: map[string]db.Settings{"default": {Engine: "sqlite", Name: "polls.db"}}},
			app.Options{Engines: []db.Engine{sqlite.Engine{}}, Apps: []app.App{polls.App()}},
		)
	})
}
`
	appOfItsOwn = `package polls

import (
	"embed"

	"github.com/goquintet/quintet/app"
)

//go:embed migrations
var files embed.FS

type Poll struct { ID int64 ` + "`bun:\",pk\"`" + ` }

func App() app.App { return app.App{Name: "polls", Models: []any{(*Poll)(nil)}, Migrations: files} }
`
)

// TestASiteInAModuleOfItsOwn builds one on this working copy: check --deploy warns of
// that, and makemigrations finds the source of an app that has models only.
func TestASiteInAModuleOfItsOwn(t *testing.T) {
	t.Parallel()
	checkout, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": strings.Replace(string(ours), "module "+module, "module example.com/site", 1) +
			"\nrequire " + module + " v0.0.0-00010101000000-000000000000\n\nreplace " + module + " => " + checkout + "\n",
		"go.sum":                            string(sums),
		"manage/main.go":                    siteOfItsOwn,
		"polls/app.go":                      appOfItsOwn,
		"polls/migrations/0001_initial.sql": "-- +goose Up\nCREATE TABLE poll (id integer PRIMARY KEY);\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	execute := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	execute("go", "build", "-o", "site", "./manage")
	site := filepath.Join(dir, "site")

	out := execute(site, "check", "--deploy", "--tag", "build")
	if want := "go.mod: (quintet.W002) " + module + " is replaced by " + checkout; !strings.Contains(out, want) {
		t.Errorf("check --deploy does not say %q:\n%s", want, out)
	}
	for _, want := range []string{"polls/migrations/0002_votes.sql", "polls/migrations/0003_votes.sql"} {
		out := execute(site, "makemigrations", "--empty", "--name", "votes", "polls")
		if _, err := os.Stat(filepath.Join(dir, want)); out != "Migrations for polls:\n  "+want+"\n" || err != nil {
			t.Errorf("makemigrations: %v\n%s", err, out)
		}
	}
	execute("go", "build", "-o", "site", "./manage")
	if out := execute(site, "sqlmigrate", "polls", "0003"); out != "-- polls.0003_votes (0003_votes.sql)\n-- nothing to run\n" {
		t.Errorf("sqlmigrate after a new build: %s", out)
	}
}
