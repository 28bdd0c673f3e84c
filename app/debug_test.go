package app_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/live"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// failureCase is one way to fail, and what its page has to say.
type failureCase struct {
	path   string
	method string
	status int
	says   []string
	not    []string
}

func failureCases() []failureCase {
	return []failureCase{
		{path: "/panics", status: 500, says: []string{
			"<oops>", "a value of type", "it panicked here", "app/debug_site_test.go:", "app_test.vote", `panic("<oops>")`,
			"app_test.(*failures).panics", "stack", "GET /panics", "Otherwise clients read",
		}, not: []string{"debug.Stack"}},
		{path: "/indexes", status: 500, says: []string{"slice bounds out of range", "runtime.boundsError", "it panicked here", "[]string{}[len(r.URL.Path):][0]"}},
		{path: "/returns", status: 500, says: []string{
			"count the votes: the scene fails", "unexpected EOF", "the view that returned the error", "app_test.(*failures).returns", "made of",
		}},
		{path: "/database", status: 500, says: []string{
			"nothing_at_all", "the statement that failed last was sent here", "app_test.runs", "app_test.(*failures).find", "return nil, f.find(ctx)",
			"Connections", "2 statements", "1 of them failed", "given back", "first byte", "SELECT ? FROM nothing_at_all",
		}},
		{path: "/exhausted", status: 503, says: []string{
			"What to do now", "give connections back earlier or raise MAX_CONNECTIONS", "Who holds the connections", "GET /slow", "demo/slow.go:12", "SELECT ? FROM sales",
			"AcquireError",
		}},
		{path: "/dead", status: 503, says: []string{"unreachable", "see whether the database runs", "got none", "app_test.(*failures).dead"}},
		{path: "/held", status: 500, says: []string{"read in batches with db.Iterate, or set KeepConnection", "HeldError", "stream yields while it holds"}},
		{path: "/receiver", status: 500, says: []string{"counts", "the scene fails"}},
		{path: "/broken", status: 500, says: []string{"the template that failed", "polls/broken.html:2", "{{if}}", "missing value for if"}},
		{path: "/fails", status: 500, says: []string{"the template that failed", "polls/fails.html:3", "{{.Nothing.At.All}}"}},
		{path: "/names", status: 500, says: []string{"polls/nowhere.html", "polls/names.html:2", "TemplateNotFoundError"}},
		{path: "/stream", status: 500, says: []string{"before the first chunk", "it panicked here"}},
		{path: "/gone", status: 404, says: []string{"the view that answered", "app_test.(*failures).gone", "the scene fails", "This poll has ended."}, not: []string{"No route takes"}},
		{path: "/reset/" + strings.ReplaceAll(planted("path"), "/", "%2F"), status: 500, says: []string{"GET /reset/{token}", "[hidden]", "count the votes"}},
		{path: "/form", method: http.MethodPost, status: 500, says: []string{"Ada may not sign in with [hidden]", "Form", "password", "csrfmiddlewaretoken"}},
		{path: "/mute", status: 500, says: []string{"the Error method of *app_test.muteError panics: it says nothing", "app_test.(*failures).mute"}},
		{path: "/evil", status: 500, says: []string{"app: panic: unwraps", "app_test.(*evilError).Unwrap"}},
		{path: "/echoes", status: 500, says: []string{"[hidden] and [hidden] and [hidden]"}},
		{path: "/teapot", status: 418, says: []string{"418", "Short and stout."}},
		{path: "/panic", status: 404, says: []string{
			"No route takes", "This site has the routes", "/panics", "app_test.(*failures).panics", "app/debug_site_test.go:", "Did you mean", "/panics",
		}},
		{path: "/panics", method: http.MethodPost, status: 405, says: []string{"405 Method Not Allowed"}},
	}
}

func (c failureCase) ask(handler http.Handler, change ...func(*http.Request)) *httptest.ResponseRecorder {
	if c.method == http.MethodPost {
		change = append(change, header("Content-Type", "application/x-www-form-urlencoded"))
		return ask(handler, c.method, c.path, plantedForm(), change...)
	}
	return get(handler, c.path, change...)
}

func TestDebugPage_ShowsWhatFailedAndNoSecret(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		s := failing(t, failingSettings(t, database, true))
		for _, c := range failureCases() {
			text := c.ask(s, barelyAskedWithSecrets)
			page := c.ask(s, askedWithSecrets)
			for kind, w := range map[string]*httptest.ResponseRecorder{"text/plain": text, "text/html": page} {
				body := w.Body.String()
				if kind == "text/html" {
					body = unescaped(body)
				}
				if w.Code != c.status || w.Header().Get("Content-Type") != kind+"; charset=utf-8" {
					t.Errorf("%s: status %d, want %d; the type is %q", c.path, w.Code, c.status, w.Header().Get("Content-Type"))
				}
				for _, want := range append(c.says, "because DEBUG is true", "seven", "ALLOWED_HOSTS") {
					if !strings.Contains(body, want) {
						t.Errorf("%s as %s lacks %q:\n%s", c.path, kind, want, body)
					}
				}
				for _, not := range append(c.not, plantedMark) {
					if i := strings.Index(body, not); i >= 0 {
						t.Errorf("%s as %s has %q: %q", c.path, kind, not, body[max(0, i-120):min(len(body), i+60)])
					}
				}
				if n, most := len(body), 256<<10; n > most {
					t.Errorf("%s as %s has %d bytes", c.path, kind, n)
				}
				equal(t, "the length", w.Header().Get("Content-Length"), fmt.Sprint(w.Body.Len()))
			}
			if policy := page.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(page.Body.String(), "<script") {
				t.Errorf("%s: the policy is %q", c.path, policy)
			}
			s.atHome(t)
		}
	})
}

