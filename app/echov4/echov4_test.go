package echov4_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/echov4"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/sqlite"
	"github.com/goquintet/quintet/signals/signalstest"
	"github.com/goquintet/quintet/views"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func newSite(t *testing.T, settings app.Settings, routes func(*app.Site)) *app.Site {
	t.Helper()
	settings.AllowedHosts = []string{"*"}
	site, err := app.New(settings, app.Options{
		Engines: []db.Engine{sqlite.Engine{}, postgres.Engine{}}, Logger: slog.New(slog.DiscardHandler), Routes: routes,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := site.Close(); err != nil {
			t.Error(err)
		}
	})
	return site
}

func get(handler http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// An echo handler is a view like any other: routed, wrapped, answered by the site.
func TestView(t *testing.T) {
	t.Parallel()
	errOwn := errors.New("own")
	site := newSite(t, app.Settings{}, func(s *app.Site) {
		hello := echov4.View(func(c echo.Context) error {
			return c.String(http.StatusAccepted, c.Param("name")+" "+c.Param("path")+" "+c.Path()+" "+c.Request().PathValue("name"))
		})
		s.GET("/hello/{name}", hello)
		s.GET("/hello/{name}/{path...}", hello)
		s.GET("/http", echov4.View(func(echo.Context) error { return echo.NewHTTPError(http.StatusTeapot, "short and stout") }))
		s.GET("/coded", echov4.View(func(echo.Context) error { return echo.ErrConflict }))
		s.GET("/missing", echov4.View(func(echo.Context) error { return views.ErrNotFound }))
		s.GET("/own", echov4.View(func(echo.Context) error { return errOwn }))
		s.GET("/panic", echov4.View(func(echo.Context) error { panic(errOwn) }))
		s.GET("/nothing", echov4.View(func(echo.Context) error { return nil }))
		s.GET("/refused", echov4.View(func(echo.Context) error {
			t.Error("a refused handler runs")
			return nil
		}), app.Use(func(views.View) views.View {
			return func(*views.Request) (views.Response, error) { return nil, views.ErrPermission }
		}))
	})
	failed := signalstest.Record(t, &site.Bus().RequestFailed)
	for _, test := range []struct {
		path   string
		status int
		body   string
		failed error
	}{
		{"/hello/ada", 202, "ada  /hello/:name ada", nil},
		{"/hello/a%2Fb", 202, "a/b  /hello/:name a/b", nil},
		{"/hello/ada/b/c", 202, "ada b/c /hello/:name/* ada", nil},
		{"/http", 418, "418 I'm a teapot\n\nshort and stout\n", nil},
		{"/coded", 409, "409 Conflict\n", nil},
		{"/missing", 404, "404 Not Found\n", nil},
		{"/own", 500, "500 Internal Server Error\n", errOwn},
		{"/panic", 500, "500 Internal Server Error\n", errOwn},
		{"/nothing", 200, "", nil},
		{"/refused", 403, "403 Forbidden\n", nil},
	} {
		failed.Reset()
		w := get(site, test.path)
		if w.Code != test.status || w.Body.String() != test.body {
			t.Errorf("%s is %d %q, want %d %q", test.path, w.Code, w.Body, test.status, test.body)
		}
		events := failed.Events()
		if (len(events) == 1) != (test.failed != nil) || len(events) == 1 && !errors.Is(events[0].Err, test.failed) {
			t.Errorf("%s: RequestFailed was sent as %+v", test.path, events)
		}
	}
}

// What an echo handler leases goes home before its first byte, and a failure after
// it breaks the connection.
func TestView_ReleasesAndAborts(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		inUse := make(chan int, 1)
		site := newSite(t, app.Settings{Databases: map[string]db.Settings{"default": database}}, func(s *app.Site) {
			s.GET("/", echov4.View(func(c echo.Context) error {
				ctx := c.Request().Context()
				var n int
				if err := db.From(ctx).NewRaw("SELECT 1").Scan(ctx, &n); err != nil {
					return err
				}
				c.Response().Flush()
				inUse <- app.From(ctx).Connections().Stats("default").InUse
				return echo.ErrTeapot
			}))
		})
		finished := signalstest.Record(t, &site.Bus().RequestFinished)
		server := httptest.NewServer(site)
		defer server.Close()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		if _, err := io.ReadAll(response.Body); err == nil {
			t.Error("the client got a whole answer")
		}
		if n := <-inUse; n != 0 {
			t.Errorf("after the first byte %d connections are in use", n)
		}
		if event := finished.Wait(1)[0]; event.Status != 200 || event.Err == nil {
			t.Errorf("RequestFinished says %d, %v", event.Status, event.Err)
		}
	})
}

