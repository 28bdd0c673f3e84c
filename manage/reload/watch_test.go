//go:build linux

package reload_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goquintet/quintet/manage/reload"
)

func TestFilesMeanWhatTheirNamesSay(t *testing.T) {
	t.Parallel()
	l := reload.Layout([]string{"/blog"}, []string{"/etc/blog/production.conf"}, []string{"/blog/polls/data"})
	for path, want := range map[string]string{
		"/blog/go.mod":                    "built",
		"/blog/go.sum":                    "built",
		"/blog/polls/views.go":            "built",
		"/blog/polls/views_test.go":       "ignored",
		"/blog/polls/migrations/0001.sql": "built",
		"/blog/polls/data/words":          "built", // something in this folder is embedded
		"/blog/polls/data/words.db":       "ignored",
		"/blog/polls/templates/list.html": "page",
		"/blog/polls/static/polls.css":    "page",
		"/blog/polls/static/logo.SVG":     "built",
		"/blog/settings.yaml":             "settings",
		"/blog/production.yml":            "settings",
		"/etc/blog/production.conf":       "settings",
		"/blog/manage":                    "ignored", // what somebody has built there
		"/blog/README":                    "ignored",
		"/blog/db.sqlite3":                "ignored",
		"/blog/db.sqlite3-wal":            "ignored",
		"/blog/db.sqlite3-shm":            "ignored",
		"/blog/db.sqlite3-journal":        "ignored",
		"/blog/blog.db-wal":               "ignored",
		"/blog/polls/.views.go.swp":       "ignored",
		"/blog/polls/#views.go#":          "ignored",
		"/blog/polls/.#views.go":          "ignored",
		"/blog/polls/views.go~":           "ignored",
		"/blog/polls/4913":                "ignored", // vim tries whether it can write
		"/blog/server.log":                "ignored",
	} {
		if got := l.Kind(filepath.FromSlash(path)); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}

// tree is a folder with files in it.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		put(t, filepath.Join(dir, name), "1")
	}
	return dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestWhatBelongsToOthersIsNotWatched: hidden folders, packages of others, other
// modules. A change that counts comes last, so that earlier ones would be seen.
func TestWhatBelongsToOthersIsNotWatched(t *testing.T) {
	t.Parallel()
	others := []string{
		".git/index.go", "node_modules/left-pad/index.js", "polls/node_modules/a/index.js", "vendor/example.com/a/a.go", ".idea/a.yaml",
		"bench/go.mod", "bench/main.go", "polls/testdata/page.html", "db.sqlite3", "db.sqlite3-wal", "polls/views_test.go",
	}
	own := []string{"main.go", "polls/static/vendor/htmx.js"}
	for name, poll := range map[string]bool{"told by the system": false, "polling": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tree(t, append(others, own...)...)
			saves := reload.Watch(t.Context(), reload.Layout([]string{dir}, nil, nil), poll, func(err error) {
				t.Errorf("it polls: %v", err)
			})
			for _, file := range append(others, own...) {
				put(t, filepath.Join(dir, file), "12")
			}
			var seen []string
			for !slices.Contains(seen, own[1]) || !slices.Contains(seen, own[0]) {
				for _, path := range <-saves {
					rel, err := filepath.Rel(dir, path)
					if err != nil {
						t.Fatal(err)
					}
					seen = append(seen, filepath.ToSlash(rel))
				}
			}
			for _, path := range seen {
				if !slices.Contains(own, path) {
					t.Errorf("%s is watched", path)
				}
			}
		})
	}
}

// TestASaveInSeveralStepsIsOne: a file that is emptied, written and renamed, and its
// neighbour.
func TestASaveInSeveralStepsIsOne(t *testing.T) {
	t.Parallel()
	dir := tree(t, "a.go", "b.go")
	a, b := filepath.Join(dir, "a.go"), filepath.Join(dir, "b.go")
	saves := reload.Watch(t.Context(), reload.Layout([]string{dir}, nil, nil), false, func(error) {})
	put(t, a, "")
	put(t, a, "22")
	put(t, a+"~", "333")
	if err := os.Rename(a+"~", a); err != nil {
		t.Fatal(err)
	}
	put(t, b, "22")
	if err := os.Chmod(b, 0o600); err != nil {
		t.Fatal(err)
	}
	got := <-saves
	for len(got) < 2 { // on a busy machine they may come apart
		got = append(got, <-saves...)
	}
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, []string{a, b}) {
		t.Errorf("it is told of %v", got)
	}
	put(t, a, "4444")
	if got := <-saves; !slices.Equal(got, []string{a}) {
		t.Errorf("later it is told of %v", got)
	}
}

// TestAFileOutsideOfTheModulesIsWatchedAlone.
func TestAFileOutsideOfTheModulesIsWatchedAlone(t *testing.T) {
	t.Parallel()
	for name, poll := range map[string]bool{"told by the system": false, "polling": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, etc := tree(t, "main.go"), tree(t, "blog.conf", "other.conf")
			conf := filepath.Join(etc, "blog.conf")
			saves := reload.Watch(t.Context(), reload.Layout([]string{dir}, []string{conf}, nil), poll, func(error) {})
			put(t, filepath.Join(etc, "other.conf"), "22")
			put(t, conf, "22")
			if got := <-saves; !slices.Equal(got, []string{conf}) {
				t.Errorf("it is told of %v", got)
			}
		})
	}
}

// TestTooManyFoldersArePolled, with a word about it: the limit is that of a namespace
// of its own, in which this test runs again.
func TestTooManyFoldersArePolled(t *testing.T) {
	const key = "QUINTET_TEST_FEW_WATCHES"
	if os.Getenv(key) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTooManyFoldersArePolled$", "-test.v")
		cmd.Env = append(os.Environ(), key+"=yes")
		inUserNamespace(cmd)
		out, err := cmd.CombinedOutput()
		if err != nil && (strings.Contains(err.Error(), "operation not permitted") || strings.Contains(err.Error(), "no space left")) {
			t.Skipf("this system has no user namespaces for its users: %v", err)
		}
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if err := os.WriteFile("/proc/sys/user/max_inotify_watches", []byte("4"), 0o644); err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 10)
	few, many := tree(t, "a/a.go", "b/b.go"), tree(t, "a/a.go", "b/b.go", "c/c.go", "d/d.go", "e/e.go")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	atOnce := reload.Watch(ctx, reload.Layout([]string{many}, nil, nil), false, func(err error) { told <- err })
	if err := <-told; err == nil || !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		t.Errorf("the reason is %v", err)
	}
	put(t, filepath.Join(many, "e/e.go"), "22")
	if got := <-atOnce; !slices.Equal(got, []string{filepath.Join(many, "e/e.go")}) {
		t.Errorf("it is told of %v", got)
	}

	later := reload.Watch(ctx, reload.Layout([]string{few}, nil, nil), false, func(err error) { told <- err })
	last := ""
	for n := range 5 {
		last = filepath.Join(few, fmt.Sprint("new", n), "new.go")
		put(t, last, "1")
	}
	if err := <-told; err == nil {
		t.Error("there is no reason")
	}
	for !slices.Contains(<-later, last) {
	}
	put(t, last, "22")
	for got := <-later; !slices.Contains(got, last); got = <-later {
	}
}
