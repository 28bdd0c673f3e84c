package commands_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	blogMain = `package main

import (
	"example.com/blog/site"
	"github.com/goquintet/quintet/manage/commands"
)

func main() { commands.Main(site.New) }
`
	blogSite = `package site

import (
	"embed"
	"io/fs"

	"example.com/blog/polls"
	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/sqlite"
)

//go:embed templates
var files embed.FS

func New() (*app.Site, error) {
	settings, err := app.Load("settings.yaml")
	if err != nil {
		return nil, err
	}
	templates, err := fs.Sub(files, "templates")
	if err != nil {
		return nil, err
	}
	return app.New(settings, app.Options{
		Engines: []db.Engine{sqlite.Engine{}}, Apps: []app.App{polls.App()}, Templates: templates,
		Routes: func(site *app.Site) { site.Include("/polls", polls.App()) },
	})
}
`
	blogApp = `package polls

import (
	"embed"
	"io/fs"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/views"
)

//go:embed migrations
var files embed.FS

func App() app.App {
	migrations, _ := fs.Sub(files, "migrations")
	return app.App{Name: "polls", Migrations: migrations, Routes: func(g *app.Group) {
		g.GET("/", list)
		g.GET("/page", func(*views.Request) (views.Response, error) { return views.Template{Name: "page.html"}, nil })
		g.GET("/ticks", ticks)
	}}
}

func ticks(r *views.Request) (views.Response, error) {
	return views.Events(func(yield func(views.Event[string], error) bool) {
		for yield(views.Event[string]{Data: word}, nil) {
			if views.Sleep(r.Context(), 20*time.Millisecond) != nil {
				return
			}
		}
	}), nil
}
`
	blogMigration = "-- +goose Up\nCREATE TABLE poll (id integer PRIMARY KEY);\n-- +goose Down\nDROP TABLE poll;\n"
	blogSettings  = "DEBUG: true\nSECRET_KEY: only-for-the-test\nLOG_LEVEL: error\nDATABASES:\n  default:\n    ENGINE: sqlite\n    NAME: blog.sqlite3\n    CONN_MAX_AGE: 60\n    CONN_HEALTH_CHECKS: true\n"
)

func blogView(word string) string {
	return `package polls

import "github.com/goquintet/quintet/views"

const word = "` + word + `"

func list(*views.Request) (views.Response, error) { return views.Text{Body: word}, nil }
`
}

// blog is a project as somebody has one: a module of its own, with a binary.
type blog struct {
	t            *testing.T
	dir, program string
}

func newBlog(t *testing.T) *blog {
	t.Helper()
	b := &blog{t: t, dir: t.TempDir()}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	needs, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(needs), "\n")
	b.write("go.mod", "module example.com/blog\n"+rest+"\nrequire github.com/goquintet/quintet v0.0.0\n\nreplace github.com/goquintet/quintet => "+root+"\n")
	b.write("go.sum", string(sums))
	b.write("settings.yaml", blogSettings)
	b.write("manage/main.go", blogMain)
	b.write("site/site.go", blogSite)
	b.write("site/templates/page.html", "<!doctype html><p>first</p>")
	b.write("polls/app.go", blogApp)
	b.write("polls/views.go", blogView("first"))
	b.write("polls/migrations/0001_initial.sql", blogMigration)
	b.program = filepath.Join(t.TempDir(), "manage")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", b.program, "./manage")
	cmd.Dir = b.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return b
}

func (b *blog) path(name string) string { return filepath.Join(b.dir, filepath.FromSlash(name)) }

