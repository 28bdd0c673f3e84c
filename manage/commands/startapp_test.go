package commands_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goquintet/quintet/manage/commands"
)

// write puts a text into a file of a project.
func write(t *testing.T, text string, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestStartApp_Template is Django's StartApp.test_template: the app carries its name,
// and the site knows it.
func TestStartApp_Template(t *testing.T) {
	t.Parallel()
	root := started(t)
	r := run(t, commands.Env{Dir: root, Name: "go run ./manage"}, "startapp", "polls")
	if r.status != 0 || r.errors != "" {
		t.Fatalf("startapp polls: %+v", r)
	}
	golden(t, "startapp.txt", r.out+"\n-- site/apps.go --\n"+read(t, root, "site", "apps.go")+"\n-- site/urls.go --\n"+read(t, root, "site", "urls.go"))
	for name, want := range map[string]string{
		"app.go":                               "\t\tName:       \"polls\",\n",
		"models.go":                            "bun:\"table:polls_entry,alias:entry\"",
		"polls_test.go":                        "package polls_test\n",
		"migrations/0001_initial.sql":          "CREATE TABLE polls_entry (",
		"migrations/0001_initial.postgres.sql": "CREATE TABLE polls_entry (",
		"templates/polls/list.html":            "<h1>Polls</h1>",
		"static/polls/live.js":                 "EventSource",
	} {
		if text := read(t, root, "polls", name); !strings.Contains(text, want) || strings.Contains(text, "[[") {
			t.Errorf("polls/%s has no %q:\n%s", name, want, text)
		}
	}
	if mod := read(t, root, "go.mod"); !strings.Contains(mod, "\tgithub.com/uptrace/bun v") || strings.Contains(mod, "uptrace/bun v1.3.0 // indirect") {
		t.Errorf("models import what go.mod requires indirectly:\n%s", mod)
	}
}

// TestStartApp_FromAFolderOfTheProject: the root is found from below.
func TestStartApp_FromAFolderOfTheProject(t *testing.T) {
	t.Parallel()
	root := started(t)
	r := run(t, commands.Env{Dir: filepath.Join(root, "site")}, "startapp", "polls")
	if r.status != 0 || !strings.Contains(r.out, filepath.Join("..", "polls", "models.go")) || !strings.Contains(r.out, "Changed apps.go: ") {
		t.Errorf("from site: %+v", r)
	}
	if text := read(t, root, "polls", "app.go"); !strings.Contains(text, "package polls") {
		t.Errorf("app.go is\n%s", text)
	}
}

// TestStartApp_KeepsWhatTheUserHasWritten: the lists of a site are changed where they
// have to be, and nowhere else.
func TestStartApp_KeepsWhatTheUserHasWritten(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, before, after string }{
		"on one line": {
			"apps.go",
			"package site\n\nimport \"github.com/goquintet/quintet/app\"\n\nfunc apps() []app.App { return []app.App{} }\n",
			"package site\n\nimport \"github.com/goquintet/quintet/app\"\nimport \"blog/polls\"\n\nfunc apps() []app.App {\n\treturn []app.App{\n\t\tpolls.App(),\n\t}\n}\n",
		},
		"beside others on one line": {
			"apps.go",
			"package site\n\nimport (\n\t\"github.com/goquintet/quintet/app\"\n\n\t\"blog/users\"\n)\n\nfunc apps() []app.App {\n\treturn []app.App{users.App()}\n}\n",
			"package site\n\nimport (\n\t\"github.com/goquintet/quintet/app\"\n\n\t\"blog/polls\"\n\t\"blog/users\"\n)\n\nfunc apps() []app.App {\n\treturn []app.App{users.App(), polls.App()}\n}\n",
		},
		"with comments": {
			"apps.go",
			"package site\n\nimport (\n\t\"github.com/goquintet/quintet/app\"\n\n\t\"blog/news\" // first\n)\n\n// Mine.\nfunc apps() []app.App {\n\t_ = 1\n\treturn []app.App{\n\t\tnews.App(), // the news\n\t\t// and this\n\t}\n}\n",
			"package site\n\nimport (\n\t\"github.com/goquintet/quintet/app\"\n\n\t\"blog/news\" // first\n\t\"blog/polls\"\n)\n\n// Mine.\nfunc apps() []app.App {\n\t_ = 1\n\treturn []app.App{\n\t\tnews.App(), // the news\n\t\t// and this\n\t\tpolls.App(),\n\t}\n}\n",
		},
		"listed already": {
			"apps.go",
			"package site\n\nimport (\n\t\"github.com/goquintet/quintet/app\"\n\n\t\"blog/polls\"\n)\n\nfunc apps() []app.App { return []app.App{polls.App()} }\n",
			"",
		},
		"imported by another name": {
			"apps.go",
			"package site\n\nimport (\n\t\"github.com/goquintet/quintet/app\"\n\n\tvotes \"blog/polls\"\n)\n\nvar _ = votes.App\n\nfunc apps() []app.App { return nil2([]app.App{}) }\n\nfunc nil2(a []app.App) []app.App { return a }\n",
			"!its function apps does not end with the list of them",
		},
		"the site has another name": {
			"urls.go",
			"package site\n\nimport (\n\t\"github.com/goquintet/quintet/app\"\n)\n\nfunc urls(s *app.Site) {}\n",
			"package site\n\nimport (\n\t\"github.com/goquintet/quintet/app\"\n\n\t\"blog/polls\"\n)\n\nfunc urls(s *app.Site) {\n\ts.Include(\"/polls\", polls.App())\n}\n",
		},
		"included already elsewhere": {
			"urls.go",
			"package site\n\nimport (\n\t\"github.com/goquintet/quintet/app\"\n\n\tvotes \"blog/polls\"\n)\n\nfunc urls(site *app.Site) {\n\tsite.Include(\"/votes\", votes.App())\n}\n",
			"",
		},
		"without a list": {
			"apps.go",
			"package site\n\nimport \"github.com/goquintet/quintet/app\"\n\nfunc apps() []app.App {\n\tvar list []app.App\n\treturn list\n}\n",
			"!its function apps does not end with the list of them",
		},
		"without apps": {"apps.go", "package site\n", "!it has no function apps that returns the list of them"},
		"without urls": {"urls.go", "package site\n", "!it has no function urls that gets the site"},
		"urls without a name": {
			"urls.go", "package site\n\nimport \"github.com/goquintet/quintet/app\"\n\nfunc urls(*app.Site) {}\n",
			"!it has no function urls that gets the site",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := started(t)
			write(t, c.before, root, "site", c.file)
			before := everything(t, root)
			r := run(t, commands.Env{Dir: root}, "startapp", "polls")
			missing, refused := strings.CutPrefix(c.after, "!")
			if refused {
				if r.status != 1 || !strings.Contains(r.errors, "error: site/"+c.file+" is not as startproject has written it: "+missing+"\nhint: make the app with --alone, and write the rest by hand. Import \"blog/polls\"") {
					t.Errorf("startapp: %+v", r)
				}
				same(t, before, everything(t, root))
				r = run(t, commands.Env{Dir: root}, "startapp", "polls", "--alone")
				if r.status != 0 || !strings.Contains(r.out, "The site does not know it yet. Import \"blog/polls\", write polls.App(), into the list in site/apps.go") {
					t.Errorf("startapp --alone: %+v", r)
				}
			}
			want := c.after
			if want == "" || refused {
				want = c.before
			}
			if !refused && r.status != 0 {
				t.Errorf("startapp: %+v", r)
			}
			if got := read(t, root, "site", c.file); got != want {
				t.Errorf("%s is\n%s\nwant\n%s", c.file, got, want)
			}
		})
	}
}

