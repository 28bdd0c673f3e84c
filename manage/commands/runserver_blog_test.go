package commands_test

import (
	"bufio"
	"bytes"
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
