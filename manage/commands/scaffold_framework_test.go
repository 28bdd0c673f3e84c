package commands_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/goquintet/quintet/manage/commands"
)

// goCommand prepares a run of the go command in a folder, as a user without settings
// of their own would.
func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	return cmd
}

// TestGoModIsTidy: "go mod tidy" would change nothing, neither in a new project nor
// in one with an app.
func TestGoModIsTidy(t *testing.T) {
	t.Parallel()
	root := started(t)
	tidy := func(when string) {
		var out, errs bytes.Buffer
		cmd := goCommand(t.Context(), root, "mod", "tidy", "-diff")
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		if out.Len() > 0 {
			t.Errorf("%s go mod tidy would change\n%s", when, out.String())
		} else if err != nil { // it asks for tests of modules that nobody needs to build
			t.Skipf("go mod tidy cannot look everything up without a network: %v\n%s", err, errs.String())
		}
	}
	tidy("in a new project")
	if r := run(t, commands.Env{Dir: root}, "startapp", "polls"); r.status != 0 {
		t.Fatalf("startapp polls: %+v", r)
	}
	tidy("with an app")
}

// TestAReleasedVersionIsRequired: a project of a released version has no replace, and
// its go.mod and go.sum are complete. A folder is the proxy that has the version.
func TestAReleasedVersionIsRequired(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it unpacks every module into a cache of its own")
	}
	const version = "v0.9.0"
	proxy, cache := t.TempDir(), t.TempDir()
	release(t, proxy, version)
	modules, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"GOPROXY":    "file://" + proxy + ",file://" + filepath.Join(strings.TrimSpace(string(modules)), "cache", "download"),
		"GOMODCACHE": cache, "GOFLAGS": "-modcacherw", "GONOSUMDB": "*", "GOWORK": "off",
	} {
		t.Setenv(key, value)
	}
	found, err := commands.FromRelease(t.Context(), version)
	if err != nil {
		t.Fatal(err)
	}
	texts, err := commands.RenderProject("blog", found)
	if err != nil {
		t.Fatal(err)
	}
	if mod := texts["go.mod"]; strings.Contains(mod, "replace") || !strings.Contains(mod, "\nrequire github.com/goquintet/quintet v0.9.0\n") {
		t.Errorf("go.mod is\n%s", mod)
	}
	root := t.TempDir()
	for name, text := range texts {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, text, root, name)
	}
	t.Setenv("GOFLAGS", "-mod=readonly -modcacherw")
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-test", "./...")
	list.Dir = root
	if out, err := list.CombinedOutput(); err != nil || !strings.Contains(string(out), "github.com/goquintet/quintet/manage/commands\n") {
		t.Errorf("go list: %v\n%s", err, out)
	}

	_, err = commands.FromRelease(t.Context(), "v0.9.1")
	if wrong, ok := errors.AsType[*commands.Error](err); !ok || !strings.Contains(wrong.Problem, "Quintet v0.9.1 cannot be had") {
		t.Errorf("a version that there is not: %v", err)
	}
}

// release puts this checkout into a proxy as if it had been published.
func release(t *testing.T, proxy, version string) {
	t.Helper()
	folder := filepath.Join(proxy, "github.com", "goquintet", "quintet", "@v")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	archive, err := os.Create(filepath.Join(folder, version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	err = zip.CreateFromDir(archive, module.Version{Path: "github.com/goquintet/quintet", Version: version}, checkout(t))
	if err := errors.Join(err, archive.Close()); err != nil {
		t.Fatal(err)
	}
	info, err := json.Marshal(map[string]string{"Version": version, "Time": "2026-01-02T03:04:05Z"})
	if err != nil {
		t.Fatal(err)
	}
	write(t, string(info), folder, version+".info")
	write(t, read(t, checkout(t), "go.mod"), folder, version+".mod")
}

func TestFrameworkNamesACheckout(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sources := filepath.Join(dir, "with space", "quintet")
	if err := os.MkdirAll(sources, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, read(t, checkout(t), "go.mod"), sources, "go.mod")
	write(t, read(t, checkout(t), "go.sum"), sources, "go.sum")
	relative := filepath.Join("with space", "quintet")
	if r := run(t, commands.Env{Dir: dir}, "startproject", "blog", "--framework", relative); r.status != 0 {
		t.Fatalf("startproject --framework: %+v", r)
	}
	if mod := read(t, dir, "blog", "go.mod"); !strings.Contains(mod, "replace github.com/goquintet/quintet => \""+sources+"\"\n") {
		t.Errorf("go.mod is\n%s", mod)
	}
}
