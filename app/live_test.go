package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/live"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// The paths of the live page, and what they are asked with.
func livePaths() map[string]string {
	return map[string]string{
		"": http.MethodGet, "page.js": http.MethodGet, "page.css": http.MethodGet, "icon.svg": http.MethodGet, "events": http.MethodGet,
		"records/1": http.MethodGet, "advice": http.MethodGet, "explain": http.MethodPost,
	}
}

// watchedSite has the views that a live page is about.
func watchedSite(t *testing.T, settings app.Settings) *app.Site {
	t.Helper()
	return newSite(t, settings, app.Options{Engines: engines(), Routes: func(s *app.Site) {
		s.GET("/many/{token}", func(r *views.Request) (views.Response, error) {
			for i := range 6 {
				if err := runs(r.Context(), fmt.Sprintf("SELECT '%s' AS secret, %d AS n", theSecret, i)); err != nil {
					return nil, err
				}
			}
			return views.Text{Body: "fine"}, nil
		})
		s.GET("/stream", func(r *views.Request) (views.Response, error) {
			if err := runs(r.Context(), "SELECT 1"); err != nil {
				return nil, err
			}
			return views.StreamingResponse{KeepConnection: r.Query("keep") == "yes", Body: views.Chunks(func(yield func(string) bool) {
				_ = yield("a") && yield("b")
			})}, nil
		})
		s.GET("/gone", func(r *views.Request) (views.Response, error) {
			return nil, runs(r.Context(), "SELECT n FROM nothing WHERE n = 7")
		})
		s.GET("/fails", func(r *views.Request) (views.Response, error) {
			err := db.Atomic(r.Context(), func(ctx context.Context) error {
				return runs(ctx, "SELECT '"+theSecret+"' FROM nothing; SELECT 2")
			})
			return nil, fmt.Errorf("with %s: %w", theSecret, err)
		})
	}})
}

const theSecret = "hunter2-planted"

func runs(ctx context.Context, query string) error {
	rows, err := db.From(ctx).QueryContext(ctx, query)
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	return errors.Join(rows.Err(), rows.Close())
}

// firstFrame is the first event of the page's stream.
func firstFrame(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+live.Root+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewReader(response.Body); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: %v", response.Status, err)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			return data
		}
	}
}

// seen is what the page is sent.
type seen struct {
	Process struct{ PID int }
	Records []seenRecord
}

type seenRecord struct {
	ID       int64
	Name     string
	Status   int
	Bytes    int64
	Error    string
	Keeps    bool
	Chunks   int64
	Repeated int
	First    *float64
	Stream   *float64
	Ended    *float64
	Holds    []struct {
		Got, Back *float64
		Reason    string
		Blocks    [][2]*float64
	}
	Leases     []struct{ At string }
	Statements []struct {
		Text, At, Error string
		Rows            int64
		Select          bool
	}
	Groups []struct {
		Text, At string
		Count    int
	}
}

func parse[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// full are the records that a page is sent, by their names, each with all its details.
func full(t *testing.T, handler http.Handler) map[string]seenRecord {
	t.Helper()
	records := make(map[string]seenRecord)
	for _, r := range parse[seen](t, firstFrame(t, handler)).Records {
		d := parse[seenRecord](t, get(handler, fmt.Sprintf("%srecords/%d", live.Root, r.ID), here).Body.String())
		d.Repeated = r.Repeated
		records[d.Name] = d
	}
	return records
}

func here(r *http.Request) { r.Host = "localhost:8000" }

// Nothing of the page is reachable at the site's own addresses without DEBUG, and nothing
// is recorded until somebody looks at the one of the admin socket.
func TestLivePage_IsNotThereInProduction(t *testing.T) {
	t.Parallel()
	site := watchedSite(t, withDatabase(db.Settings{Engine: dbtest.SQLite, Name: ":memory:"}))
	nothing := get(site, "/nothing/at/all").Body.String()
	for path, method := range livePaths() {
		for _, handler := range []http.Handler{site, site.Wrap(http.NotFoundHandler())} {
			w := ask(handler, method, live.Root+path, strings.NewReader("{}"), func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })
			if w.Code != http.StatusNotFound || handler == http.Handler(site) && w.Body.String() != nothing {
				t.Errorf("%s %s: %d, %q", method, path, w.Code, w.Body)
			}
		}
	}
	get(site, "/stream")
	if kept := site.Recorder().Kept(); kept.Total != 0 || site.Recorder().Recorded() != 0 {
		t.Errorf("while nobody looks it records %+v", kept)
	}
	for path, method := range livePaths() {
		if path == "events" {
			continue
		}
		want := http.StatusOK
		switch path {
		case "records/1":
			want = http.StatusNotFound
		case "explain":
			if w := ask(site.Admin(), http.MethodGet, live.Root+path, nil, here); w.Code != http.StatusNotFound {
				t.Errorf("without DEBUG something can be explained: %d", w.Code)
			}
			continue
		}
		if w := ask(site.Admin(), method, live.Root+path, nil, here); w.Code != want {
			t.Errorf("%s %s on the admin socket: %d, want %d", method, path, w.Code, want)
		}
		if w := ask(site.Admin(), method, live.Root+path, nil, func(r *http.Request) { r.Host = "evil.example" }); w.Code != http.StatusForbidden {
			t.Errorf("%s %s under another name: %d", method, path, w.Code)
		}
	}
}

