package reload_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/manage/reload"
)

// module is a small program of its own that is served by a child.
type module struct {
	t   *testing.T
	dir string
}

const mainText = `package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"example.com/blog/blog"
	"github.com/goquintet/quintet/manage/reload"
)

func main() {
	child, err := reload.Inherit()
	if err != nil || child == nil {
		fmt.Fprintln(os.Stderr, "no child:", err)
		os.Exit(1)
	}
	text, err := os.ReadFile(filepath.Join(os.Args[1], "settings.yaml"))
	if err != nil || string(text) == "broken" {
		fmt.Fprintln(os.Stderr, "\x1b[31merror:\x1b[0m settings.yaml: <broken>", err)
		os.Exit(4)
	}
	ctx := child.Context(context.Background())
	server := &http.Server{Handler: blog.Handler(os.Args[1], string(text), ctx)}
	go server.Serve(child.Listener())
	<-ctx.Done()
	ending, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	server.Shutdown(ending)
	child.Close()
}
`

const handlerText = `package blog

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

func Handler(dir, settings string, ending context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><p>%s</p>", Version)
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %d", Version, settings, os.Getpid())
	})
	mux.HandleFunc("GET /template", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(dir, "templates", "page.html"))
	})
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %v", Version, body, err)
	})
	mux.HandleFunc("GET /who", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s|%s|%v|%s|%s", r.RemoteAddr, r.Host, r.Header["X-Forwarded-For"], r.URL.RawQuery, r.Context().Value(http.LocalAddrContextKey))
	})
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, Version+" first\n")
		w.(http.Flusher).Flush()
		select {
		case <-ending.Done():
			io.WriteString(w, "told\n")
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("GET /abort", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("GET /upgrade", func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := bufio.NewReader(rw).ReadString('\n')
		io.WriteString(conn, "heard "+line)
	})
	mux.HandleFunc("GET /exit", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(os.Stderr, "panic: the ballot box is open")
		os.Exit(3)
	})
	return mux
}
`

func version(v string) string { return "package blog\n\nconst Version = \"" + v + "\"\n" }

// newModule writes the module; it uses this checkout.
func newModule(t *testing.T) *module {
	t.Helper()
	m := &module{t: t, dir: t.TempDir()}
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
	m.write("go.mod", "module example.com/blog\n"+rest+"\nrequire github.com/goquintet/quintet v0.0.0\n\nreplace github.com/goquintet/quintet => "+root+"\n")
	m.write("go.sum", string(sums))
	m.write("settings.yaml", "A: 1")
	m.write("templates/page.html", "one")
	m.write("manage/main.go", mainText)
	m.write("blog/handler.go", handlerText)
	m.write("blog/version.go", version("v1"))
	return m
}

func (m *module) path(name string) string { return filepath.Join(m.dir, filepath.FromSlash(name)) }

func (m *module) write(name, text string) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(name)), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(m.path(name), []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// running is a module that is served.
type running struct {
	*module
	url    string
	events chan reload.Event
	client *http.Client
	stop   func() error

	mu     sync.Mutex
	stderr strings.Builder
}

func (r *running) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stderr.Write(b)
}

func (r *running) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stderr.String()
}

// serve builds the module and lets it follow its source.
func (m *module) serve(change ...func(*reload.Options)) *running {
	t := m.t
	t.Helper()
	executable := filepath.Join(t.TempDir(), "manage")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", executable, "./manage")
	cmd.Dir = m.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &running{
		module: m, url: "http://" + listener.Addr().String(), events: make(chan reload.Event, 100),
		client: &http.Client{Transport: &http.Transport{DisableCompression: true}},
	}
	options := reload.Options{
		Listener: listener, Program: reload.Program{Package: "example.com/blog/manage", Dir: m.dir, Executable: executable},
		Args: []string{m.dir}, Settings: []string{m.path("settings.yaml")}, Browser: true, Grace: 20 * time.Second,
		Stdout: r, Stderr: r,
		Report: func(e reload.Event) { r.events <- e },
	}
	for _, change := range change {
		change(&options)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- reload.Run(ctx, options) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		r.client.CloseIdleConnections()
		return <-ended
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Run returned %v\n%s", err, r.said())
		}
	})
	r.wait("watch", func(e reload.Event) bool { return len(e.Watching) > 0 })
	return r
}

// get asks as a program would, or as a browser when there are headers.
func (r *running) get(path string, headers ...string) (status int, body string, header http.Header) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatalf("GET %s: %v\n%s", path, err, r.said())
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatalf("GET %s: %v", path, err)
	}
	return response.StatusCode, string(text), response.Header
}

func (r *running) version() string {
	r.t.Helper()
	_, body, _ := r.get("/version")
	v, _, _ := strings.Cut(body, " ")
	return v
}

// browse asks as a browser does for a page.
func (r *running) browse() (status int, body string, header http.Header) {
	r.t.Helper()
	return r.get("/", "Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
}

// wait returns the next event that is wanted.
func (r *running) wait(what string, wanted func(reload.Event) bool) reload.Event {
	r.t.Helper()
	var seen []string
	for {
		select {
		case e := <-r.events:
			if wanted(e) {
				return e
			}
			seen = append(seen, fmt.Sprintf("%+v", e))
		case <-r.t.Context().Done():
			r.t.Fatal("the test is over")
		case <-time.After(time.Minute):
			r.t.Fatalf("no %s within a minute, but %s\n%s", what, seen, r.said())
		}
	}
}

func (r *running) reloaded() time.Duration {
	r.t.Helper()
	return r.wait("reload", func(e reload.Event) bool { return e.Took > 0 }).Took
}

func (r *running) failed() *reload.Failure {
	r.t.Helper()
	return r.wait("failure", func(e reload.Event) bool { return e.Failure != nil }).Failure
}

func (r *running) seen(name string) {
	r.t.Helper()
	r.wait("change of "+name, func(e reload.Event) bool {
		for _, file := range e.Files {
			if file == filepath.FromSlash(name) {
				return true
			}
		}
		return false
	})
}
