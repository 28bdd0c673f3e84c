//go:build unix

package main_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres/server"
)

// TestTheFirstDayOfAProject goes the way of a new user, outside of this repository
// and without a network: a project, an app, and the commands of the project's own
// README, on SQLite and then on PostgreSQL by settings alone. Nothing is edited.
func TestTheFirstDayOfAProject(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: it builds a project and runs its tests")
	}
	begun := time.Now()
	dir := t.TempDir()
	day := &firstDay{T: t, dir: dir}
	if out := day.run(build(t) + " startproject blog"); !strings.Contains(out, "cd blog\n") {
		t.Errorf("startproject says\n%s", out)
	}
	day.dir = filepath.Join(dir, "blog")
	readme := day.readme()
	if len(readme) != 4 {
		t.Fatalf("the README has %d blocks of commands", len(readme))
	}
	everyday, startapp, postgres := readme[0], readme[1], readme[2]

	for _, line := range startapp {
		if out := day.run(line); !strings.Contains(out, "Changed site/apps.go: polls is in the list of apps.\n") {
			t.Errorf("%s says\n%s", line, out)
		}
	}
	for _, line := range []string{"go build ./...", "go vet ./...", "go mod verify", "gofmt -l ."} {
		if out := day.run(line); line == "gofmt -l ." && out != "" {
			t.Errorf("these are not as gofmt writes them: %s", out)
		}
	}
	day.everyday(everyday, "sqlite")
	t.Logf("from startproject to pages, tests and streams that work: %v", time.Since(begun).Round(time.Millisecond))

	t.Run("on PostgreSQL", func(t *testing.T) {
		begun := time.Now()
		postgresql := dbtest.Server(t)
		day := &firstDay{T: t, dir: day.dir, env: []string{"QUINTET_DATABASES__DEFAULT__PORT=" + strconv.Itoa(postgresql.Port)}}
		ctx := context.WithoutCancel(t.Context())
		drop := func() {
			if err := postgresql.Exec(ctx, "postgres", "DROP DATABASE IF EXISTS blog WITH (FORCE)"); err != nil {
				t.Error(err)
			}
			if err := postgresql.Exec(ctx, "postgres", "DROP ROLE IF EXISTS blog"); err != nil {
				t.Error(err)
			}
		}
		drop()
		for _, sql := range []string{"CREATE ROLE blog LOGIN", "CREATE DATABASE blog OWNER blog"} {
			if err := postgresql.Exec(ctx, "postgres", sql); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(drop)
		for _, line := range postgres {
			if variable, ok := strings.CutPrefix(line, "export "); ok {
				day.env = append(day.env, variable)
			} else if out := day.run(line); !strings.Contains(out, "Applying polls.0001_initial... OK") {
				t.Errorf("%s says\n%s", line, out)
			}
		}
		day.everyday(everyday, "postgres")
		rows, err := postgresql.Query(ctx, "blog", "SELECT text FROM polls_entry")
		if err != nil || len(rows) != 1 || rows[0][0] != "Hello, PostgreSQL or not" {
			t.Errorf("the server has %q, %v", rows, err)
		}

		day.env = nil // and the same by the file
		day.switchSettings(postgresql.Port)
		if out := day.run("go run ./manage showmigrations"); !strings.Contains(out, " [X] 0001_initial\n") {
			t.Errorf("with the settings of PostgreSQL showmigrations says\n%s", out)
		}
		t.Logf("the same on PostgreSQL: %v", time.Since(begun).Round(time.Millisecond))
	})
}

// firstDay runs commands in a project.
type firstDay struct {
	*testing.T
	dir string
	env []string
}

// command prepares a line of the README. The environment is that of a user without
// settings of their own, whose module cache is filled and whose network is gone.
func (d *firstDay) command(ctx context.Context, line string) *exec.Cmd {
	line, _, _ = strings.Cut(line, " #")
	words := strings.Fields(line)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir = d.dir
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "QUINTET_") && !strings.HasPrefix(variable, "DATABASE_URL=") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "GOPROXY=off", "GOFLAGS=-mod=readonly", "GOWORK=off", "QUINTET_LISTEN=127.0.0.1:0")
	cmd.Env = append(cmd.Env, d.env...)
	return cmd
}

