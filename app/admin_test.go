//go:build unix

package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/admin"
	"github.com/goquintet/quintet/app/live"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

var update = flag.Bool("update", false, "write the golden files")

// asked are the answers of every process of a site to GET /status.
func asked(t *testing.T, site *app.Site) (answers [][]byte) {
	t.Helper()
	processes, err := admin.Processes(t.Context(), site.AdminFolders()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		body, err := p.Get(t.Context(), "/status")
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, body)
	}
	return answers
}

// private are settings whose sockets no other test sees.
func private(t *testing.T, settings app.Settings) app.Settings {
	t.Helper()
	folder, err := os.MkdirTemp("", "sockets") //nolint:usetesting // its name may make the path of a socket too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	settings.AdminSockets = folder
	return settings
}

func TestAdmin_AProcessThatServesSaysWhatGoesOnInside(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		settings.ConnMaxAge = time.Hour
		inside, goOn := make(chan struct{}), make(chan struct{})
		letGo := sync.OnceFunc(func() { close(goOn) })
		s := serve(t, private(t, withDatabase(settings)), app.Options{Routes: func(s *app.Site) {
			s.GET("/hold", func(r *views.Request) (views.Response, error) {
				ctx := r.Context()
				if err := query(r); err != nil {
					return nil, err
				}
				if _, err := db.From(ctx).ExecContext(ctx, "SELECT ? AS secret -- hunter1", "hunter2"); err != nil {
					return nil, err
				}
				close(inside)
				<-goOn
				return views.Text{Body: "over\n"}, nil
			})
		}})
		defer letGo()
		s.server.Close() // this test has one of its own
		over := make(chan struct{})
		go func() {
			defer close(over)
			s.opens(t, "/hold")
		}()
		<-inside
		answers := asked(t, s.Site)
		if len(answers) != 1 {
			t.Fatalf("%d processes answer", len(answers))
		}
		if bytes.Contains(answers[0], []byte("hunter")) {
			t.Errorf("it shows the value of a statement: %s", answers[0])
		}
		var status app.Status
		if err := json.Unmarshal(answers[0], &status); err != nil {
			t.Fatalf("%v: %s", err, answers[0])
		}
		p := status.Process
		equal(t, "pid", p.PID, os.Getpid())
		equal(t, "addresses", p.Addresses, []string{strings.TrimPrefix(s.url, "http://")})
		if p.Program != "github.com/goquintet/quintet/app.test" || p.Version == "" || p.GOMAXPROCS < 1 || p.Goroutines < 1 || p.Now.Before(p.Started) {
			t.Errorf("the process is %+v", p)
		}
		equal(t, "requests", status.Site, app.SiteStatus{Requests: 1, TotalRequests: 1})
		equal(t, "databases", len(status.Databases), 1)
		d := status.Databases[0]
		equal(t, "alias and engine", d.Alias+" "+d.Engine, "default "+settings.Engine)
		equal(t, "max, open, in use, idle, waiting", []int{d.Max, d.Open, d.InUse, d.Idle, d.Waiting}, []int{10, 1, 1, 0, 0})
		equal(t, "connections", len(d.Connections), 1)
		c := d.Connections[0]
		if c.State != "leased" || c.Holder == nil || c.Expires == nil || c.IdleSince != nil || c.AgeSeconds < c.Holder.HeldSeconds {
			t.Fatalf("the connection is %+v", c)
		}
		h := *c.Holder
		equal(t, "route", h.Name, "GET /hold")
		equal(t, "last statement", h.LastStatement, "SELECT ? AS secret")
		equal(t, "queries", h.Queries, 2)
		if !strings.HasPrefix(h.At, "app/") || h.IdleSeconds > h.HeldSeconds || h.Since.Before(c.Opened) {
			t.Errorf("the holder is %+v", h)
		}

		letGo()
		<-over
		status = s.Status()
		equal(t, "in use, idle", []int{status.Databases[0].InUse, status.Databases[0].Idle}, []int{0, 1})
		if c := status.Databases[0].Connections[0]; c.Holder != nil || c.IdleSince == nil || c.State != "idle" {
			t.Errorf("given back it is %+v", c)
		}
		s.stop()
		if err := s.ended(t); err != nil {
			t.Error(err)
		}
		equal(t, "processes after the end", len(asked(t, s.Site)), 0)
		if left, err := os.ReadDir(s.Settings().AdminSockets); err != nil || len(left) != 0 {
			t.Errorf("the end leaves %v, %v", left, err)
		}
	})
}

// The public listener knows nothing of it, DEBUG or not.
func TestAdmin_IsNotReachableFromOutside(t *testing.T) {
	t.Parallel()
	for _, debug := range []bool{false, true} {
		settings := private(t, anyHost())
		settings.Debug = debug
		s := serve(t, settings, app.Options{Routes: func(*app.Site) {}})
		for _, path := range []string{"/status", "/ready", "/live", "/status/", "/admin/status", "/__quintet__/status", "//admin/status"} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = "admin"
			response, err := client(t).Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || response.StatusCode != http.StatusNotFound || bytes.Contains(body, []byte("gomaxprocs")) {
				t.Errorf("GET %s is answered with %s: %s, %v", path, response.Status, body, err)
			}
		}
		if answers := asked(t, s.Site); len(answers) != 1 {
			t.Errorf("on its socket %d processes answer", len(answers))
		}
	}
}

