package apptest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/apptest"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/sqlite"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/signals/signalstest"
	"github.com/goquintet/quintet/views"
)

// Django's tests of its test client, its test cases and its live server, by their
// names there. app/DJANGO.md lists them.

// mustCount is one query.
func mustCount(t *testing.T, site *apptest.Site) {
	t.Helper()
	if _, err := count(site.Context); err != nil {
		t.Error(err)
	}
}

func TestAssertNumQueries_AssertNumQueries(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, on(dbtest.SQLite, urls))
	func() {
		defer func() {
			if recover() != "raised" {
				t.Error("the panic was kept")
			}
		}()
		site.Queries(func() { panic("raised") })
	}()
	if n := len(site.Queries(func() { mustCount(t, site) })); n != 1 {
		t.Errorf("%d queries after it", n)
	}
}

func TestAssertNumQueries_WithClient(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, on(dbtest.SQLite, urls))
	for _, n := range []int{1, 2} {
		got := len(site.Queries(func() {
			for range n {
				site.Client.Get("/")
			}
		}))
		if got != n {
			t.Errorf("%d queries, want %d", got, n)
		}
	}
}

func TestAssertNumQueriesContextManager_Simple(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, on(dbtest.SQLite, urls))
	for want := range 3 {
		got := site.Queries(func() {
			for range want {
				mustCount(t, site)
			}
		})
		if len(got) != want {
			t.Errorf("%d queries, want %d", len(got), want)
		}
	}
}

func TestAssertNumQueriesContextManager_WithClientNested(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, on(dbtest.SQLite, urls))
	var inner, both int
	outer := len(site.Queries(func() {
		site.Client.Get("/")
		inner = len(site.Queries(func() { site.Client.Get("/") }))
		both = len(site.Queries(func() { site.Client.Get("/"); site.Client.Get("/") }))
	}))
	if inner != 1 || both != 2 || outer != 4 {
		t.Errorf("%d, %d and %d queries, want 1, 2 and 4", inner, both, outer)
	}
}

func TestCaptureQueriesContextManager_Simple(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, on(dbtest.SQLite, urls))
	got := site.Queries(func() { mustCount(t, site) })
	if len(got) != 1 || !strings.Contains(got[0].SQL, "notes") || got[0].Alias != db.DefaultAlias || got[0].Err != nil {
		t.Errorf("%+v", got)
	}
}

func TestCaptureQueriesContextManager_Failure(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, on(dbtest.SQLite, urls))
	var err error
	got := site.Queries(func() { _, err = db.From(site.Context).ExecContext(site.Context, "SELECT nonsense") })
	if err == nil || len(got) != 1 || !errors.Is(err, got[0].Err) {
		t.Errorf("%v, queries %+v", err, got)
	}
}

// A fixture that fails leaves neither a template nor a transaction.
func TestBadSetUpTestData_FailureShouldRollbackTransaction(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			calls := 0
			fixture := apptest.Fixture(func(ctx context.Context) error {
				if calls++; calls == 1 {
					return db.Atomic(ctx, func(ctx context.Context) error { return errors.Join(insert(ctx, "half"), errSpilt) })
				}
				return nil
			})
			site := apptest.New(t, on(engine, urls), fixture)
			if _, err := count(site.Context); !errors.Is(err, errSpilt) {
				t.Errorf("%v, want the fixture's", err)
			}
			if n, err := count(site.Context); n != 0 || err != nil {
				t.Errorf("%d notes, %v", n, err)
			}
		})
	}
}

func TestDisallowedDatabaseQueries_DisallowedDatabaseConnections(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, on(dbtest.SQLite, urls), apptest.Databases())
	if err := db.From(site.Context).EnsureConnection(site.Context); !errors.Is(err, dbtest.ErrFenced) {
		t.Errorf("%v, want ErrFenced", err)
	}
	if r := site.Client.Get("/"); !errors.Is(r.Err, dbtest.ErrFenced) || r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d, %v, want ErrFenced", r.StatusCode, r.Err)
	}
	if r := site.Client.Get("/echo"); r.StatusCode != http.StatusOK {
		t.Errorf("a view without a query: status %d, %v", r.StatusCode, r.Err)
	}
}

func TestDisallowedDatabaseQueries_ChunkedCursorQueries(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, on(dbtest.SQLite, urls), apptest.Databases())
	for _, err := range db.Iterate[note](site.Context, db.From(site.Context).NewSelect()) {
		if !errors.Is(err, dbtest.ErrFenced) {
			t.Errorf("%v, want ErrFenced", err)
		}
	}
}

func TestDatabaseAlias_NoCloseMatch(t *testing.T) {
	t.Parallel()
	text := failures(t, func(t testing.TB) { apptest.New(t, on(dbtest.SQLite, urls), apptest.Databases("void")) })
	mentions(t, text, `the alias "void"`, "the site has default")
	if strings.Contains(text, "goroutines") {
		t.Errorf("the site that nobody can use is left: %s", text)
	}
}