func (b *blog) write(name, text string) {
	b.t.Helper()
	if err := os.MkdirAll(filepath.Dir(b.path(name)), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.path(name), []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// command prepares a run of the program in a process group of its own, as a shell
// does, and with a temporary folder of its own.
func (b *blog) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(b.t.Context(), b.program, args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "TMPDIR="+b.t.TempDir(), "QUINTET_SETTINGS=", "GOFLAGS=-mod=mod", "GOPROXY=off")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// reloading is a runserver that runs.
type reloading struct {
	*blog
	cmd   *exec.Cmd
	url   string
	tmp   string
	lines chan string

	mu   sync.Mutex
	said bytes.Buffer
}

func (b *blog) runserver(change ...func(*exec.Cmd)) *reloading {
	b.t.Helper()
	p := &reloading{blog: b, cmd: b.command("runserver", "127.0.0.1:0"), lines: make(chan string, 1000)}
	for _, change := range change {
		change(p.cmd)
	}
	for _, variable := range p.cmd.Env {
		if dir, ok := strings.CutPrefix(variable, "TMPDIR="); ok {
			p.tmp = dir
		}
	}
	read, write, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = write, write
	if err := p.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	write.Close()
	go func() {
		defer close(p.lines)
		for lines := bufio.NewScanner(read); lines.Scan(); {
			p.mu.Lock()
			p.said.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
			p.lines <- lines.Text()
		}
	}()
	b.t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // what a failed test has left
		read.Close()
	})
	p.url = strings.TrimSuffix(strings.TrimPrefix(p.line("Serving at "), "Serving at "), "/")
	return p
}

func (p *reloading) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// line waits for a line that has this in it.
func (p *reloading) line(want string) string {
	p.t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case line, open := <-p.lines:
			if strings.Contains(line, want) {
				return line
			}
			if !open {
				p.t.Fatalf("it never said %q, but\n%s", want, p.output())
			}
		case <-limit:
			p.t.Fatalf("it did not say %q within a minute, but\n%s", want, p.output())
		}
	}
}

// eachLine waits for two lines, whichever comes first.
func (p *reloading) eachLine(one, other string) {
	p.t.Helper()
	limit := time.After(time.Minute)
	for wanted := []string{one, other}; len(wanted) > 0; {
		select {
		case line, open := <-p.lines:
			wanted = slices.DeleteFunc(wanted, func(want string) bool { return strings.Contains(line, want) })
			if !open {
				p.t.Fatalf("it never said %q, but\n%s", wanted, p.output())
			}
		case <-limit:
			p.t.Fatalf("it did not say %q within a minute, but\n%s", wanted, p.output())
		}
	}
}

// open sends a request.
func (p *reloading) open(target string, headers ...string) *http.Response {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+target, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := new(http.Transport).RoundTrip(r)
	if err != nil {
		p.t.Fatalf("%v\n%s", err, p.output())
	}
	p.t.Cleanup(func() { response.Body.Close() })
	return response
}

func (p *reloading) get(target string, headers ...string) string {
	p.t.Helper()
	response := p.open(target, headers...)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(body)
}

// descendants are the processes below one, by what the system says.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	var below []int
	children, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range children {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		for _, word := range strings.Fields(string(text)) {
			var child int
			if _, err := fmt.Sscan(word, &child); err != nil {
				t.Fatal(err)
			}
			below = append(append(below, child), descendants(t, child)...)
		}
	}
	return below
}

func alive(pid int) bool {
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := bytes.Cut(state, []byte(") "))
	return err == nil && !bytes.HasPrefix(rest, []byte("Z"))
}

// nothingIsLeft waits until every process is gone, the port is free and the temporary
// folder is empty.
func (p *reloading) nothingIsLeft(pids []int) {
	p.t.Helper()
	address := strings.TrimPrefix(p.url, "http://")
	left := func() string {
		for _, pid := range pids {
			if alive(pid) {
				return fmt.Sprintf("process %d", pid)
			}
		}
		l, err := new(net.ListenConfig).Listen(p.t.Context(), "tcp", address)
		if err != nil {
			return err.Error()
		}
		l.Close()
		entries, err := os.ReadDir(p.tmp)
		if err != nil || len(entries) > 0 {
			return fmt.Sprint(entries, err)
		}
		return ""
	}
	limit, tick := time.After(30*time.Second), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for left() != "" {
		select {
		case <-tick.C:
		case <-limit:
			p.t.Fatalf("after 30 seconds there still is %s\n%s", left(), p.output())
		}
	}
}