// It records while somebody has the page open, and not longer.
func TestLivePage_RecordsWhileSomebodyLooks(t *testing.T) {
	t.Parallel()
	site := watchedSite(t, withDatabase(db.Settings{Engine: dbtest.SQLite, Name: ":memory:"}))
	server := httptest.NewServer(site.Admin())
	defer server.Close()
	response, err := http.Get(server.URL + live.Root + "events")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(response.Body)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	get(site, "/stream")
	if kept := site.Recorder().Kept(); kept.Total != 1 {
		t.Errorf("while somebody looks there are %+v", kept)
	}
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, `"GET /stream"`) {
			break
		}
	}
	_ = response.Body.Close()
	for again := time.NewTicker(time.Millisecond); site.Recorder().Recorded() > 0; <-again.C {
	}
	get(site, "/stream")
	if kept := site.Recorder().Kept(); kept.Total != 1 {
		t.Errorf("afterwards there are %+v", kept)
	}
}

func debugging(settings db.Settings) app.Settings {
	s := withDatabase(settings)
	s.Debug, s.AllowedHosts = true, []string{"example.com", "localhost", "127.0.0.1"}
	return s
}

func TestLivePage_TellsTheStoryOfARequest(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		site := watchedSite(t, debugging(settings))
		for _, path := range []string{"/many/x", "/stream", "/fails", "/nothing"} {
			get(site, path)
		}
		records := full(t, site)
		if len(records) != 4 {
			t.Errorf("there are %d records, want those of 4 requests, and none of the page itself: %v", len(records), records)
		}
		many := records["GET /many/{token}"]
		if len(many.Statements) != 6 || many.Repeated != 6 || len(many.Groups) != 1 || many.Groups[0].Count != 6 || many.Status != http.StatusOK ||
			many.Statements[0].Text != "SELECT ? AS secret, ? AS n" || many.Statements[0].Rows != 1 || !strings.HasPrefix(many.Groups[0].At, "app/live_test.go:") ||
			len(many.Holds) != 1 || many.Holds[0].Reason != "first byte" || !strings.HasPrefix(many.Leases[0].At, "app/live_test.go:") {
			t.Errorf("many statements from one line: %+v", many)
		}
		stream := records["GET /stream"]
		if len(stream.Holds) != 1 || stream.Holds[0].Back == nil || stream.First == nil || *stream.Holds[0].Back >= *stream.First || stream.Holds[0].Reason != "stream" ||
			stream.Stream == nil || stream.Chunks == 0 || stream.Bytes != 2 || stream.Ended == nil {
			t.Errorf("a stream: %+v", stream)
		}
		fails := records["GET /fails"]
		if fails.Status != http.StatusInternalServerError || fails.Error == "" || len(fails.Holds) != 1 || len(fails.Holds[0].Blocks) != 1 || fails.Holds[0].Blocks[0][1] == nil ||
			len(fails.Statements) != 3 || fails.Statements[1].Error == "" || fails.Statements[1].Select {
			t.Errorf("a failure: %+v", fails)
		}
		if lost := records["GET (no route)"]; lost.Status != http.StatusNotFound {
			t.Errorf("a path of nobody: %+v", records)
		}
	})
}