// same compares two states of a folder.
func same(t *testing.T, before, after map[string]string) {
	t.Helper()
	for path, text := range after {
		if old, ok := before[path]; !ok || old != text {
			t.Errorf("%s is new or changed:\n%s", path, text)
		}
	}
	for path := range before {
		if _, ok := after[path]; !ok {
			t.Errorf("%s is gone", path)
		}
	}
}

// TestStartApp_InvalidName is Django's StartApp.test_invalid_name, with its names.
func TestStartApp_InvalidName(t *testing.T) {
	t.Parallel()
	root := started(t)
	before := everything(t, root)
	for _, name := range []string{"7testproject", "../testproject"} {
		r := run(t, commands.Env{Dir: root}, "startapp", name)
		if r.status != 1 || !strings.HasPrefix(r.errors, "error: \""+name+"\" cannot be the name of an app\nhint: ") ||
			!strings.Contains(r.errors, "use lower-case letters, digits and underscores, and begin with a letter") {
			t.Errorf("startapp %s: %+v", name, r)
		}
	}
	same(t, before, everything(t, root))
}

// TestStartApp_ImportableName is Django's StartApp.test_importable_name.
func TestStartApp_ImportableName(t *testing.T) {
	t.Parallel()
	root := started(t)
	before := everything(t, root)
	for name, problem := range map[string]string{
		"os":   "it is a package of the standard library",
		"db":   "a package that the site imports has it",
		"site": "every project has a package of that name",
		"home": "site/views.go:22 uses it for something else",
		"urls": "site/urls.go:9 uses it for something else",
		"link": "site/views.go:19 uses it for something else",
	} {
		r := run(t, commands.Env{Dir: root}, "startapp", name)
		if r.status != 1 || !strings.HasPrefix(r.errors, "error: \""+name+"\" cannot be the name of an app: "+problem+"\nhint: choose another name") {
			t.Errorf("startapp %s: %+v", name, r)
		}
	}
	write(t, "package site\n\nimport (\n\t\"github.com/goquintet/quintet/app\"\n\tnews \"example.com/other\"\n)\n\nvar _ = news.X\n\nfunc urls(site *app.Site) {}\n", root, "site", "urls.go")
	if r := run(t, commands.Env{Dir: root}, "startapp", "news"); r.status != 1 || !strings.Contains(r.errors, "site/urls.go:5 uses it for something else") {
		t.Errorf("startapp news: %+v", r)
	}
	write(t, before[filepath.Join(root, "site", "urls.go")], root, "site", "urls.go")
	same(t, before, everything(t, root))
}