// Routes, groups and middleware may be added to the router itself. Its middleware
// surrounds the views of the site, its errors are the site's.
func TestRouter(t *testing.T) {
	t.Parallel()
	var order []string
	site := newSite(t, app.Settings{}, func(s *app.Site) {
		e := echov4.Router(s)
		e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c echo.Context) error {
				order = append(order, "in")
				c.Response().Before(func() { c.Response().Header().Set("X-Before", "ran") })
				c.Set("key", "value")
				err := next(c)
				order = append(order, "out")
				return err
			}
		})
		e.GET("/own/:id", func(c echo.Context) error {
			if app.From(c.Request().Context()) != s {
				return errors.New("the site is not in the context")
			}
			return c.String(http.StatusOK, c.Param("id"))
		})
		e.GET("/fails", func(echo.Context) error { return echo.ErrForbidden })
		s.GET("/view", func(r *views.Request) (views.Response, error) {
			order = append(order, "view")
			value, _ := echov4.Context(r.Request).Get("key").(string)
			return views.Text{Body: value}, nil
		})
	})
	w := get(site, "/view")
	if w.Body.String() != "value" || w.Header().Get("X-Before") != "ran" || strings.Join(order, " ") != "in view out" {
		t.Errorf("a view behind echo's middleware: %q, %v, %v", w.Body, w.Header(), order)
	}
	if w := get(site, "/own/7"); w.Body.String() != "7" {
		t.Errorf("echo's own route: %d %q", w.Code, w.Body)
	}
	if w := get(site, "/fails"); w.Code != 403 || w.Body.String() != "403 Forbidden\n" {
		t.Errorf("echo's own error: %d %q", w.Code, w.Body)
	}
	if w := get(site, "/missing"); w.Code != 404 || w.Body.String() != "404 Not Found\n" {
		t.Errorf("nobody's route: %d %q", w.Code, w.Body)
	}
}

// What echo would take from proxies by itself, it takes from the site.
func TestRouter_BelievesWhomTheSiteBelieves(t *testing.T) {
	t.Parallel()
	settings := app.Settings{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	site := newSite(t, settings, func(s *app.Site) {
		s.GET("/", echov4.View(func(c echo.Context) error { return c.String(http.StatusOK, c.RealIP()+" "+c.Scheme()) }))
	})
	for address, want := range map[string]string{"127.0.0.1:1": "127.0.0.1 http", "10.0.0.1:1": "1.1.1.1 https"} {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.RemoteAddr = address
		r.Header.Set("X-Forwarded-For", "1.1.1.1")
		r.Header.Set("X-Forwarded-Proto", "https")
		site.ServeHTTP(w, r)
		if w.Body.String() != want {
			t.Errorf("from %s: %q, want %q", address, w.Body, want)
		}
	}
}

// A slash is appended for echo's own routes, too, and never leaves the host.
func TestRouter_TrailingSlashLeavesTheHost(t *testing.T) {
	t.Parallel()
	site := newSite(t, app.Settings{}, func(s *app.Site) {
		echov4.Router(s).GET("/:a/:b/", func(c echo.Context) error { return c.NoContent(http.StatusOK) })
	})
	for path, want := range map[string]string{"/one/two": "/one/two/", "//evil.example": "/%2Fevil.example/"} {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.URL.Path, r.RequestURI = path, path
		site.ServeHTTP(w, r)
		if got := w.Header().Get("Location"); w.Code != 301 || got != want {
			t.Errorf("%s is %d to %q, want 301 to %q", path, w.Code, got, want)
		}
	}
}

// Mistakes of middleware are told instead of lost.
func TestRouter_MistakesOfMiddleware(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	site, err := app.New(app.Settings{AllowedHosts: []string{"*"}}, app.Options{
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Routes: func(s *app.Site) {
			echov4.Router(s).Use(func(next echo.HandlerFunc) echo.HandlerFunc {
				return func(c echo.Context) error {
					if c.Request().URL.Path == "/context" {
						c.SetRequest(c.Request().WithContext(context.Background()))
					}
					return next(c)
				}
			})
			s.GET("/context", echov4.View(func(echo.Context) error { return nil }))
			s.GET("/twice", echov4.View(func(c echo.Context) error {
				c.Response().WriteHeader(http.StatusOK)
				c.Response().WriteHeader(http.StatusOK)
				return nil
			}))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if w := get(site, "/context"); w.Code != 500 || !strings.Contains(log.String(), "a context that is not derived from the one it had") {
		t.Errorf("a lost context is %d: %s", w.Code, &log)
	}
	if w := get(site, "/twice"); w.Code != 200 || !strings.Contains(log.String(), "response already committed") {
		t.Errorf("a second WriteHeader is %d: %s", w.Code, &log)
	}
	if err := site.Close(); err != nil {
		t.Error(err)
	}
}

// recovers makes an error of a panic, as echo's own does.
func recovers(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("recovered: %v", v)
			}
		}()
		return next(c)
	}
}

// compresses replaces the writer of the response, as echo's own does.
func compresses(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		under := c.Response().Writer
		zipped := &zipper{under, gzip.NewWriter(under)}
		c.Response().Header().Set("Content-Encoding", "gzip")
		c.Response().Writer = zipped
		defer func() {
			_ = zipped.gz.Close()
			c.Response().Writer = under
		}()
		return next(c)
	}
}

