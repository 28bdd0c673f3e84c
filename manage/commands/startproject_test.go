package commands_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goquintet/quintet/manage/commands"
)

// started makes a project in a folder of the test, and returns its root.
func started(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	if r := run(t, commands.Env{Dir: dir}, append([]string{"startproject", "blog"}, args...)...); r.status != 0 || r.errors != "" {
		t.Fatalf("startproject blog: %+v", r)
	}
	return filepath.Join(dir, "blog")
}

// read returns the text of a file of a project.
func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// everything is what lies below a folder: paths with their texts.
func everything(t *testing.T, folder string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			found[path] = "a folder"
			return nil
		}
		found[path] = read(t, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// checkout is the folder of this repository.
func checkout(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestStartProject_SimpleProject is Django's StartProject.test_simple_project: a
// project is made, and the same name again is refused.
func TestStartProject_SimpleProject(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := run(t, commands.Env{Dir: dir}, "startproject", "blog")
	if r.status != 0 || r.errors != "" {
		t.Fatalf("startproject blog: %+v", r)
	}
	golden(t, "startproject.txt", strings.ReplaceAll(r.out, checkout(t), "CHECKOUT"))
	before := everything(t, dir)
	for path, text := range before {
		if strings.Contains(text, "[[") || strings.HasSuffix(path, ".tmpl") || strings.Contains(path, "NAME") {
			t.Errorf("%s is a template still:\n%s", path, text)
		}
	}
	r = run(t, commands.Env{Dir: dir}, "startproject", "blog")
	if want := "error: " + filepath.Join(dir, "blog") + " exists already\nhint: choose another name, or another folder: NAME DIR\n"; r.status != 1 || r.errors != want {
		t.Errorf("startproject blog, again: %+v", r)
	}
	if after := everything(t, dir); len(after) != len(before) {
		t.Errorf("%d files and folders, were %d", len(after), len(before))
	}
}

// TestStartProject_SimpleProjectDifferentDirectory is Django's StartProject
// test_simple_project_different_directory: a folder may be given, it is made when it
// is not there, and what is in it is never overwritten.
func TestStartProject_SimpleProjectDifferentDirectory(t *testing.T) {
	t.Parallel()
	for name, folder := range map[string]string{"one that is there": "", "new ones": filepath.Join("a", "b", "c")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, ".git"), 0o755); err != nil {
				t.Fatal(err)
			}
			target := filepath.Join(".", folder)
			r := run(t, commands.Env{Dir: dir}, "startproject", "blog", target)
			if r.status != 0 || strings.Contains(r.out, "cd .\n") {
				t.Fatalf("startproject blog %s: %+v", target, r)
			}
			before := everything(t, dir)
			if main := before[filepath.Join(dir, folder, "manage", "main.go")]; !strings.Contains(main, `"blog/site"`) {
				t.Errorf("main.go is %q", main)
			}
			for path := range before {
				if strings.Contains(path, ".quintet-") {
					t.Errorf("%s is left", path)
				}
			}
			r = run(t, commands.Env{Dir: dir}, "startproject", "other", target)
			if r.status != 1 || !strings.Contains(r.errors, " is not empty: ") || !strings.Contains(r.errors, "nothing is ever overwritten") {
				t.Errorf("startproject other, in the same folder: %+v", r)
			}
			for path, text := range everything(t, dir) {
				if text != before[path] {
					t.Errorf("%s is overwritten", path)
				}
			}
		})
	}
}