// TestStartApp_OverlayingApp is Django's StartApp.test_overlaying_app: an app that is
// there stays as it is.
func TestStartApp_OverlayingApp(t *testing.T) {
	t.Parallel()
	root := started(t)
	if r := run(t, commands.Env{Dir: root}, "startapp", "polls"); r.status != 0 {
		t.Fatalf("startapp polls: %+v", r)
	}
	write(t, "a file", root, "news")
	before := everything(t, root)
	for _, name := range []string{"polls", "news"} {
		r := run(t, commands.Env{Dir: root}, "startapp", name)
		want := "error: \"" + name + "\" cannot be the name of an app: " + filepath.Join(root, name) + " exists already\nhint: choose another name\n"
		if r.status != 1 || r.errors != want {
			t.Errorf("startapp %s: %+v", name, r)
		}
	}
	same(t, before, everything(t, root))
}

// TestStartApp_SecondApp: both are there, in the order of their making.
func TestStartApp_SecondApp(t *testing.T) {
	t.Parallel()
	root := started(t)
	for _, name := range []string{"polls", "news"} {
		if r := run(t, commands.Env{Dir: root}, "startapp", name); r.status != 0 {
			t.Fatalf("startapp %s: %+v", name, r)
		}
	}
	for file, wants := range map[string]string{
		"apps.go": "\t\tpolls.App(),\n\t\tnews.App(),\n\t}",
		"urls.go": "\n\n\t\"blog/news\"\n\t\"blog/polls\"\n)",
	} {
		if text := read(t, root, "site", file); !strings.Contains(text, wants) {
			t.Errorf("%s has no %q:\n%s", file, wants, text)
		}
	}
}
