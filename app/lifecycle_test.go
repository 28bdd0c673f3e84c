package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
)

// A scene is one way in which a request can go.
type scene struct {
	name string
	view views.View
	raw  http.HandlerFunc // in place of a view: under Wrap
	act  func(t *testing.T, s *stage)

	middleware func(http.Handler) http.Handler
	receiver   func() error

	status int  // of the event
	failed int  // how many RequestFailed
	broken bool // the event has an Err
}

func fetches(method string, status int, body string) func(*testing.T, *stage) {
	return func(t *testing.T, s *stage) {
		t.Helper()
		var payload io.Reader
		if method == http.MethodPost {
			payload = strings.NewReader("a=1")
		}
		gotStatus, gotBody, err := s.fetch(t, method, "/scene", payload)
		if err != nil {
			t.Fatal(err)
		}
		if gotStatus != status || !strings.Contains(gotBody, body) {
			t.Errorf("got %d %q, want %d %q", gotStatus, gotBody, status, body)
		}
	}
}

// breaks expects an answer that ends in the middle.
func breaks(t *testing.T, s *stage) {
	t.Helper()
	status, body, err := s.fetch(t, http.MethodGet, "/scene", nil)
	if err == nil {
		t.Errorf("the client got a whole answer: %d %q", status, body)
	}
}

// leaves reads the first chunk and goes.
func leaves(method string) func(*testing.T, *stage) {
	return func(t *testing.T, s *stage) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, method, s.server.URL+"/scene", strings.NewReader(strings.Repeat("x", 1000)))
		if err != nil {
			t.Fatal(err)
		}
		response, err := s.server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := response.Body.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		cancel()
		_ = response.Body.Close()
	}
}

// stream yields chunks, then what end says.
func stream(chunks int, end func(ctx context.Context, yield func([]byte, error) bool)) views.View {
	return func(r *views.Request) (views.Response, error) {
		ctx := r.Context()
		return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
			for i := range chunks {
				if err := query(r); err != nil {
					yield(nil, err)
					return
				}
				if !yield(fmt.Appendf(nil, "chunk %d\n", i), nil) {
					return
				}
			}
			if end != nil {
				end(ctx, yield)
			}
		}}, query(r)
	}
}

var errScene = errors.New("the scene fails")

func fails(_ context.Context, yield func([]byte, error) bool) { yield(nil, errScene) }

func waits(ctx context.Context, _ func([]byte, error) bool) { <-ctx.Done() }

// afterQuery is a view that has a connection when it answers.
func afterQuery(response views.Response, err error) views.View {
	return func(r *views.Request) (views.Response, error) {
		if err := query(r); err != nil {
			return nil, err
		}
		return response, err
	}
}

func scenes() []scene {
	static := fstest.MapFS{"page.txt": {Data: []byte("a page")}}
	return []scene{
		{name: "text", view: afterQuery(views.Text{Body: "hello"}, nil), act: fetches("GET", 200, "hello"), status: 200},
		{name: "JSON", view: afterQuery(views.JSON{Value: []int{1}}, nil), act: fetches("GET", 200, "[1]"), status: 200},
		{name: "404 of a view", view: afterQuery(nil, views.ErrNotFound), act: fetches("GET", 404, "Not Found"), status: 404},
		{name: "404 of the router", act: fetches("GET", 404, "Not Found"), status: 404},
		{name: "500", view: afterQuery(nil, errScene), act: fetches("GET", 500, "Internal"), status: 500, failed: 1, broken: true},
		{name: "neither response nor error", view: afterQuery(nil, nil), act: fetches("GET", 500, "Internal"), status: 500, failed: 1, broken: true},
		{name: "panic", view: func(r *views.Request) (views.Response, error) {
			_ = query(r)
			panic(errScene)
		}, act: fetches("GET", 500, "Internal"), status: 500, failed: 1, broken: true},
		{name: "stream to the end", view: stream(3, nil), act: fetches("GET", 200, "chunk 2"), status: 200},
		{name: "stream whose client leaves (GET)", view: stream(1, waits), act: leaves("GET"), status: 200, broken: true},
		{name: "stream whose client leaves (POST)", view: stream(1, waits), act: leaves("POST"), status: 200, broken: true},
		{name: "stream that fails before the first chunk", view: stream(0, fails), act: fetches("GET", 500, "Internal"), status: 500, failed: 1, broken: true},
		{name: "stream that fails after the first chunk", view: stream(1, fails), act: breaks, status: 200, failed: 1, broken: true},
		{name: "stream that panics after the first chunk", view: stream(1, func(context.Context, func([]byte, error) bool) { panic(errScene) }),
			act: breaks, status: 200, failed: 1, broken: true},
		{name: "HEAD", view: afterQuery(views.Text{Body: "hello"}, nil), act: fetches("HEAD", 200, ""), status: 200},
		{name: "HEAD of a stream", view: stream(1, fails), act: fetches("HEAD", 200, ""), status: 200},
		{name: "304", view: afterQuery(views.NoContent{Status: 304}, nil), act: fetches("GET", 304, ""), status: 304},
		{name: "file", view: afterQuery(views.File{FS: static, Name: "page.txt"}, nil), act: fetches("GET", 200, "a page"), status: 200},
		{name: "hijack", raw: func(w http.ResponseWriter, r *http.Request) {
			conn, buffer, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = buffer.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
			_ = buffer.Flush()
			_ = conn.Close()
		}, act: fetches("GET", 200, "hello")},
		{name: "foreign handler", raw: func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "foreign") },
			act: fetches("GET", 200, "foreign"), status: 200},
		{name: "foreign handler that writes nothing", raw: func(http.ResponseWriter, *http.Request) {}, act: fetches("GET", 200, ""), status: 200},
		{name: "foreign handler that panics", raw: func(http.ResponseWriter, *http.Request) { panic(errScene) },
			act: fetches("GET", 500, "Internal"), status: 500, failed: 1, broken: true},
		{name: "foreign handler that panics after the first byte", raw: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(errScene)
		}, act: breaks, status: 200, failed: 1, broken: true},
		{name: "handler that aborts", raw: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			act: breaks, broken: true},
		{name: "handler that ends its goroutine", raw: func(http.ResponseWriter, *http.Request) { runtime.Goexit() },
			act: breaks, failed: 1, broken: true},
		{name: "middleware that replaces the response", view: stream(3, nil), middleware: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(&nobody{http.Header{}}, r)
				_, _ = io.WriteString(w, "replaced")
			})
		}, act: fetches("GET", 200, "replaced"), status: 200},
		{name: "middleware that answers by itself", view: text("never"), middleware: func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusTeapot) })
		}, act: fetches("GET", 418, "no"), status: 418},
		{name: "receiver that fails", view: afterQuery(views.Text{Body: "hello"}, nil), receiver: func() error { return errScene },
			act: fetches("GET", 200, "hello"), status: 200},
		{name: "receiver that panics", view: afterQuery(views.Text{Body: "hello"}, nil), receiver: func() error { panic(errScene) },
			act: fetches("GET", 200, "hello"), status: 200},
	}
}