// Secrets of the settings are in no answer.
func TestAdmin_ShowsNoSecrets(t *testing.T) {
	t.Parallel()
	settings := private(t, withDatabase(db.Settings{
		Engine: "postgres", Name: "hunter2", User: "hunter2", Password: "hunter2", Host: "hunter2",
		Options: map[string]string{"sslpassword": "hunter2"},
	}))
	settings.SecretKey = "hunter2"
	s := serve(t, settings, app.Options{Routes: oneRoute(text("in\n"))})
	s.opens(t, "/") // it serves
	answers := asked(t, s.Site)
	if len(answers) != 1 || bytes.Contains(answers[0], []byte("hunter2")) {
		t.Errorf("it shows %s", answers)
	}
}

// Sites meet in a folder when they are the same: by their files and databases, or by
// their secret and databases.
func TestAdmin_TwoSitesDoNotMeet(t *testing.T) {
	t.Parallel()
	at := func(change func(*app.Settings)) string {
		settings := withDatabase(db.Settings{Engine: "sqlite", Name: "/blog.db"})
		settings.SecretKey = "blog"
		change(&settings)
		return newSite(t, settings, app.Options{}).AdminFolders()[0].String()
	}
	same := at(func(*app.Settings) {})
	equal(t, "the same site", at(func(s *app.Settings) { s.Debug, s.Listen = true, "127.0.0.1:1" }), same)
	seen := []string{same}
	for _, folder := range []string{
		at(func(s *app.Settings) { s.SecretKey = "shop" }),
		at(func(s *app.Settings) { s.Databases = nil }),
		at(func(s *app.Settings) {
			s.Databases = map[string]db.Settings{"default": {Engine: "sqlite", Name: "/shop.db"}}
		}),
	} {
		if slices.Contains(seen, folder) {
			t.Errorf("two sites meet in %s", folder)
		}
		seen = append(seen, folder)
	}
	if strings.Contains(same, "blog") {
		t.Errorf("the folder tells the secret: %s", same)
	}

	loaded := func(yaml string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "settings.yaml"), []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		settings, err := app.LoadIn(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		return newSite(t, settings, app.Options{}).AdminFolders()[0].String()
	}
	if one, other := loaded("SECRET_KEY: a\n"), loaded("SECRET_KEY: a\n"); one == other {
		t.Error("the settings of two folders are one site")
	}
}

// Serving comes first: without a socket there is one warning that says what to do.
func TestAdmin_WithoutASocketTheSiteIsServed(t *testing.T) {
	t.Parallel()
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	journal := &journal{}
	settings := anyHost()
	settings.AdminSockets = open
	s := serve(t, settings, app.Options{Routes: oneRoute(text("in\n")), Logger: slog.New(slog.NewJSONHandler(journal, nil))})
	line, _ := s.opens(t, "/")
	equal(t, "the answer", line, "in\n")
	entries := journal.entries(t, "app: no admin socket: dbstatus will not see this process")
	if len(entries) != 1 || entries[0]["err"] != open+": is open to other users (mode 0755)" ||
		entries[0]["hint"] != "say chmod 700, or choose a folder below it in ADMIN_SOCKETS, or say none there" {
		t.Errorf("it is logged %v", entries)
	}
	s.stop()
	if err := s.ended(t); err != nil {
		t.Error(err)
	}
}

func TestAdmin_NoneMakesNoSocket(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.AdminSockets = app.NoAdmin
	s := serve(t, settings, app.Options{Routes: oneRoute(text("in\n"))})
	line, _ := s.opens(t, "/")
	equal(t, "the answer", line, "in\n")
	equal(t, "folders", len(s.AdminFolders()), 0)
	if _, err := os.Stat(app.NoAdmin); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a folder of that name: %v", err)
	}
}

// One socket for a site that is served at two addresses, until the last has ended.
func TestAdmin_OneSocketForAllAddresses(t *testing.T) {
	t.Parallel()
	s := serve(t, private(t, anyHost()), app.Options{Routes: oneRoute(text("in\n"))})
	second, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	end := make(chan error, 1)
	go func() { end <- s.Serve(ctx, second) }()
	addresses := func() []string {
		answers := asked(t, s.Site)
		if len(answers) != 1 {
			t.Fatalf("%d sockets", len(answers))
		}
		var status app.Status
		if err := json.Unmarshal(answers[0], &status); err != nil {
			t.Fatal(err)
		}
		return status.Process.Addresses
	}
	s.url = "http://" + second.Addr().String()
	s.opens(t, "/") // it serves
	equal(t, "addresses", len(addresses()), 2)
	s.stop()
	if err := s.ended(t); err != nil {
		t.Error(err)
	}
	equal(t, "addresses", addresses(), []string{second.Addr().String()})
	stop()
	if err := <-end; err != nil {
		t.Error(err)
	}
	equal(t, "sockets at the end", len(asked(t, s.Site)), 0)
}