// TestRunserverFollowsItsSource is a day with a project: the same server sees all of
// it.
func TestRunserverFollowsItsSource(t *testing.T) {
	t.Parallel()
	p := newBlog(t).runserver()
	if got := p.get("/polls/"); got != "first" {
		t.Fatalf("it serves %q", got)
	}
	for _, want := range []string{"warning: 1 unapplied migrations of polls", "Reload: when a file of example.com/blog/manage changes"} {
		if !strings.Contains(p.output(), want) {
			t.Errorf("it does not say %q:\n%s", want, p.output())
		}
	}

	var took []time.Duration
	for n := range 10 {
		word := fmt.Sprintf("word %d", n)
		begun := time.Now()
		p.write("polls/views.go", blogView(word))
		p.line("Reloaded after ")
		took = append(took, time.Since(begun))
		if got := p.get("/polls/"); got != word {
			t.Fatalf("after the change it serves %q, want %q\n%s", got, word, p.output())
		}
	}
	slices.Sort(took)
	t.Logf("edit to reload: median %s, from %s to %s", (took[4]+took[5])/2, took[0], took[9])

	ticks := bufio.NewScanner(p.open("/polls/ticks").Body)
	if !ticks.Scan() || ticks.Text() != "data: word 9" {
		t.Errorf("the stream says %q", ticks.Text())
	}
	p.write("polls/views.go", blogView("second")+"\nfunc broken() { return 1 }\n")
	p.line("polls/views.go:9:24: too many return values")
	p.line("error: the program does not compile")
	p.line("hint: the last good build serves on until the next save")
	if got := p.get("/polls/", "Accept", "text/html"); !strings.Contains(got, "<b>polls/views.go:9</b>:24") || !strings.Contains(got, "too many return values\n\thave (number)\n\twant ()") {
		t.Errorf("a browser gets\n%s", got)
	}
	if got := p.get("/polls/"); got != "word 9" {
		t.Errorf("a program gets %q", got)
	}
	p.write("polls/views.go", blogView("second"))
	p.line("Reloaded after ")
	if got := p.get("/polls/", "Accept", "text/html"); got != "second" {
		t.Errorf("after the next good save a browser gets %q", got)
	}
	for ticks.Scan() {
	}
	if err := ticks.Err(); err != nil {
		t.Errorf("the stream of the old process ends with %v", err)
	}

	p.write("site/templates/page.html", "<!doctype html><p>second</p>")
	p.line("site/templates/page.html has changed")
	p.line("Reloaded after ")
	if got := p.get("/polls/page"); got != "<!doctype html><p>second</p>" {
		t.Errorf("the page is %q", got)
	}
	p.write("polls/migrations/0002_votes.sql", strings.ReplaceAll(blogMigration, "poll", "vote"))
	p.eachLine("warning: 2 unapplied migrations of polls", "Reloaded after ") // of two processes
	p.write("settings.yaml", blogSettings+"DEBG: true\n")
	p.line("DEBG: is unknown")
	p.line("error: the new build does not start: exit status 1")
	p.write("settings.yaml", blogSettings)
	p.line("Reloaded after ")
	if got := p.get("/polls/"); got != "second" {
		t.Errorf("at the end it serves %q", got)
	}
	if got, want := strings.Count(p.output(), "Serving at"), 1; got != want {
		t.Errorf("it says %d times where it serves", got)
	}
}

