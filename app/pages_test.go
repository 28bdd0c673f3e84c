package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

func html(r *http.Request) { r.Header.Set("Accept", "text/html,*/*;q=0.8") }

// HD-006 and HD-007, tests/handlers/tests.py: errors that are answers. HD-057: 405
// names the methods. HD-045: 404.
func TestErrors_HaveTheirStatus(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err    error
		status int
		body   string
		failed bool
	}{
		{views.ErrBadRequest, 400, "400 Bad Request\n", false},
		{views.ErrPermission, 403, "403 Forbidden\n", false},
		{fmt.Errorf("poll 7: %w", views.ErrNotFound), 404, "404 Not Found\n", false},
		{views.ErrMethodNotAllowed, 405, "405 Method Not Allowed\n", false},
		{&views.Error{Status: 404, Message: "This poll has <ended>.", Err: errScene}, 404, "404 Not Found\n\nThis poll has <ended>.\n", false},
		{errScene, 500, "500 Internal Server Error\n", true},
		{&views.Error{Status: 502, Message: "The bank is closed."}, 502, "502 Bad Gateway\n\nThe bank is closed.\n", true},
		{context.Canceled, 500, "500 Internal Server Error\n", true}, // somebody else's
		{context.DeadlineExceeded, 500, "500 Internal Server Error\n", true},
		{views.ErrUnavailable, 503, "503 Service Unavailable\n", true},
		{fmt.Errorf("secret: %w", &db.AcquireError{Alias: "default", Kind: "exhausted"}), 503, "503 Service Unavailable\n", true},
		{&http.MaxBytesError{Limit: 1}, 413, "413 Request Entity Too Large\n", false},
	} {
		s := play(t, anyHost(), app.Options{Routes: oneRoute(func(*views.Request) (views.Response, error) { return nil, test.err })})
		w := get(s, "/")
		if w.Code != test.status || w.Body.String() != test.body {
			t.Errorf("%v: %d %q, want %d %q", test.err, w.Code, w.Body, test.status, test.body)
		}
		if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
			t.Errorf("%v: the type is %q", test.err, got)
		}
		if failed := len(s.failed.Events()) == 1; failed != test.failed {
			t.Errorf("%v: RequestFailed was sent: %t", test.err, failed)
		}
		event := s.finished.Events()[0]
		if test.failed != errors.Is(event.Err, test.err) {
			t.Errorf("%v: RequestFinished says %v", test.err, event.Err)
		}
		if retry, err := strconv.Atoi(w.Header().Get("Retry-After")); (test.status == 503) != (err == nil && retry >= 1 && retry <= 5) {
			t.Errorf("%v: Retry-After is %q", test.err, w.Header().Get("Retry-After"))
		}
	}
}

func TestErrors_PlainPages(t *testing.T) {
	t.Parallel()
	site := newSite(t, anyHost(), app.Options{Routes: oneRoute(func(*views.Request) (views.Response, error) {
		return nil, &views.Error{Status: 404, Message: "This poll has <ended>."}
	})})
	w := get(site, "/", html)
	equal(t, "the type", w.Header().Get("Content-Type"), "text/html; charset=utf-8")
	equal(t, "the page", w.Body.String(), `<!doctype html>
<html lang="en">
<title>404 Not Found</title>
<h1>404 Not Found</h1>
<p>This poll has &lt;ended&gt;.</p>
`)
	w = ask(site, "HEAD", "/", nil, html)
	if w.Code != 404 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "121" {
		t.Errorf("HEAD gets %d, %q, length %s", w.Code, w.Body, w.Header().Get("Content-Length"))
	}
}