// run runs a line, which has to end well, and returns what it writes.
func (d *firstDay) run(line string) string {
	d.Helper()
	out, err := d.command(d.Context(), line).CombinedOutput()
	if err != nil {
		d.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// readme returns the lines of each block of commands in the README of the project.
func (d *firstDay) readme() [][]string {
	d.Helper()
	text, err := os.ReadFile(filepath.Join(d.dir, "README.md"))
	if err != nil {
		d.Fatal(err)
	}
	var blocks [][]string
	for _, block := range strings.Split(string(text), "```sh\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		blocks = append(blocks, strings.Split(strings.TrimSpace(block), "\n"))
	}
	return blocks
}

// everyday runs the first block of the README: migrate, check, test, runserver.
func (d *firstDay) everyday(lines []string, engine string) {
	d.Helper()
	for _, line := range lines {
		switch {
		case strings.Contains(line, " runserver"):
			d.visit(line, engine)
		case strings.Contains(line, " check"):
			line, _, _ = strings.Cut(line, " #")
			for _, options := range []string{"", " --database default"} {
				if out := d.run(line + options); !strings.Contains(out, "no problems") {
					d.Errorf("%s says\n%s", line+options, out)
				}
			}
		case strings.Contains(line, " test"):
			line, _, _ = strings.Cut(line, " #")
			out := d.run(line + " -- -count=1")
			if !strings.Contains(out, " passed, 0 failed, ") || strings.Contains(out, "\n0 passed") {
				d.Errorf("%s says\n%s", line, out)
			}
			if _, err := server.Find(); err == nil && !strings.HasSuffix(out, " passed, 0 failed, 0 skipped\n") {
				d.Errorf("PostgreSQL is installed, and %s says\n%s", line, out)
			}
		default:
			d.run(line)
		}
	}
}

// visit starts the server, looks at every page as a browser does, and interrupts it
// while a stream still runs.
func (d *firstDay) visit(line, engine string) {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), 2*time.Minute)
	defer cancel()
	cmd := d.command(ctx, line)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a shell does: "go run" and the server
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		d.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		d.Fatal(err)
	}
	address := ""
	said := bufio.NewReader(stdout)
	for address == "" {
		text, err := said.ReadString('\n')
		if found, ok := strings.CutPrefix(strings.TrimSpace(text), "Serving at "); ok {
			address = strings.TrimSuffix(found, "/")
		} else if err != nil {
			cancel()
			d.Fatalf("%s ends: %v\n%s", line, cmd.Wait(), stderr.String())
		}
	}

	form := url.Values{"text": {"Hello, PostgreSQL or not"}}
	posted, err := http.PostForm(address+"/polls/", form)
	if err != nil {
		d.Fatal(err)
	}
	posted.Body.Close()
	for target, want := range map[string]string{
		"/":                       `<a href="/polls/"><strong>polls</strong>`,
		"/static/site.css":        "light-dark(",
		"/polls/":                 "<span>Hello, PostgreSQL or not</span>",
		"/polls/export.csv":       "id,text,created_at\n1,\"Hello, PostgreSQL or not\",",
		"/static/polls/live.js":   "EventSource",
		"/?engine=is-on-the-page": "<dd>" + engine + "</dd>",
	} {
		if body, err := io.ReadAll(visit(ctx, d.T, address+target)); err != nil || !strings.Contains(string(body), want) {
			d.Errorf("%s has no %q (%v)\n%s", target, want, err, body)
		}
	}
	live := bufio.NewReader(visit(ctx, d.T, address+"/polls/live"))
	if event, err := live.ReadString('\n'); err != nil || event != "data: 1\n" {
		d.Errorf("/polls/live says %q, %v", event, err)
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		d.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, said); err != nil {
		d.Error(err)
	}
	// Interrupted, "go run" itself ends with 1; it says so when the program did as well.
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() > 1 || strings.Contains(stderr.String(), "exit status") {
		d.Errorf("%s ends with %v\n%s", line, err, stderr.String())
	}
	if strings.Contains(stderr.String(), "unapplied") {
		d.Errorf("%s says\n%s", line, stderr.String())
	}
}

// switchSettings does what settings.yaml says about PostgreSQL: the lines of SQLite
// go, and the "#" before the others.
func (d *firstDay) switchSettings(port int) {
	d.Helper()
	name := filepath.Join(d.dir, "settings.yaml")
	text, err := os.ReadFile(name)
	if err != nil {
		d.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), "\n  default:\n")
	_, commented, ok2 := strings.Cut(rest, "\n  # default:\n")
	if !ok || !ok2 {
		d.Fatalf("settings.yaml is\n%s", text)
	}
	postgres := regexp.MustCompile(`(?m)^  # `).ReplaceAllString(commented, "  ")
	postgres = strings.Replace(postgres, "5432", strconv.Itoa(port), 1)
	if err := os.WriteFile(name, []byte(head+"\n  default:\n"+postgres), 0o644); err != nil {
		d.Fatal(err)
	}
}
