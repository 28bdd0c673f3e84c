package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/goquintet/quintet"

// floors is the house: a package may import packages of lower floors only, never
// up and never sideways. Do not edit it to make a build pass; think again, and
// write down why.
var floors = map[string]int{
	"signals":             0, // heard by everyone, knows nobody
	"signals/hub":         0, // one source, many listeners; knows neither databases nor pages
	"db/pool":             0, // knows database/sql, not requests
	"db/postgres/server":  0, // starts a server; knows no framework
	"db":                  1, // who holds which connection
	"views":               1, // an answer needs no database
	"signals/signalstest": 1,
	"db/postgres":         2, // engines never meet
	"db/sqlite":           2,
	"views/debug":         2, // the error page of DEBUG: works when everything else is broken
	"db/migrate":          2,
	"db/dbtest":           3,
	"app":                 4, // one site, the life of a request
	"app/admin":           0, // sockets of processes; knows no framework
	"app/live":            3, // shows what the floors below it do
	"app/echov4":          5, // the way out
	"manage/reload":       0, // builds and swaps processes; knows no framework
	"app/soaktest":        5, // a site under everything; its own tests are those of app
	"app/apptest":         6, // a site under test
	"manage/commands":     6,
	"manage/demo/sales":   6, // an app of the demo does not know its site
	"manage/demo":         7,
	"manage":              8,
	"app/internal/within": 0, // what app shares with its own helpers
}

// helpers are imported by tests only: their floor is in brackets.
var helpers = []string{"signals/signalstest", "db/dbtest", "app/soaktest", "app/apptest"}

// doors say who may import what from outside, and why nobody else may.
var doors = []struct {
	prefix, why string
	open        []string
}{
	{"github.com/spf13/viper", "settings are decoded once and passed as values", []string{"app"}},
	{"go.yaml.in/yaml/", "settings are read in one place", []string{"app"}},
	{"github.com/go-viper/mapstructure/", "settings are decoded in one place", []string{"app"}},
	{"github.com/labstack/echo", "the move to its next version must touch its adapters only", []string{"app", "app/echov4"}},
	{"github.com/uptrace/bun", "the pool knows database/sql only; views need no database", []string{"db", "db/postgres", "db/sqlite", "db/dbtest", "app", "manage/demo", "manage/demo/sales"}},
	{"github.com/jackc/pgx/", "only the engine speaks to PostgreSQL", []string{"db/postgres", "db/postgres/server"}},
	{"modernc.org/sqlite", "only the engine speaks to SQLite", []string{"db/sqlite"}},
	{"github.com/pressly/goose/", "migrations have one runner", []string{"db/migrate"}},
	{"github.com/spf13/cobra", "the command line ends at the commands", []string{"manage/commands"}},
	{"github.com/spf13/pflag", "the command line ends at the commands", []string{"manage/commands"}},
	{"github.com/klauspost/compress/", "one middleware compresses; its streams keep no state", []string{"app"}},
	{"github.com/lmittmann/tint", "colours belong to a terminal", []string{"manage/commands"}},
	{"golang.org/x/mod/", "go.mod files of projects are written in one place", []string{"manage/commands"}},
	{"golang.org/x/term", "only the command line has a terminal", []string{"manage/commands"}},
	{"github.com/fsnotify/fsnotify", "files are watched for one purpose", []string{"manage/reload"}},
	{"testing", "test code does not belong into a site's binary", helpers},
	{"C", "no cgo", nil},
}

type listed struct {
	ImportPath   string
	Dir          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,GoFiles,Imports,TestImports,XTestImports", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func ours(path string) (string, bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

func TestImportsGoToALowerFloor(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		name, _ := ours(p.ImportPath)
		floor, ok := floors[name]
		if !ok {
			t.Errorf("package %q has no floor yet; give it one in floors, with the reason", name)
			continue
		}
		for _, imported := range p.Imports {
			below, mine := ours(imported)
			if !mine {
				continue
			}
			if slices.Contains(helpers, below) && !slices.Contains(helpers, name) {
				t.Errorf("package %q imports the test helper %q outside of a test", name, below)
			}
			if floors[below] >= floor {
				t.Errorf("package %q on floor %d imports %q on floor %d; imports go down", name, floor, below, floors[below])
			}
		}
	}
}

func TestDoorsAreWhereTheyAre(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		name, _ := ours(p.ImportPath)
		for _, imported := range p.Imports {
			for _, door := range doors {
				if (imported == door.prefix || strings.HasPrefix(imported, strings.TrimSuffix(door.prefix, "/")+"/")) && !slices.Contains(door.open, name) {
					t.Errorf("package %q imports %q, which is for %s only: %s", name, imported, strings.Join(door.open, ", "), door.why)
				}
			}
		}
	}
}

// TestTheLowestFloorsStandOnTheStandardLibrary holds them to their word.
func TestTheLowestFloorsStandOnTheStandardLibrary(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		name, _ := ours(p.ImportPath)
		if !slices.Contains([]string{"signals", "signals/hub", "db/pool", "views"}, name) {
			continue
		}
		for _, imported := range p.Imports {
			if _, mine := ours(imported); !mine && strings.Contains(strings.Split(imported, "/")[0], ".") {
				t.Errorf("package %q imports %q; it stands on the standard library", name, imported)
			}
		}
	}
}

// TestNoEchoInExportedSignatures: what users write must survive echo's next major
// version, app/echov4 excepted.
func TestNoEchoInExportedSignatures(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"app", "views", "db", "signals", "manage/commands"} {
		out, err := exec.CommandContext(t.Context(), "go", "doc", "-all", module+"/"+name).Output()
		if err != nil {
			t.Fatalf("go doc %s: %v", name, err)
		}
		if at := regexp.MustCompile(`(?m)^(func|type|\t|    ).*\becho\.[A-Z].*$`).Find(out); at != nil {
			t.Errorf("package %q shows echo in its API: %s", name, at)
		}
	}
}

// TestNoInitAndNoPackageVariables: everything hangs from a site. Package variables
// are error sentinels, embedded files, or assertions about types.
func TestNoInitAndNoPackageVariables(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		name, _ := ours(p.ImportPath)
		for _, file := range p.GoFiles {
			src, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(src, []byte("\nfunc init()")) {
				t.Errorf("%s: registers itself in init; name it where the site is made", filepath.Join(p.Dir, file))
			}
			for _, line := range regexp.MustCompile(`(?m)^(//go:embed .*\n)?var ([A-Za-z_]\w*)`).FindAllSubmatch(src, -1) {
				if v := string(line[2]); len(line[1]) == 0 && v != "_" && !strings.HasPrefix(v, "err") && !strings.HasPrefix(v, "Err") && !allowedVars[name+"."+v] {
					t.Errorf("%s: package variable %q; hang it from the site, or make it a constant", filepath.Join(p.Dir, file), v)
				}
			}
		}
	}
}

// allowedVars are tables that nothing ever writes to, for which Go has no constant,
// the one server that all tests of a process share, and what a test wants of the
// site that it makes: a site's own New has no argument for that.
var allowedVars = map[string]bool{
	"app/internal/within.tests": true,

	"app.identifier":   true,
	"db/pool.beneath":  true,
	"db/dbtest.shared": true,
}