// Values of statements, paths, headers and the texts of errors are in nothing that is sent.
func TestLivePage_ShowsNoSecret(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		s := debugging(settings)
		s.SecretKey = theSecret
		if settings.Engine == dbtest.Postgres { // whose server trusts everybody
			d := s.Databases[db.DefaultAlias]
			d.Password = theSecret
			s.Databases[db.DefaultAlias] = d
		}
		site := watchedSite(t, s)
		for _, path := range []string{"/many/" + theSecret, "/fails?token=" + theSecret, "/" + theSecret} {
			get(site, path, func(r *http.Request) {
				r.Header.Set("Authorization", "Bearer "+theSecret)
				r.Header.Set("Cookie", "session="+theSecret)
				r.Header.Set("X-Request-Id", theSecret)
			})
		}
		var said strings.Builder
		for _, handler := range []http.Handler{site, site.Admin()} {
			frame := firstFrame(t, handler)
			said.WriteString(frame)
			for _, r := range parse[seen](t, frame).Records {
				said.WriteString(get(handler, fmt.Sprintf("%srecords/%d", live.Root, r.ID), here).Body.String())
				for n := range 8 {
					body := fmt.Sprintf(`{"record":%d,"statement":%d}`, r.ID, n)
					w := ask(handler, http.MethodPost, live.Root+"explain", strings.NewReader(body), here, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })
					said.WriteString(w.Body.String())
				}
			}
			said.WriteString(get(handler, live.Root, here).Body.String())
			said.WriteString(get(handler, live.Root+"advice", here).Body.String())
		}
		if strings.Contains(said.String(), theSecret) {
			t.Errorf("it shows a secret:\n%s", said.String())
		}
		if !strings.Contains(said.String(), "SELECT ? AS secret") {
			t.Errorf("it shows nothing at all:\n%s", said.String())
		}
	})
}

func TestLivePage_ExplainsWhatItHasRecordedAndNothingElse(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		site := watchedSite(t, debugging(settings))
		get(site, "/many/x")
		get(site, "/fails")
		get(site, "/gone")
		ids := make(map[string]int64)
		for name, r := range full(t, site) {
			ids[name] = r.ID
		}
		explain := func(name string, statement int, change ...func(*http.Request)) (int, string) {
			body := fmt.Sprintf(`{"record":%d,"statement":%d}`, ids[name], statement)
			change = append([]func(*http.Request){func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }}, change...)
			w := ask(site, http.MethodPost, live.Root+"explain", strings.NewReader(body), change...)
			return w.Code, strings.TrimSpace(w.Body.String())
		}
		plan := map[string]string{dbtest.SQLite: `{"plan":["SCAN CONSTANT ROW"]}`, dbtest.Postgres: `{"plan":["Result  (cost=`}[settings.Engine]
		for range 2 { // the first leaves nothing behind
			if status, answer := explain("GET /many/{token}", 0); status != http.StatusOK || !strings.HasPrefix(answer, plan) {
				t.Errorf("the plan of a SELECT: %d, %s", status, answer)
			}
		}
		if status, answer := explain("GET /gone", 0); status != http.StatusOK || !strings.Contains(answer, "does not explain it") {
			t.Errorf("of one from a table that is gone: %d, %s", status, answer)
		}
		if status, answer := explain("GET /many/{token}", 1); status != http.StatusOK || !strings.HasPrefix(answer, plan) {
			t.Errorf("after one that failed: %d, %s", status, answer)
		}
		for _, no := range []struct {
			statement int
			status    int
			answer    string
			change    func(*http.Request)
		}{
			{0, http.StatusOK, "only SELECT", func(*http.Request) {}}, // a BEGIN
			{1, http.StatusOK, "only SELECT", func(*http.Request) {}}, // a SELECT and something else
			{99, http.StatusOK, "not kept", func(*http.Request) {}},
			{1, http.StatusForbidden, "", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }},
			{1, http.StatusForbidden, "", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }},
			{1, http.StatusUnsupportedMediaType, "", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }},
			{1, http.StatusBadRequest, "", func(r *http.Request) { r.Host = "evil.example" }},
			{1, http.StatusBadRequest, "", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("SELECT 1")) }},
		} {
			if status, answer := explain("GET /fails", no.statement, no.change); status != no.status || !strings.Contains(answer, no.answer) {
				t.Errorf("statement %d: %d, %s; want %d, %s", no.statement, status, answer, no.status, no.answer)
			}
		}
	})
}
