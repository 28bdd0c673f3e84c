package app_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
)

func returnsNothing(http.Handler) http.Handler { return nil }

func wrapsNothing(views.View) views.View { return nil }

// Every mistake is told at once, each with its place. HD-010,
// tests/handlers/tests.py::test_middleware_returns_none: the middleware is named.
func TestNew_TellsEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(file, []byte("DATABASES:\n  default:\n    ENGINE: postgres\n    NAME: shop\n    PORT: 5432\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	settings, err := app.LoadIn(filepath.Dir(file), nil, file)
	if err != nil {
		t.Fatal(err)
	}
	settings.MaxStreams = -1
	broken := fstest.MapFS{"polls/list.html": {Data: []byte("{{if}}")}}
	_, err = app.New(settings, app.Options{
		Logger:     slog.New(slog.DiscardHandler),
		Templates:  broken,
		Middleware: []func(http.Handler) http.Handler{nil, returnsNothing},
		Apps: []app.App{{Name: "polls"}, {Name: "polls"}, {}, {Name: "shop", Ready: func(*app.Site) error {
			t.Error("an app is readied although there are mistakes")
			return nil
		}}},
		Routes: func(s *app.Site) {
			s.GET("/polls/{id}", text(""), app.Name("poll"))
			s.GET("/polls/{name}", text(""))
			s.GET("/votes/{id}", text(""), app.Name("poll"))
			s.GET("votes", text(""))
			s.GET("GET /votes", text(""))
			s.GET("/a//b", text(""))
			s.GET("/a/{id", text(""))
			s.GET("/a/x{id}", text(""))
			s.GET("/a/{}", text(""))
			s.GET("/a/{7}", text(""))
			s.GET("/a/{x...}/b", text(""))
			s.GET("/a/{$}/b", text(""))
			s.GET("/a/{x}/{x}", text(""))
			s.GET("/a/%zz", text(""))
			s.GET("/nil", nil)
			s.GET("/wraps", text(""), app.Use(wrapsNothing))
			s.GET("/nilwrap", text(""), app.Use(nil))
		},
	})
	if err == nil {
		t.Fatal("New made a site")
	}
	got := strings.ReplaceAll(err.Error(), file, "settings.yaml")
	place := strings.NewReplacer(lines(t, "site_test.go")...)
	want := `app: MAX_STREAMS: "-1": is negative; use 0 for none
settings.yaml:3: DATABASES.default.ENGINE: engine "postgres" is not built into this site; add it to Engines where the site is made
app: app "polls": is listed twice; a name belongs to one app
app: app: has no Name
app: app/site_test.go:LINE: route "GET /polls/{name}": is registered already, as "GET /polls/{id}" at app/site_test.go:LINE; remove one of them
app: app/site_test.go:LINE: route "GET /votes/{id}": has the name "poll" of "GET /polls/{id}" at app/site_test.go:LINE; a name belongs to one path
app: app/site_test.go:LINE: route "GET votes": does not begin with a slash
app: app/site_test.go:LINE: route "GET GET /votes": has a method in its path; the method is the name of the function
app: app/site_test.go:LINE: route "GET /a//b": has an empty segment (//)
app: app/site_test.go:LINE: route "GET /a/{id": has the segment "{id"; a wildcard is a whole segment, such as {id}
app: app/site_test.go:LINE: route "GET /a/x{id}": has the segment "x{id}"; a wildcard is a whole segment, such as {id}
app: app/site_test.go:LINE: route "GET /a/{}": has the wildcard "{}", whose name is no identifier
app: app/site_test.go:LINE: route "GET /a/{7}": has the wildcard "{7}", whose name is no identifier
app: app/site_test.go:LINE: route "GET /a/{x...}/b": has {x...} before its end
app: app/site_test.go:LINE: route "GET /a/{$}/b": has {$} before its end
app: app/site_test.go:LINE: route "GET /a/{x}/{x}": has two wildcards of the name "x"
app: app/site_test.go:LINE: route "GET /a/%zz": has the segment "%zz", which does not decode
app: app/site_test.go:LINE: route "GET /nil": has no view
app: app/site_test.go:LINE: route "GET /wraps": uses github.com/goquintet/quintet/app_test.wrapsNothing (site_test.go:LINE), which returned no view
app: app/site_test.go:LINE: route "GET /nilwrap": uses nil
TEMPLATES
app: Options.Middleware[1]: github.com/goquintet/quintet/app_test.returnsNothing (site_test.go:LINE) returned no handler; return next when there is nothing to add
app: Options.Middleware[0]: is nil`
	got = place.Replace(got)
	if i, j := strings.Index(got, "views: "), strings.Index(got, "app: Options.Middleware[1]"); i > 0 && j > i {
		if !strings.Contains(got[i:j], "polls/list.html:1") {
			t.Errorf("the broken template is told as %q", got[i:j])
		}
		got = got[:i] + "TEMPLATES\n" + got[j:]
	}
	matches(t, got, want)

	for _, part := range joined(err) {
		_, wiring := errors.AsType[*app.WiringError](part)
		_, config := errors.AsType[*app.ConfigError](part)
		if !wiring && !config && !strings.HasPrefix(part.Error(), "views: ") {
			t.Errorf("%q is a %T", part, part)
		}
	}
}

// lines are the replacements that take the numbers out of places in a file.
func lines(t *testing.T, file string) []string {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for n := strings.Count(string(source), "\n"); n > 0; n-- { // the longest first
		pairs = append(pairs, fmt.Sprintf("%s:%d", file, n), file+":LINE")
	}
	return pairs
}

func joined(err error) []error {
	if parts, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, part := range parts.Unwrap() {
			all = append(all, joined(part)...)
		}
		return all
	}
	return []error{err}
}