// Every number that a pool counts is told.
func TestStatus_TellsEveryNumberOfThePool(t *testing.T) {
	t.Parallel()
	told, counted := reflect.TypeFor[app.DatabaseStatus](), reflect.TypeFor[db.Stats]()
	for i := range counted.NumField() {
		name := counted.Field(i).Name
		if name == "WaitDuration" {
			name = "WaitSeconds"
		}
		if _, ok := told.FieldByName(name); !ok {
			t.Errorf("DatabaseStatus lacks %s", name)
		}
	}
	if told, known := reflect.TypeFor[app.StreamStatus](), reflect.TypeFor[app.Stream](); told.NumField() != known.NumField() {
		t.Errorf("StreamStatus has %d fields, Stream %d", told.NumField(), known.NumField())
	}
	if told, held := reflect.TypeFor[app.HolderStatus](), reflect.TypeFor[db.Holder](); told.NumField() != held.NumField()-1 { // the alias stands above
		t.Errorf("HolderStatus has %d fields, Holder %d", told.NumField(), held.NumField())
	}
	if told, waits := reflect.TypeFor[app.WaiterStatus](), reflect.TypeFor[db.Waiter](); told.NumField() != waits.NumField() {
		t.Errorf("WaiterStatus has %d fields, Waiter %d", told.NumField(), waits.NumField())
	}
}

// The keys of the JSON are a promise to other programs.
func TestStatus_JSON(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	later := at.Add(time.Hour)
	got, err := json.MarshalIndent(app.Status{
		Process: app.ProcessStatus{
			PID: 4711, Started: at, Now: later, Addresses: []string{"127.0.0.1:8000"},
			Program: "example.com/blog/manage", Version: "v1.2.3", Go: "go1.26", GOMAXPROCS: 2, Goroutines: 20,
		},
		Site: app.SiteStatus{
			Requests: 2, Streams: 1, TotalRequests: 3, TotalStreams: 7, RefusedStreams: 4, KeptStreams: 5, HeldResponses: 6,
			Answered1xx: 8, Answered2xx: 9, Answered3xx: 10, Answered4xx: 11, Answered5xx: 12, Unanswered: 13,
		},
		Streams: []app.StreamStatus{
			{Route: "GET /events", RequestID: "K3V", Since: at, AgeSeconds: 3600, State: "generating", Bytes: 17, Chunks: 2, Written: &later, KeepConnection: true},
			{Route: "GET /export", RequestID: "K3W", Since: later, State: "starting"},
		},
		Databases: []app.DatabaseStatus{{
			Alias: "default", Engine: "postgres",
			Numbers: live.Numbers{
				Max: 10, Open: 2, InUse: 1, Idle: 1, Connecting: 3, Closing: 1, Waiting: 4, Writers: 1, Dedicated: 2,
				Leases: 5, Opened: 6, Closed: 7, Waited: 8, WaitSeconds: 9.5, Refused: 10, Exhausted: 16, QueueFull: 17,
				Pings: 11, Dead: 12, Statements: 18, Failed: 19, Canceled: 13, Leaked: 14, Quarantined: 15,
			},
			Waiters: []app.WaiterStatus{{Name: "POST /import", Since: at, WaitedSeconds: 2.5, At: "blog/views.go:9", Writes: true}},
			Connections: []app.ConnectionStatus{
				{State: "leased", Opened: at, AgeSeconds: 3600, Expires: &later, Holder: &app.HolderStatus{
					Name: "GET /slow", Since: at, HeldSeconds: 1.5, IdleSeconds: 0.5, InAtomicBlock: true, Open: true, Streaming: true, Dedicated: true, Kept: true,
					Queries: 2, LastStatement: "SELECT ?", At: "blog/views.go:7",
				}},
				{State: "idle", Opened: at, AgeSeconds: 3600, IdleSince: &later},
			},
		}},
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "status.json")
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the status", string(got)+"\n", string(want))
}

// What is added answers on the socket, and nowhere else.
func TestAdmin_AnswersWhatWasAdded(t *testing.T) {
	t.Parallel()
	s := serve(t, private(t, anyHost()), app.Options{Apps: []app.App{{
		Name: "counts",
		Ready: func(s *app.Site) error {
			s.HandleAdmin("GET /metrics", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "counted 1\n")
			}))
			return nil
		},
	}}})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client(t).Do(request) // once it is answered, there is the socket
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	equal(t, "status for the public", response.StatusCode, http.StatusNotFound)
	processes, err := admin.Processes(t.Context(), s.AdminFolders()...)
	if err != nil || len(processes) != 1 {
		t.Fatalf("%d processes, %v", len(processes), err)
	}
	body, err := processes[0].Get(t.Context(), "/metrics")
	if err != nil || string(body) != "counted 1\n" {
		t.Errorf("%q, %v", body, err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a pattern that is taken was taken again")
		}
	}()
	s.HandleAdmin("GET /metrics", http.NotFoundHandler())
}