// Must hold for every way in which a request can go: RequestStarted once,
// RequestFinished exactly once and last, RequestFailed for failures of the site,
// and the connection is back before the receivers hear of the end.
func TestLifeCycle_EverySceneEndsOnce(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		for _, scene := range scenes() {
			for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
				if scene.name == "hijack" && proto == "HTTP/2.0" {
					continue // HTTP/2 has none
				}
				t.Run(scene.name+" over "+proto, func(t *testing.T) { scene.run(t, database, proto) })
			}
		}
	})
}

func (sc scene) run(t *testing.T, database db.Settings, proto string) {
	t.Helper()
	options := app.Options{Routes: func(s *app.Site) {
		if sc.view != nil {
			s.GET("/scene", sc.view)
			s.POST("/scene", sc.view)
		}
	}}
	if sc.middleware != nil {
		options.Middleware = append(options.Middleware, sc.middleware)
	}
	s := play(t, withDatabase(database), options, func(site *app.Site) http.Handler {
		if sc.raw == nil {
			return site
		}
		return site.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := query(views.NewRequest(r, nil)); err != nil {
				panic(err)
			}
			sc.raw(w, r)
		}))
	})
	if sc.receiver != nil {
		s.Bus().RequestStarted.Connect(func(context.Context, signals.RequestStarted) error { return sc.receiver() })
		s.Bus().RequestFinished.Connect(func(context.Context, signals.RequestFinished) error { return sc.receiver() })
	}
	s.Bus().RequestFinished.Connect(func(context.Context, signals.RequestFinished) error {
		s.atHome(t)
		if got := len(s.started.Events()); got != 1 {
			t.Errorf("RequestStarted was sent %d times before RequestFinished, want 1", got)
		}
		if got := len(s.failed.Events()); got != sc.failed {
			t.Errorf("RequestFailed was sent %d times before RequestFinished, want %d", got, sc.failed)
		}
		return nil
	})
	s.over(proto)
	sc.act(t, s)

	event := s.finished.Wait(1)[0]
	if err := s.Close(); err != nil { // waits for the handler
		t.Error(err)
	}
	if got := len(s.finished.Events()); got != 1 {
		t.Errorf("RequestFinished was sent %d times", got)
	}
	if event.Status != sc.status || (event.Err != nil) != sc.broken || event.Hijacked != (sc.name == "hijack") {
		t.Errorf("RequestFinished says status %d, error %v, hijacked %t; want %d, an error %t", event.Status, event.Err, event.Hijacked, sc.status, sc.broken)
	}
	if stats := s.Stats(); stats.Requests != 0 || stats.Streams != 0 || stats.TotalRequests != 1 {
		t.Errorf("the site counts %+v", stats)
	}
	for _, failed := range s.failed.Events() {
		if failed.Streaming != (sc.status == 200) {
			t.Errorf("RequestFailed says streaming %t", failed.Streaming)
		}
	}
}