// HD-001, tests/handlers/tests.py::test_middleware_initialized.
func TestNew_MiddlewareIsBuiltOnceAndTheFirstIsOutermost(t *testing.T) {
	t.Parallel()
	var built, passed []string
	named := func(name string) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			built = append(built, name)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				passed = append(passed, name)
				next.ServeHTTP(w, r)
			})
		}
	}
	site := newSite(t, anyHost(), app.Options{
		Middleware: []func(http.Handler) http.Handler{named("first"), named("second")}, Routes: oneRoute(text("in")),
	})
	get(site, "/")
	get(site, "/nothing")
	equal(t, "built", strings.Join(built, " "), "second first")
	equal(t, "passed", strings.Join(passed, " "), "first second first second")
}

func TestNew_WithoutAnything(t *testing.T) {
	t.Parallel()
	site, err := app.New(app.Settings{}, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := site.Close(); err != nil {
			t.Error(err)
		}
	}()
	equal(t, "the address", site.Settings().Listen, "127.0.0.1:8000")
	if err := site.Connections().Run(t.Context(), "task", func(ctx context.Context) error {
		return db.From(ctx).EnsureConnection(ctx)
	}); err == nil || !strings.Contains(err.Error(), "has no database") {
		t.Errorf("a query without a database says %v", err)
	}
}

func TestNew_OpensNothing(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "none.db")
	site := newSite(t, withDatabase(db.Settings{Engine: "sqlite", Name: name}), app.Options{
		Routes: oneRoute(text("in")), Apps: []app.App{{Name: "polls", Ready: func(*app.Site) error { return nil }}},
	})
	get(site, "/")
	if stats := site.Connections().Stats("default"); stats.Opened != 0 {
		t.Errorf("%d connections were opened", stats.Opened)
	}
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the database was made: %v", err)
	}
}

func TestNew_ReadiesTheAppsInOrderInsideAScope(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		var order []string
		ready := func(site *app.Site) error {
			ctx := site.Context()
			if app.From(ctx) != site || len(site.Routes()) != 2 {
				t.Error("the site is not complete")
			}
			var n int
			if err := db.From(ctx).NewRaw("SELECT 1").Scan(ctx, &n); err != nil {
				return err
			}
			order = append(order, site.Connections().Holders()[0].Name)
			return nil
		}
		site := newSite(t, withDatabase(settings), app.Options{
			Apps:   []app.App{{Name: "one", Ready: ready}, {Name: "two", Ready: ready}, {Name: "three"}},
			Routes: oneRoute(text("in")),
		})
		equal(t, "the order", strings.Join(order, ", "), "ready one, ready two")
		ctx := site.Context()
		if err := db.From(ctx).EnsureConnection(ctx); !errors.Is(err, db.ErrNoScope) {
			t.Errorf("after New, the site's context is in a scope: %v", err)
		}
	})
}

func TestNew_AnAppThatIsNotReady(t *testing.T) {
	t.Parallel()
	_, err := app.New(anyHost(), app.Options{
		Logger: slog.New(slog.DiscardHandler),
		Apps: []app.App{{Name: "one", Ready: func(*app.Site) error { return errScene }}, {Name: "two", Ready: func(*app.Site) error {
			t.Error("the next app is readied")
			return nil
		}}},
	})
	if !errors.Is(err, errScene) || err.Error() != `app: app "one": is not ready: the scene fails` {
		t.Errorf("New says %v", err)
	}
}

func TestNew_HandsOnConnectToEachSession(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		var prepared []string
		site := newSite(t, withDatabase(settings), app.Options{
			OnConnect: func(ctx context.Context, alias string, session bun.IConn) error {
				prepared = append(prepared, alias)
				_, err := session.ExecContext(ctx, "SELECT 1")
				return err
			},
			Routes: oneRoute(afterQuery(views.Text{Body: "in"}, nil)),
		})
		get(site, "/")
		equal(t, "prepared", strings.Join(prepared, " "), "default")
	})
}