func TestErrors_DebugTellsMore(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.Debug = true
	site := newSite(t, settings, app.Options{Routes: func(s *app.Site) {
		s.GET("/panic", func(*views.Request) (views.Response, error) { panic("<oops>") })
		s.GET("/fails", func(*views.Request) (views.Response, error) { return nil, errScene })
		s.GET("/missing", func(*views.Request) (views.Response, error) { return nil, views.ErrNotFound })
	}})
	for path, want := range map[string][]string{
		"/panic":   {"GET /panic", "app: panic: &lt;oops&gt;", "pages_test.go:", "because DEBUG is true"},
		"/fails":   {"the scene fails", "GET /fails"},
		"/missing": {"views: 404 not found", "GET /missing"},
		"/nothing": {"This site has the routes", "/panic", "app/pages_test.go:"},
	} {
		page := get(site, path, html).Body.String()
		for _, want := range want {
			if !strings.Contains(page, want) {
				t.Errorf("the page of %s lacks %q:\n%s", path, want, page)
			}
		}
	}
	if page := get(site, "/panic").Body.String(); !strings.Contains(page, " panic  runtime/panic.go:") || strings.Contains(page, "debug."+"Stack") {
		t.Errorf("the stack does not begin with the panic:\n%s", page)
	}
	quiet := newSite(t, anyHost(), app.Options{Routes: oneRoute(func(*views.Request) (views.Response, error) { panic("secret") })})
	if page := get(quiet, "/").Body.String(); page != "500 Internal Server Error\n" {
		t.Errorf("without DEBUG the page says %q", page)
	}
}

// The error pages of a site are templates, and may query: GP-047 and HD-025 of
// Django, whose error pages have to run where their connection is cleaned up.
func TestErrors_TemplatesOfTheSite(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		templates := fstest.MapFS{
			"404.html": {Data: []byte(`<p>{{.Status}} {{.Title}}: {{.Message}} {{url "home"}}</p>`)},
			"500.html": {Data: []byte(`<p>{{.Status}} sorry</p>`)},
			"418.html": {Data: []byte(`{{.Nothing}}`)},
		}
		answer := func(status int) views.View {
			return func(r *views.Request) (views.Response, error) {
				return nil, errors.Join(query(r), &views.Error{Status: status, Message: "told"})
			}
		}
		s := play(t, withDatabase(database), app.Options{Templates: templates, Routes: func(s *app.Site) {
			s.GET("/", text(""), app.Name("home"))
			for _, status := range []int{400, 404, 418, 500, 503} {
				s.GET("/"+strconv.Itoa(status), answer(status))
			}
			s.GET("/panic", func(*views.Request) (views.Response, error) { panic(errScene) })
		}})
		for path, want := range map[string]string{
			"/404":     "<p>404 Not Found: told /</p>",
			"/nothing": "<p>404 Not Found: Not Found /</p>",
			"/500":     "<p>500 sorry</p>",
			"/503":     "<p>503 sorry</p>",
			"/panic":   "<p>500 sorry</p>",
			"/400":     "<h1>400 Bad Request</h1>",
			"/418":     "<h1>418 I&#39;m a teapot</h1>",
		} {
			if w := get(s, path, html); !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s is %q, want %q", path, w.Body, want)
			}
			s.atHome(t)
		}
		if broken := s.journal.entries(t, "app: an error page fails"); len(broken) != 1 || broken[0]["template"] != "418.html" {
			t.Errorf("the broken page is told as %v", broken)
		}
		if got := get(s, "/404").Body.String(); got != "404 Not Found\n\ntold\n" {
			t.Errorf("a client without HTML gets %q", got)
		}
	})
}

// What the view has said about a body that was never sent is not said of the page.
func TestErrors_LeaveNoHeaderOfTheFailedBody(t *testing.T) {
	t.Parallel()
	site := newSite(t, anyHost(), app.Options{Routes: oneRoute(func(*views.Request) (views.Response, error) {
		return respond(func(w http.ResponseWriter, _ *views.Request) error {
			for _, name := range []string{"Content-Length", "Content-Encoding", "ETag", "Cache-Control", "Last-Modified", "Content-Disposition"} {
				w.Header().Set(name, "1")
			}
			return errScene
		}), nil
	})})
	header := get(site, "/").Header()
	for _, name := range []string{"Content-Encoding", "ETag", "Cache-Control", "Last-Modified", "Content-Disposition"} {
		if header.Get(name) != "" {
			t.Errorf("the page has %s: %s", name, header.Get(name))
		}
	}
	equal(t, "the length", header.Get("Content-Length"), "26")
}

