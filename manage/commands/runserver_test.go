package commands_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/manage/commands"
	"github.com/goquintet/quintet/views"
)

// running is a runserver that runs.
type running struct {
	url         string
	out, errors *output
	stop        context.CancelFunc
	ended       chan int
}

// output is what a command says; address gets the URL that it serves at.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	address chan string
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if address, ok := bytes.CutPrefix(b, []byte("Serving at ")); ok {
		o.address <- string(bytes.TrimSpace(address))
	}
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func serve(t *testing.T, env commands.Env, args ...string) *running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	s := &running{out: &output{address: make(chan string, 1)}, errors: &output{}, stop: stop, ended: make(chan int, 1)}
	env.Args, env.Stdout, env.Stderr = append([]string{"runserver"}, args...), s.out, s.errors
	go func() { s.ended <- commands.Run(ctx, env) }()
	select {
	case s.url = <-s.out.address:
	case status := <-s.ended:
		t.Fatalf("runserver ends with %d:\n%s%s", status, s.out, s.errors)
	}
	return s
}

// end stops the server and returns its exit status.
func (s *running) end() int {
	s.stop()
	return <-s.ended
}

func hello(_ *app.Settings, o *app.Options) {
	o.Routes = func(site *app.Site) {
		site.GET("/", func(*views.Request) (views.Response, error) { return views.Text{Body: "hello"}, nil })
	}
}

// TestOnBind is Django's ManageRunserver.test_on_bind: the start message comes after
// the socket is bound, with the real port.
func TestOnBind(t *testing.T) {
	t.Parallel()
	s := serve(t, polls(t, hello), "127.0.0.1:0")
	if strings.HasSuffix(s.url, ":0/") {
		t.Errorf("it serves at %s", s.url)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "hello" {
		t.Errorf("it answers %q, %v", body, err)
	}
	if status := s.end(); status != 0 {
		t.Errorf("it ends with %d: %s", status, s.errors)
	}
	for _, want := range []string{"Quintet ", "Settings: made in Go\n", "Database: sqlite, ", "\nServing at http://127.0.0.1:", "\nQuit with Ctrl-C.\n"} {
		if !strings.Contains(s.out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, s.out)
		}
	}
}

// TestMigrationWarning is Django's ManageRunserverMigrationWarning
// test_migration_warning_one_app.
func TestMigrationWarning(t *testing.T) {
	t.Parallel()
	env := polls(t)
	want := "warning: 2 unapplied migrations of polls; the site may not work without them\nhint: run manage migrate\n"
	s := serve(t, env, "127.0.0.1:0")
	if status := s.end(); status != 0 || s.errors.String() != want {
		t.Errorf("before migrate it ends with %d and says:\n%s", status, s.errors)
	}
	if r := run(t, env, "migrate"); r.status != 0 {
		t.Fatalf("migrate: %+v", r)
	}
	s = serve(t, env, "127.0.0.1:0")
	if status := s.end(); status != 0 || s.errors.String() != "" {
		t.Errorf("after migrate it ends with %d and says:\n%s", status, s.errors)
	}
}

// TestReadonlyDatabase is Django's ManageRunserver.test_readonly_database: the
// migration check writes nothing.
func TestReadonlyDatabase(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "polls.db")
	on := func(options map[string]string) commands.Env {
		return polls(t, func(s *app.Settings, _ *app.Options) {
			s.Databases[db.DefaultAlias] = db.Settings{Engine: "sqlite", Name: file, Options: options}
		})
	}
	if r := run(t, on(nil), "migrate", "polls", "0001"); r.status != 0 {
		t.Fatalf("migrate: %+v", r)
	}
	readonly := on(map[string]string{"mode": "ro"})
	if r := run(t, readonly, "migrate"); r.status == 0 {
		t.Fatal("the database can be written to")
	}
	s := serve(t, readonly, "127.0.0.1:0")
	if status := s.end(); status != 0 || !strings.HasPrefix(s.errors.String(), "warning: 1 unapplied migrations of polls") {
		t.Errorf("it ends with %d and says:\n%s", status, s.errors)
	}
}

func TestASiteWithoutADatabaseServes(t *testing.T) {
	t.Parallel()
	s := serve(t, polls(t, hello, func(s *app.Settings, _ *app.Options) { s.Databases = nil }), "127.0.0.1:0")
	if status := s.end(); status != 0 || s.errors.String() != "" || strings.Contains(s.out.String(), "Database") {
		t.Errorf("it ends with %d and says:\n%s%s", status, s.out, s.errors)
	}
}

// TestRunserverAddrport is Django's ManageRunserver.test_runserver_addrport and its
// neighbours, seen from the address that is served.
func TestRunserverAddrport(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{
		"0":           "http://127.0.0.1:", // a port; any
		"127.0.0.1:0": "http://127.0.0.1:",
		"localhost:0": "http://",
		"0.0.0.0:0":   "http://localhost:",
		"0:0":         "http://localhost:",
		":0":          "http://localhost:",
	} {
		s := serve(t, polls(t), arg)
		if status := s.end(); status != 0 || !strings.HasPrefix(s.url, want) {
			t.Errorf("runserver %s ends with %d after serving at %s", arg, status, s.url)
		}
	}
	s := serve(t, polls(t, func(s *app.Settings, _ *app.Options) { s.Listen = "127.0.0.1:0" }))
	if status := s.end(); status != 0 {
		t.Errorf("runserver without an address ends with %d", status)
	}
}

// TestChecksComeFirst: warnings are shown, errors keep the site from being served
// (Django's ManageCheck.test_warning_does_not_halt).
func TestChecksComeFirst(t *testing.T) {
	t.Parallel()
	checked := func(problems ...app.Problem) commands.Env {
		return polls(t, func(_ *app.Settings, o *app.Options) {
			o.Apps[1].Checks = []app.Check{func(*app.Site) []app.Problem { return problems }}
		})
	}
	warning := app.Problem{ID: "polls.W001", Level: slog.LevelWarn, Message: "no poll is open", Hint: "open one"}
	broken := app.Problem{ID: "polls.E001", Level: slog.LevelError, Message: "there are two ballot boxes"}
	s := serve(t, checked(warning), "127.0.0.1:0")
	if status := s.end(); status != 0 || !strings.HasPrefix(s.errors.String(), "System checks found problems:\n\nWarnings\n  (polls.W001) no poll is open\n    hint: open one\n\nSystem checks found 1 problem (0 silenced).\n") {
		t.Errorf("a warning: ends with %d\n%s", status, s.errors)
	}
	r := run(t, checked(warning, broken), "runserver", "127.0.0.1:0")
	want := "System checks found problems:\n\nErrors\n  (polls.E001) there are two ballot boxes\n\nWarnings\n  (polls.W001) no poll is open\n    hint: open one\n\n" +
		"System checks found 2 problems (0 silenced).\n" +
		"error: 1 problem keeps the site from being served\nhint: correct what is listed above as an error\n"
	if r.status != 1 || r.errors != want || strings.Contains(r.out, "Serving") {
		t.Errorf("an error: %+v", r)
	}
}