func unescaped(page string) string {
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&#34;", `"`, "&#39;", "'", "&#43;", "+", "&amp;", "&").Replace(page)
}

func TestDebugPage_IsNowhereWithoutDebug(t *testing.T) {
	t.Parallel()
	database := dbtest.Database(t, dbtest.SQLite)
	s := failing(t, failingSettings(t, database, false))
	for _, c := range failureCases() {
		for kind, change := range map[string]func(*http.Request){"html": askedWithSecrets, "text": barelyAskedWithSecrets} {
			w := c.ask(s, change)
			body := w.Body.String()
			for _, not := range []string{plantedMark, "DEBUG", "_test.go", "app_test", "goroutine", "Connections", "SELECT", "ALLOWED_HOSTS", "scene", "shop"} {
				if strings.Contains(body, not) {
					t.Errorf("%s as %s has %q without DEBUG:\n%s", c.path, kind, not, body)
				}
			}
			if w.Body.Len() > 200 || w.Header().Get("Content-Security-Policy") != "" {
				t.Errorf("%s as %s has %d bytes and the headers %v", c.path, kind, w.Body.Len(), w.Header())
			}
			if w.Code != c.status && !strings.HasPrefix(c.path, "/broken") {
				t.Errorf("%s is %d, want %d", c.path, w.Code, c.status)
			}
		}
	}
}

// A middleware fails before there is a route, and its frames are the user's own.
func TestDebugPage_OfAMiddleware(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.Debug = true
	s := play(t, settings, app.Options{Routes: oneRoute(text("in")), Middleware: []func(http.Handler) http.Handler{
		func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/late" {
					defer panic(errScene)
				}
				if r.URL.Path == "/early" {
					panic(errScene)
				}
				next.ServeHTTP(w, r)
			})
		},
	}})
	page := unescaped(get(s, "/early", html).Body.String())
	for _, want := range []string{"app: panic: the scene fails", "app_test.TestDebugPage_OfAMiddleware", "app/debug_test.go:", "panic(errScene)"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of a middleware lacks %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, ">Route<") || strings.Contains(page, "Registered at") {
		t.Errorf("it names a route:\n%s", page)
	}
	// What fails after its response has begun is broken off as ever.
	if _, body, err := s.over("HTTP/1.1").fetch(t, http.MethodGet, "/late", nil); err == nil {
		t.Errorf("a middleware that panics behind a page gives %q", body)
	}
}

// The page of DEBUG goes before the templates of the site where it has more to say, and
// leaves them the statuses for which they may be of use.
func TestDebugPage_AndTheTemplatesOfTheSite(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.Debug = true
	site := newSite(t, settings, app.Options{
		Templates: fstest.MapFS{
			"404.html": {Data: []byte("<p>own 404</p>")}, "500.html": {Data: []byte("<p>own 500</p>")},
			"403.html": {Data: []byte("<p>own 403</p><pre>{{.Detail}}</pre>")},
		},
		Routes: func(s *app.Site) {
			s.GET("/403", func(*views.Request) (views.Response, error) {
				return nil, &views.Error{Status: http.StatusForbidden, Err: errScene}
			})
			s.GET("/500", func(*views.Request) (views.Response, error) { return nil, errScene })
		},
	})
	for path, want := range map[string]string{"/nothing": "This site has the routes", "/500": "The page says so", "/403": "own 403"} {
		page := get(site, path, html).Body.String()
		if own := strings.Contains(page, "<p>own"); own != (path == "/403") {
			t.Errorf("%s: is it the site's own page? %t\n%s", path, own, page)
		}
		if want = strings.Replace(want, "The page says so", "the scene fails", 1); !strings.Contains(page, want) {
			t.Errorf("%s lacks %q:\n%s", path, want, page)
		}
	}
	if page := get(site, "/403", html).Body.String(); !strings.Contains(page, "the scene fails") || !strings.Contains(page, "because DEBUG is true") {
		t.Errorf("a template of the site is given no detail:\n%s", page)
	}
}

// The page is made of what the request was, while others are made.
func TestDebugPage_InParallel(t *testing.T) {
	t.Parallel()
	s := failing(t, failingSettings(t, dbtest.Database(t, dbtest.SQLite), true))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for _, c := range failureCases() {
				if w := c.ask(s, askedWithSecrets); w.Code != c.status || strings.Contains(w.Body.String(), plantedMark) {
					t.Errorf("%s: status %d, want %d", c.path, w.Code, c.status)
				}
			}
		})
	}
	all.Wait()
	s.atHome(t)
}