// TestStartProject_CustomProjectTemplateContextVariables is Django's test of that
// name: the files get the name, its form for people, and the module's path.
func TestStartProject_CustomProjectTemplateContextVariables(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if r := run(t, commands.Env{Dir: dir}, "startproject", "my_blog", "--module", "github.com/you/my-blog"); r.status != 0 {
		t.Fatalf("startproject my_blog: %+v", r)
	}
	root := filepath.Join(dir, "my_blog")
	for name, want := range map[string]string{
		"go.mod":                   "module github.com/you/my-blog\n",
		"manage/main.go":           `"github.com/you/my-blog/site"`,
		"README.md":                "# My blog\n",
		"site/templates/home.html": "<h1>My blog is running.</h1>",
		"site/templates/base.html": `{{block "title" .}}My blog{{end}}`,
		"settings.yaml":            "#   NAME: my_blog\n",
		"site/site_test.go":        `"github.com/you/my-blog/site"`,
	} {
		if text := read(t, root, name); !strings.Contains(text, want) {
			t.Errorf("%s has no %q:\n%s", name, want, text)
		}
	}
}

// TestStartProject_SecretKeysDiffer: each project has its own, which says what it is
// not good for.
func TestStartProject_SecretKeysDiffer(t *testing.T) {
	t.Parallel()
	key := regexp.MustCompile(`(?m)^SECRET_KEY: (quintet-insecure-[A-Z2-7]{50,})$`)
	one, two := key.FindString(read(t, started(t), "settings.yaml")), key.FindString(read(t, started(t), "settings.yaml"))
	if one == "" || one == two {
		t.Errorf("the keys are %q and %q", one, two)
	}
}

// TestStartProject_NamesOfTheStandardLibrary keeps the names that are refused true.
func TestStartProject_NamesOfTheStandardLibrary(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "std").Output()
	if err != nil {
		t.Fatal(err)
	}
	words, folders := make(map[string]bool), make(map[string]bool)
	for path := range strings.Lines(string(out)) {
		first, _, more := strings.Cut(strings.TrimSpace(path), "/")
		if more && first != "internal" && first != "vendor" { // names that are refused anyway
			folders[first] = true
		} else if !more {
			words[first] = true
		}
	}
	known := make(map[string]bool)
	for _, word := range commands.StandardLibrary() {
		if known[word] = true; !words[word] {
			t.Errorf("%s is no package of the standard library", word)
		}
	}
	for _, folder := range commands.StandardFolders() {
		if known[folder] = true; !folders[folder] {
			t.Errorf("%s is no folder of the standard library", folder)
		}
	}
	for name := range words {
		if !known[name] {
			t.Errorf("the standard library has %s, and the name is not refused", name)
		}
	}
	for name := range folders {
		if !known[name] {
			t.Errorf("the standard library has packages below %s, and the name is not refused", name)
		}
	}
}

// FuzzNames: what is accepted is a module and a package of Go.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"blog", "my-blog", "Blog", "größe", "7up", "a/b", "..", "", "con", "x_test", "func"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if strings.HasPrefix(name, "-") {
			return // an option
		}
		dir := t.TempDir()
		r := run(t, commands.Env{Dir: dir}, "startproject", name)
		if r.status != 0 {
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 || !strings.Contains(r.errors, "\nhint: ") {
				t.Errorf("%q leaves %v (%v) and says %+v", name, entries, err, r)
			}
			return
		}
		if main := read(t, dir, name, "manage", "main.go"); !strings.Contains(main, `"`+name+`/site"`) {
			t.Errorf("%q makes\n%s", name, main)
		}
	})
}

func TestStartProject_AWorkspaceAboveIsToldAbout(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	work := filepath.Join(dir, "go.work")
	if err := os.WriteFile(work, []byte("go 1.26\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	unset := func(string) string { return "" }
	r := run(t, commands.Env{Dir: dir, Getenv: unset}, "startproject", "blog")
	want := "warning: " + work + " does not use the new module\nhint: run go work use " + filepath.Join(dir, "blog") + "\n"
	if r.status != 0 || r.errors != want {
		t.Errorf("below a go.work: %+v, want %s", r, want)
	}
	off := func(key string) string { return map[string]string{"GOWORK": "off"}[key] }
	if r := run(t, commands.Env{Dir: dir, Getenv: off}, "startproject", "shop"); r.status != 0 || r.errors != "" {
		t.Errorf("with GOWORK=off: %+v", r)
	}
}
