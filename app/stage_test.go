package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/sqlite"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/signals/signalstest"
	"github.com/goquintet/quintet/views"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// anyHost are the settings of a site that answers whatever host it is asked for.
func anyHost() app.Settings { return app.Settings{AllowedHosts: []string{"*"}} }

func withDatabase(settings db.Settings) app.Settings {
	s := anyHost()
	s.Databases = map[string]db.Settings{"default": settings}
	return s
}

func engines() []db.Engine { return []db.Engine{sqlite.Engine{}, postgres.Engine{}} }

// newSite makes a site that the test closes.
func newSite(t testing.TB, settings app.Settings, options app.Options) *app.Site {
	t.Helper()
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	options.Engines = engines()
	site, err := app.New(settings, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := site.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return site
}

// get answers a request without a network.
func get(handler http.Handler, path string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	return ask(handler, http.MethodGet, path, nil, change...)
}

func ask(handler http.Handler, method, path string, body io.Reader, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r, w := httptest.NewRequest(method, path, body), httptest.NewRecorder()
	for _, c := range change {
		c(r)
	}
	handler.ServeHTTP(w, r)
	return w
}

func text(body string) views.View {
	return func(*views.Request) (views.Response, error) { return views.Text{Body: body}, nil }
}

// stage is a site behind a real server, and all that it says about itself.
type stage struct {
	*app.Site
	server   *httptest.Server
	started  *signalstest.Recorder[signals.RequestStarted]
	failed   *signalstest.Recorder[signals.RequestFailed]
	finished *signalstest.Recorder[signals.RequestFinished]
	journal  *journal
}

// play puts a site on the stage. around, when given, is what the server serves.
func play(t *testing.T, settings app.Settings, options app.Options, around ...func(*app.Site) http.Handler) *stage {
	t.Helper()
	s := &stage{journal: &journal{}}
	if options.Logger == nil {
		options.Logger = slog.New(slog.NewJSONHandler(s.journal, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	s.Site = newSite(t, settings, options)
	s.started = signalstest.Record(t, &s.Bus().RequestStarted)
	s.failed = signalstest.Record(t, &s.Bus().RequestFailed)
	s.finished = signalstest.Record(t, &s.Bus().RequestFinished)
	var handler http.Handler = s.Site
	for _, a := range around {
		handler = a(s.Site)
	}
	s.server = httptest.NewUnstartedServer(handler)
	s.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(s.server.Close)
	return s
}

// narrow gives the server's connections small buffers, which a client that does not read
// has soon had filled. To be called before over.
func (s *stage) narrow(t *testing.T) *stage {
	t.Helper()
	s.server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if err := c.(*net.TCPConn).SetWriteBuffer(4 << 10); err != nil {
			t.Error(err)
		}
		return ctx
	}
	return s
}

// over speaks HTTP/1.1 or HTTP/2 from here on.
func (s *stage) over(proto string) *stage {
	if proto == "HTTP/2.0" {
		s.server.EnableHTTP2 = true
		s.server.StartTLS()
	} else {
		s.server.Start()
	}
	return s
}

// fetch sends a request and reads the answer to its end.
func (s *stage) fetch(t *testing.T, method, path string, body io.Reader) (status int, content string, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.server.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.server.Client().Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	return response.StatusCode, string(read), err
}

// atHome fails unless every connection has gone home.
func (s *stage) atHome(t *testing.T) {
	t.Helper()
	if holders := s.Connections().Holders(); len(holders) > 0 {
		t.Errorf("connections are held: %v", holders)
	}
	for _, alias := range s.Connections().Aliases() {
		if stats := s.Connections().Stats(alias); stats.InUse != 0 {
			t.Errorf("%d connections of %q are in use", stats.InUse, alias)
		}
	}
}

// query makes a view take a connection, if its site has a database.
func query(r *views.Request) error {
	if len(app.From(r.Context()).Connections().Aliases()) == 0 {
		return nil
	}
	var n int
	return db.From(r.Context()).NewRaw("SELECT 1").Scan(r.Context(), &n)
}

// journal keeps what is logged.
type journal struct {
	mu    sync.Mutex
	lines bytes.Buffer
	more  chan struct{} // closed by the next line; nil when nobody waits
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.more != nil {
		close(j.more)
		j.more = nil
	}
	return j.lines.Write(p)
}

// wait waits until there are n records with this message.
func (j *journal) wait(t *testing.T, message string, n int) []map[string]any {
	t.Helper()
	for {
		j.mu.Lock()
		if j.more == nil {
			j.more = make(chan struct{})
		}
		more := j.more
		j.mu.Unlock()
		if entries := j.entries(t, message); len(entries) >= n {
			return entries
		}
		select {
		case <-more:
		case <-time.After(10 * time.Second):
			t.Fatalf("the log has no %d records %q:\n%s", n, message, j)
		}
	}
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.String()
}

// entries returns the records with this message.
func (j *journal) entries(t *testing.T, message string) []map[string]any {
	t.Helper()
	var entries []map[string]any
	for line := range strings.Lines(j.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("the log has the line %q: %v", line, err)
		}
		if entry["msg"] == message {
			entries = append(entries, entry)
		}
	}
	return entries
}

// brief is an entry without what differs from run to run.
func brief(entry map[string]any) string {
	var pairs []string
	for key, value := range entry {
		switch key {
		case "time", "msg", "duration", "db", "request_id", "client", "stack":
		default:
			pairs = append(pairs, fmt.Sprintf("%s=%v", key, value))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, " ")
}