// However much there is to tell, the page says so much and no more.
func TestDebugPage_IsBounded(t *testing.T) {
	t.Parallel()
	settings := withDatabase(dbtest.Database(t, dbtest.SQLite))
	settings.Debug = true
	s := play(t, settings, app.Options{Routes: func(s *app.Site) {
		for i := range 1000 {
			s.GET(fmt.Sprintf("/route/%d", i), text(""))
		}
		s.GET("/many", func(r *views.Request) (views.Response, error) {
			many, err := strconv.Atoi(r.Query("statements"))
			if err != nil {
				return nil, err
			}
			for range many {
				if err := runs(r.Context(), "SELECT 1 /* "+strings.Repeat("long ", 20)+" */"); err != nil {
					return nil, err
				}
			}
			err = errors.New(strings.Repeat("so much is wrong ", 10_000))
			for range 50 {
				err = fmt.Errorf("and %w", err)
			}
			return nil, errors.Join(err, err, err)
		})
	}})
	for many, change := range map[int]func(*http.Request){10_000: html, 1000: func(*http.Request) {}} {
		w := get(s, "/many", change, func(r *http.Request) {
			r.Header.Set("X-Huge", strings.Repeat("h", 800<<10))
			for i := range 500 {
				r.Header.Set(fmt.Sprintf("X-Many-%d", i), "many")
			}
			r.URL.RawQuery = fmt.Sprintf("statements=%d&q=%s", many, strings.Repeat("q", 100<<10))
		})
		body := w.Body.String()
		if len(body) > 512<<10 || w.Code != 500 {
			t.Errorf("%d: the page has %d bytes", w.Code, len(body))
		}
		for _, want := range []string{"bytes more)", fmt.Sprintf("and %d more", many-256), fmt.Sprintf("%d statements", many), "and 40"} {
			if !strings.Contains(body, want) {
				t.Errorf("it does not say %q:\n%s", want, body)
			}
		}
		if body := get(s, "/nowhere", change).Body.String(); !strings.Contains(body, "and 701 more") || len(body) > 512<<10 {
			t.Errorf("the routes are not counted, in %d bytes", len(body))
		}
	}
}

// A broken response stays one: there is no page behind its first chunk.
func TestDebugPage_IsNoneAfterTheFirstChunk(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.Debug = true
	s := play(t, settings, app.Options{Routes: oneRoute(func(*views.Request) (views.Response, error) {
		return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
			if yield([]byte("first"), nil) {
				yield(nil, errScene)
			}
		}}, nil
	})})
	status, body, err := s.over("HTTP/1.1").fetch(t, http.MethodGet, "/", nil)
	if err == nil || strings.Contains(body, "DEBUG") || status != http.StatusOK {
		t.Errorf("status %d, %q, %v", status, body, err)
	}
}

// The page leads to the live one, wherever the site is mounted.
func TestDebugPage_OfAMountedSite(t *testing.T) {
	t.Parallel()
	s := failing(t, failingSettings(t, dbtest.Database(t, dbtest.SQLite), true))
	page := get(http.StripPrefix("/shop", s), "/shop/database", html).Body.String()
	if !strings.Contains(page, `href="/shop`+live.Root+`"`) {
		t.Errorf("it does not lead to the live page:\n%s", page)
	}
	page = get(http.StripPrefix("/shop", s), "/shop/return", html).Body.String()
	if !strings.Contains(page, `href="/shop/returns"`) {
		t.Errorf("the path that was perhaps meant is not below the prefix:\n%s", page)
	}
}

// Hosts and origins that are refused get no page of what is inside: whoever they are,
// nobody has let them in.
func TestDebugPage_OfAHostThatIsRefused(t *testing.T) {
	t.Parallel()
	settings := failingSettings(t, dbtest.Database(t, dbtest.SQLite), true)
	settings.AllowedHosts = nil
	s := failing(t, settings)
	w := get(s, "http://rebound.example.com/panics", html)
	if w.Code != 400 {
		t.Errorf("status %d", w.Code)
	}
	for _, not := range []string{"SECRET_KEY", "debug_site_test.go", "/teapot"} {
		if strings.Contains(w.Body.String(), not) {
			t.Errorf("a host that is refused reads %q:\n%s", not, w.Body)
		}
	}
	if !strings.Contains(w.Body.String(), "add it if the site is to answer for it") {
		t.Errorf("it does not say what to do:\n%s", w.Body)
	}
}

// The connection goes home before the first byte of the page, and the page tells that it has.
func TestDebugPage_IsWrittenWithoutAConnection(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		settings := withDatabase(database)
		settings.Debug = true
		s := play(t, settings, app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
			return nil, errors.Join(query(r), errScene)
		})})
		inUse := -1
		w := &firstByte{ResponseWriter: httptest.NewRecorder(), sent: func() { inUse = s.Connections().Stats("default").InUse }}
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		page := w.ResponseWriter.(*httptest.ResponseRecorder).Body.String()
		if inUse != 0 || !strings.Contains(page, "nothing was held when this page was made") {
			t.Errorf("%d connections are in use when the page is written:\n%s", inUse, page)
		}
	})
}