type zipper struct {
	http.ResponseWriter
	gz *gzip.Writer
}

func (z *zipper) Write(p []byte) (int, error) { return z.gz.Write(p) }

func (z *zipper) FlushError() error {
	if err := z.gz.Flush(); err != nil {
		return err
	}
	return http.NewResponseController(z.ResponseWriter).Flush()
}

func (z *zipper) Unwrap() http.ResponseWriter { return z.ResponseWriter }

// Middleware of echo that recovers does not hide a broken stream, and one that
// compresses gets its chunks and its flushes.
func TestRouter_MiddlewareAroundStreams(t *testing.T) {
	t.Parallel()
	errLate := errors.New("late")
	site := newSite(t, app.Settings{}, func(s *app.Site) {
		echov4.Router(s).Use(recovers, compresses)
		chunks := func(end func(yield func([]byte, error) bool)) views.View {
			return func(*views.Request) (views.Response, error) {
				return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
					if yield([]byte("first"), nil) && yield([]byte("second"), nil) {
						end(yield)
					}
				}}, nil
			}
		}
		s.GET("/whole", chunks(func(func([]byte, error) bool) {}))
		s.GET("/error", chunks(func(yield func([]byte, error) bool) { yield(nil, errLate) }))
		s.GET("/panic", chunks(func(func([]byte, error) bool) { panic(errLate) }))
	})
	finished := signalstest.Record(t, &site.Bus().RequestFinished)
	failed := signalstest.Record(t, &site.Bus().RequestFailed)
	server := httptest.NewServer(site)
	defer server.Close()
	fetch := func(path string) (string, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(request) // asks for gzip by itself
		if err != nil {
			return "", err
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if !response.Uncompressed {
			t.Errorf("%s is not compressed", path)
		}
		return string(body), err
	}
	if body, err := fetch("/whole"); body != "firstsecond" || err != nil {
		t.Errorf("the stream is %q, %v", body, err)
	}
	for _, path := range []string{"/error", "/panic"} {
		if body, err := fetch(path); err == nil {
			t.Errorf("%s: the client got a whole answer: %q", path, body)
		}
	}
	events := finished.Wait(3)
	if events[0].Err != nil || !errors.Is(events[1].Err, errLate) || !errors.Is(events[2].Err, errLate) {
		t.Errorf("RequestFinished was sent as %+v", events)
	}
	if len(failed.Events()) != 2 {
		t.Errorf("RequestFailed was sent %d times", len(failed.Events()))
	}
}

// Without a site there is a context all the same, for handlers under test.
func TestContext_WithoutASite(t *testing.T) {
	t.Parallel()
	r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	if err := echov4.Context(r).String(200, "lost"); err != nil {
		t.Error(err)
	}
	request := views.NewRequest(r, nil)
	response, err := echov4.View(func(c echo.Context) error { return c.String(http.StatusOK, "kept") })(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Respond(w, request); err != nil || w.Body.String() != "kept" {
		t.Errorf("the handler answers %q, %v", w.Body, err)
	}
}

// A handler sees the context that functions around the view have made.
func TestView_SeesTheRequestItIsGiven(t *testing.T) {
	t.Parallel()
	type key struct{}
	site := newSite(t, app.Settings{}, func(s *app.Site) {
		s.GET("/", func(r *views.Request) (views.Response, error) {
			inner := echov4.View(func(c echo.Context) error {
				value, _ := c.Request().Context().Value(key{}).(string)
				return c.String(http.StatusOK, value)
			})
			return respond(func(w http.ResponseWriter, r *views.Request) error {
				with := r.With(context.WithValue(r.Context(), key{}, "value"))
				response, err := inner(with)
				if err != nil {
					return err
				}
				return response.Respond(w, with)
			}), nil
		})
	})
	finished := signalstest.Record(t, &site.Bus().RequestFinished)
	if w := get(site, "/"); w.Body.String() != "value" {
		t.Errorf("the handler answers %q", w.Body)
	}
	events := finished.Events()
	if len(events) != 1 || events[0].Route != "GET /" || events[0].Bytes != 5 {
		t.Errorf("RequestFinished was sent as %+v", events)
	}
}

type respond func(http.ResponseWriter, *views.Request) error

func (f respond) Respond(w http.ResponseWriter, r *views.Request) error { return f(w, r) }