// TestRunserverLeavesNothingBehind however it ends: by Ctrl-C, which reaches the
// whole group, by a signal, by a kill that it cannot answer, and in the middle of a
// build.
func TestRunserverLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	b := newBlog(t)
	for _, end := range []struct {
		name     string
		group    bool
		signal   syscall.Signal
		building bool
		clean    bool
	}{
		{"Ctrl-C", true, syscall.SIGINT, false, true},
		{"SIGTERM", false, syscall.SIGTERM, false, true},
		{"SIGKILL", false, syscall.SIGKILL, false, false},
		{"Ctrl-C while it builds", true, syscall.SIGINT, true, true},
		{"SIGKILL while it builds", false, syscall.SIGKILL, true, false},
	} {
		t.Run(end.name, func(t *testing.T) {
			b := &blog{t: t, dir: b.dir, program: b.program}
			p := b.runserver()
			stream := bufio.NewScanner(p.open("/polls/ticks").Body)
			if !stream.Scan() {
				t.Fatalf("the stream has ended: %v", stream.Err())
			}
			if end.building {
				p.watches()
				p.write("polls/views.go", blogView(end.name))
				p.line("polls/views.go has changed")
				p.builds()
			}
			pids := append(descendants(t, p.cmd.Process.Pid), p.cmd.Process.Pid)
			if len(pids) < 2 {
				t.Fatalf("there is no process but %v", pids)
			}
			target := p.cmd.Process.Pid
			if end.group {
				target = -target
			}
			if err := syscall.Kill(target, end.signal); err != nil {
				t.Fatal(err)
			}
			err := p.cmd.Wait()
			if end.clean && err != nil {
				t.Errorf("it ends with %v\n%s", err, p.output())
			}
			for stream.Scan() {
			}
			if end.clean && stream.Err() != nil {
				t.Errorf("the stream ends with %v", stream.Err())
			}
			p.nothingIsLeft(pids)
			if strings.Contains(p.output(), "error") {
				t.Errorf("it says\n%s", p.output())
			}
		})
	}
}

// watches waits until the project is watched: an own save is seen.
func (p *reloading) watches() {
	p.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; !strings.Contains(p.output(), "polls/probe.go has changed"); n++ {
		p.write("polls/probe.go", fmt.Sprintf("package polls\n\nconst probe = %d\n", n))
		<-tick.C
	}
	p.line("Reloaded after ")
}

// builds waits until a compiler runs.
func (p *reloading) builds() {
	p.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		for _, pid := range descendants(p.t, p.cmd.Process.Pid) {
			if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && (string(name) == "compile\n" || string(name) == "link\n") {
				return
			}
		}
		<-tick.C
	}
}

// TestRunserverWithoutSourceServesWhatIsBuilt: a binary on another machine.
func TestRunserverWithoutSourceServesWhatIsBuilt(t *testing.T) {
	t.Parallel()
	b := newBlog(t)
	elsewhere := t.TempDir()
	if err := os.WriteFile(filepath.Join(elsewhere, "settings.yaml"), []byte(blogSettings), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*exec.Cmd)
		says   string
	}{
		"no source":  {func(cmd *exec.Cmd) { cmd.Dir = elsewhere }, "Reload: off; the source of example.com/blog/manage is not in this folder"},
		"no Go":      {func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "PATH="+elsewhere) }, "Reload: off; the go command is not installed, or not in PATH"},
		"--noreload": {func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "--noreload") }, "Quintet "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := (&blog{t: t, dir: b.dir, program: b.program}).runserver(c.change)
			if !strings.Contains(p.output(), c.says) || name == "--noreload" && strings.Contains(p.output(), "Reload") {
				t.Errorf("it says\n%s", p.output())
			}
			if got := p.get("/polls/"); got != "first" {
				t.Errorf("it serves %q", got)
			}
			if below := descendants(t, p.cmd.Process.Pid); len(below) > 0 {
				t.Errorf("it has started %v", below)
			}
			if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if err := p.cmd.Wait(); err != nil {
				t.Errorf("it ends with %v\n%s", err, p.output())
			}
		})
	}
}

// TestAPortInUseIsFoundBeforeAnythingIsBuilt: with the words of the plain server.
func TestAPortInUseIsFoundBeforeAnythingIsBuilt(t *testing.T) {
	t.Parallel()
	b := newBlog(t)
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	b.write("polls/views.go", "package polls\n\nwhat")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := b.command("runserver", taken.Addr().String())
	out, err := cmd.CombinedOutput()
	exit, _ := errors.AsType[*exec.ExitError](err)
	if want := "error: " + taken.Addr().String() + " is in use: another program listens there\nhint: stop that program"; ctx.Err() != nil || exit == nil || exit.ExitCode() != 1 || !strings.HasPrefix(string(out), want) {
		t.Errorf("it ends with %v and says\n%s", err, out)
	}
}