func TestTemplates_FindRoutesAndFiles(t *testing.T) {
	t.Parallel()
	site := newSite(t, anyHost(), app.Options{
		Templates: fstest.MapFS{"page.html": {Data: []byte(`{{url "poll" .}} {{static "a b.css"}} {{template "polls/own.html"}}`)}},
		Apps: []app.App{{
			Name:      "polls",
			Templates: fstest.MapFS{"polls/own.html": {Data: []byte("app")}, "page.html": {Data: []byte("the site's goes first")}},
		}},
		Routes: func(s *app.Site) {
			s.GET("/polls/{id}", func(r *views.Request) (views.Response, error) {
				return views.Template{Name: "page.html", Data: r.PathValue("id")}, nil
			}, app.Name("poll"))
		},
	})
	equal(t, "the page", get(site, "/polls/7").Body.String(), "/polls/7 /static/a%20b.css app")
	mounted := http.StripPrefix("/shop", site)
	equal(t, "the page of a mounted site", get(mounted, "/shop/polls/7").Body.String(), "/shop/polls/7 /shop/static/a%20b.css app")
}

func TestStatic(t *testing.T) {
	t.Parallel()
	modified := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	own := fstest.MapFS{"site.css": {Data: []byte("site")}, "dated.css": {Data: []byte("dated"), ModTime: modified}}
	polls := fstest.MapFS{"site.css": {Data: []byte("app")}, "polls/a b.css": {Data: []byte("polls")}}
	options := app.Options{Static: own, Apps: []app.App{{Name: "polls", Static: polls}, {Name: "empty"}}}
	debug := anyHost()
	debug.Debug = true
	site := newSite(t, debug, options)
	for path, want := range map[string]string{
		"/static/site.css":           "site",
		"/static/polls/a%20b.css":    "polls",
		"/static/dated.css":          "dated",
		"/static/nothing.css":        "404",
		"/static/polls/":             "404",
		"/static/":                   "404",
		"/static/../site_test.go":    "404",
		"/static/%2e%2e/site.css":    "404",
		"/static/polls%2Fa%20b.css":  "polls",
		"/static//polls/a%20b.css":   "404",
		"/static/..%2F..%2Fetc/pass": "404",
	} {
		w := get(site, path)
		got := w.Body.String()
		if w.Code == 404 {
			got = "404"
		}
		if got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	w := get(site, "/static/site.css")
	tag := w.Header().Get("ETag")
	if len(tag) != 22 || w.Header().Get("Cache-Control") != "no-cache" || w.Header().Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("an embedded file has the headers %v", w.Header())
	}
	if w := get(site, "/static/site.css", header("If-None-Match", tag)); w.Code != 304 || w.Body.Len() != 0 {
		t.Errorf("asked again, it is %d", w.Code)
	}
	w = get(site, "/static/dated.css", header("If-Modified-Since", modified.Format(http.TimeFormat)))
	if w.Code != 304 || w.Header().Get("ETag") != "" {
		t.Errorf("a file with a date is %d, ETag %q", w.Code, w.Header().Get("ETag"))
	}

	if w := get(newSite(t, anyHost(), options), "/static/site.css"); w.Code != 404 {
		t.Errorf("without DEBUG a static file is served, with %d", w.Code)
	}
	options.Routes = func(s *app.Site) { s.GET("/static/{file...}", text("by itself")) }
	equal(t, "a site that serves them by itself", get(newSite(t, debug, options), "/static/site.css").Body.String(), "by itself")
	debug.StaticURL = "https://static.example.com/"
	elsewhere := newSite(t, debug, app.Options{
		Static:    own,
		Templates: fstest.MapFS{"page.html": {Data: []byte(`{{static "site.css"}}`)}},
		Routes:    oneRoute(func(*views.Request) (views.Response, error) { return views.Template{Name: "page.html"}, nil }),
	})
	equal(t, "elsewhere", get(elsewhere, "/").Body.String(), "https://static.example.com/site.css")
	equal(t, "not here", get(elsewhere, "/static/site.css").Code, 404)
}