func TestLiveServerTestCloseConnection_ClosesConnections(t *testing.T) {
	onEach(t, urls, func(t *testing.T, site *apptest.Site) {
		released := signalstest.Record(t, &site.Bus().ConnectionReleased)
		get(t, site.LiveServer().URL+"/", http.StatusOK)
		released.Wait(1)
		// Ours are given back, and kept where the age says so.
		if s := site.Connections().Stats(db.DefaultAlias); s.InUse != 0 || s.Open != 1 {
			t.Errorf("%+v", s)
		}
	}, apptest.Settings(func(s *app.Settings) {
		database := s.Databases[db.DefaultAlias]
		database.ConnMaxAge = db.Forever
		s.Databases[db.DefaultAlias] = database
	}))
}

func get(t *testing.T, address string, status int) string {
	t.Helper()
	client := &http.Client{}
	defer client.CloseIdleConnections()
	r, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	content, err := io.ReadAll(r.Body)
	if r.StatusCode != status || err != nil {
		t.Errorf("%s: status %d, %q, %v", address, r.StatusCode, content, err)
	}
	return string(content)
}

func TestLiveServerDatabase_FixturesLoaded(t *testing.T) {
	onEach(t, urls, func(t *testing.T, site *apptest.Site) {
		if got := get(t, site.LiveServer().URL+"/", http.StatusOK); got != "<ul><li>sample</li></ul>" {
			t.Errorf("%q", got)
		}
	}, samples())
}

func TestLiveServerDatabase_DatabaseWrites(t *testing.T) {
	onEach(t, urls, func(t *testing.T, site *apptest.Site) {
		get(t, site.LiveServer().URL+"/export?text=emily", http.StatusOK)
		if n, err := count(site.Context); n != 1 || err != nil {
			t.Errorf("%d notes, %v", n, err)
		}
	})
}

func TestLiveServerViews_404(t *testing.T) {
	t.Parallel()
	get(t, apptest.New(t, on(dbtest.SQLite, urls)).LiveServer().URL+"/nowhere", http.StatusNotFound)
}

func TestLiveServerPort_SpecifiedPortBind(t *testing.T) {
	t.Parallel()
	var config net.ListenConfig
	free, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	live := apptest.New(t, on(dbtest.SQLite, urls)).LiveServer(address)
	if live.URL != "http://"+address {
		t.Errorf("%s, want the port of %s", live.URL, address)
	}
	get(t, live.URL+"/", http.StatusOK)
}

func TestLiveServerThreaded_ViewCallsSubview(t *testing.T) {
	var at string
	onEach := func(t *testing.T, engine string) {
		site := apptest.New(t, on(engine, func(site *app.Site) {
			urls(site)
			site.GET("/calls", func(r *views.Request) (views.Response, error) {
				if err := insert(r.Context(), "caller"); err != nil {
					return nil, err
				}
				return views.Text{Body: get(t, at+"/", http.StatusOK)}, nil
			})
		}))
		at = site.LiveServer().URL
		if got := get(t, at+"/calls", http.StatusOK); got != "<ul><li>caller</li></ul>" {
			t.Errorf("%q", got)
		}
	}
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		t.Run(engine, func(t *testing.T) { onEach(t, engine) })
	}
}

func TestHTMLEqual_StreamingResponseNotContainsIdempotent(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, on(dbtest.SQLite, urls))
	r := site.Client.Get("/export")
	for range 2 {
		if strings.Contains(r.Text(), "nonsense") || r.Text() != "exported\n" {
			t.Errorf("%q", r.Text())
		}
		content, err := io.ReadAll(r.Body)
		if err != nil || len(content) > 0 && string(content) != r.Text() {
			t.Errorf("%q, %v", content, err)
		}
	}
}

func TestClient_ResponseAttachedRequest(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, on(dbtest.SQLite, urls))
	r := site.Client.Get("/echo", apptest.Header("Ink", "green"))
	if r.Request.URL.Path != "/echo" || r.Request.Header.Get("Ink") != "green" {
		t.Errorf("%v", r.Request)
	}
	started := apptest.Sent[signals.RequestStarted](r)
	if len(started) != 1 || started[0].Request.Header.Get("Ink") != "green" || started[0].Request.Host != apptest.Host {
		t.Errorf("%+v", started)
	}
}

func TestOverrideSettings_DatabaseEngine(t *testing.T) {
	t.Parallel()
	apptest.Engines(t, on("the site's own", urls), func(t *testing.T, site *apptest.Site) {
		if s, _ := site.Connections().Settings(db.DefaultAlias); !strings.HasSuffix(t.Name(), "/"+s.Engine) {
			t.Errorf("engine %q", s.Engine)
		}
		mustCount(t, site)
	})
}

// What a class has set up for its tests is what each of them finds.
func TestTransactionTestCaseDatabases_QueriesCleared(t *testing.T) {
	t.Parallel()
	newSite := func() (*app.Site, error) {
		return app.New(app.Settings{Debug: true, Databases: map[string]db.Settings{db.DefaultAlias: {Engine: "sqlite", Name: "x"}}},
			app.Options{Engines: []db.Engine{sqlite.Engine{}}, Apps: []app.App{notes()}})
	}
	for i := range 2 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			site := apptest.New(t, newSite, apptest.Settings(func(s *app.Settings) { s.Debug = true }))
			if q := db.From(site.Context).Queries(); len(q) > 0 {
				t.Errorf("%v", q)
			}
			mustCount(t, site)
			if q := db.From(site.Context).Queries(); len(q) != 1 {
				t.Errorf("%v", q)
			}
		})
	}
}