func TestSite_Check(t *testing.T) {
	t.Parallel()
	site := newSite(t, anyHost(), app.Options{Apps: []app.App{
		{Name: "one", Checks: []app.Check{
			func(s *app.Site) []app.Problem {
				return []app.Problem{{ID: "one.W001", Level: slog.LevelWarn, Message: s.Settings().Listen, Hint: "none"}}
			},
			func(*app.Site) []app.Problem { return nil },
		}},
		{Name: "two", Checks: []app.Check{func(*app.Site) []app.Problem { return []app.Problem{{ID: "two.E001"}} }}},
	}})
	var ids []string
	for _, p := range site.Check() {
		ids = append(ids, p.ID)
	}
	equal(t, "the problems", strings.Join(ids, " "), "one.W001 two.E001")
}

func TestFrom(t *testing.T) {
	t.Parallel()
	if app.From(t.Context()) != nil {
		t.Error("a site came from nowhere")
	}
	var inView, inTask, inReceiver *app.Site
	site := newSite(t, anyHost(), app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
		inView = app.From(r.Context())
		return views.NoContent{}, db.Run(r.Context(), "task", func(ctx context.Context) error {
			inTask = app.From(ctx)
			return nil
		})
	})})
	site.Bus().RequestFinished.Connect(func(ctx context.Context, _ signals.RequestFinished) error {
		inReceiver = app.From(ctx)
		return nil
	})
	get(site, "/")
	if inView != site || inTask != site || inReceiver != site || app.From(site.Context()) != site {
		t.Error("the site is not found everywhere")
	}
}

// Must show 10: two sites in one process do not meet.
func TestTwoSites(t *testing.T) {
	t.Parallel()
	dbtest.Goroutines(t)
	var sites []*app.Site
	for i, settings := range []app.Settings{
		{AllowedHosts: []string{"one.example"}, MaxBody: 1},
		{AllowedHosts: []string{"two.example"}, Debug: true, NoAppendSlash: true},
	} {
		settings.Databases = map[string]db.Settings{"default": {Engine: "sqlite", Name: ":memory:"}}
		body := fmt.Sprint("site ", i+1)
		site, err := app.New(settings, app.Options{Engines: engines(), Logger: slog.New(slog.DiscardHandler), Routes: func(s *app.Site) {
			s.GET("/table", func(r *views.Request) (views.Response, error) {
				_, err := db.From(r.Context()).NewRaw("CREATE TABLE t (x int)").Exec(r.Context())
				return views.Text{Body: body}, err
			})
			s.POST("/body", readsBody)
			s.GET("/slash/", text(body))
		}})
		if err != nil {
			t.Fatal(err)
		}
		sites = append(sites, site)
	}
	var heard []string
	for i, site := range sites {
		site.Bus().RequestFinished.Connect(func(_ context.Context, e signals.RequestFinished) error {
			heard = append(heard, fmt.Sprint(i+1, " ", e.Request.URL.Path, " ", e.Status))
			return nil
		})
	}
	one, two := host("one.example"), host("two.example")
	equal(t, "one's answer", get(sites[0], "/table", one).Body.String(), "site 1")
	equal(t, "two's answer", get(sites[1], "/table", two).Body.String(), "site 2") // the same table, another database
	get(sites[1], "/table", one)
	ask(sites[0], "POST", "/body", strings.NewReader("xx"), one)
	ask(sites[1], "POST", "/body", strings.NewReader("xx"), two)
	get(sites[0], "/slash", one)
	get(sites[1], "/slash", two)
	equal(t, "what was heard", strings.Join(heard, ", "),
		"1 /table 200, 2 /table 200, 2 /table 400, 1 /body 413, 2 /body 200, 1 /slash 301, 2 /slash 404")
	if err := sites[0].Close(); err != nil {
		t.Error(err)
	}
	equal(t, "the closed one", get(sites[0], "/slash/", one).Code, 503)
	equal(t, "the other one", get(sites[1], "/slash/", two).Code, 200)
	if err := sites[1].Close(); err != nil {
		t.Error(err)
	}
}

func TestSite_ClosesOnceAndRefusesAfterwards(t *testing.T) {
	t.Parallel()
	s := play(t, withDatabase(db.Settings{Engine: "sqlite", Name: ":memory:"}), app.Options{Routes: oneRoute(text("in"))})
	for range 3 {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	w := get(s, "/")
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("the answer is %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	if len(s.started.Events()) != 1 || len(s.finished.Events()) != 1 || len(s.failed.Events()) != 0 {
		t.Errorf("started %d, finished %d, failed %d", len(s.started.Events()), len(s.finished.Events()), len(s.failed.Events()))
	}
	if err := s.Connections().Run(t.Context(), "late", func(ctx context.Context) error { return db.From(ctx).EnsureConnection(ctx) }); !errors.Is(err, db.ErrClosed) {
		t.Errorf("a late query says %v", err)
	}
}
