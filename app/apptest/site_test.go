package apptest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/apptest"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/sqlite"
	"github.com/goquintet/quintet/views"
)

// recorder is a test that may fail without failing this one.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	errors   []string
	cleanups []func()
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) { r.Error(fmt.Sprintf(format, args...)) }

func (r *recorder) Fatal(args ...any) { r.Error(args...); runtime.Goexit() }

func (r *recorder) Fatalf(format string, args ...any) { r.Fatal(fmt.Sprintf(format, args...)) }

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func (r *recorder) Error(args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, fmt.Sprint(args...))
}

// failures runs a test to its end and returns what it complained of.
func failures(t testing.TB, test func(t testing.TB)) string {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for i := len(r.cleanups) - 1; i >= 0; i-- {
				r.cleanups[i]()
			}
		}()
		test(r)
	}()
	<-done
	return strings.Join(r.errors, "\n")
}

func mentions(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
}

func TestNew_SaysWhyThereIsNoSite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		newSite func() (*app.Site, error)
		want    string
	}{
		"an error":          {func() (*app.Site, error) { return nil, errSpilt }, "the ink is spilt"},
		"nothing":           {func() (*app.Site, error) { return nil, nil }, "neither a site nor an error"},
		"another goroutine": {elsewhere, "in the goroutine of its caller"},
	} {
		text := failures(t, func(t testing.TB) { apptest.New(t, c.newSite) })
		if !strings.Contains(text, c.want) {
			t.Errorf("%s: %q, want %q", name, text, c.want)
		}
	}
	text := failures(t, func(t testing.TB) { apptest.New(t, on(dbtest.SQLite, urls), apptest.Databases("replica")) })
	mentions(t, text, `"replica"`, "the site has default")
}

func elsewhere() (site *app.Site, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		site, err = app.New(app.Settings{}, app.Options{})
	}()
	<-done
	return site, err
}

func TestNew_TheSettingsAreThoseOfATestAndWhatItChanges(t *testing.T) {
	t.Parallel()
	newSite := func() (*app.Site, error) {
		return app.New(app.Settings{Debug: true, MaxStreams: 7, StaticURL: "/files/"}, app.Options{})
	}
	site := apptest.New(t, newSite, apptest.Settings(func(s *app.Settings) { s.MaxStreams = 8 }))
	if s := site.Settings(); s.Debug || s.MaxStreams != 8 || s.StaticURL != "/files/" {
		t.Errorf("settings %v", s)
	}
	other, err := newSite() // made by somebody else, it is what it is
	if err != nil {
		t.Fatal(err)
	}
	if s := other.Settings(); !s.Debug || s.MaxStreams != 7 {
		t.Errorf("settings of another site %v", s)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
}

// A Ready that queries finds the database of the test.
func TestNew_ReadyRunsOnTheDatabaseOfTheTest(t *testing.T) {
	t.Parallel()
	newSite := func() (*app.Site, error) {
		a := notes()
		a.Ready = func(site *app.Site) error {
			if err := insert(site.Context(), "ready"); err != nil && !strings.Contains(err.Error(), "no such table") {
				return err
			}
			return nil
		}
		return app.New(
			app.Settings{Databases: map[string]db.Settings{db.DefaultAlias: {Engine: dbtest.SQLite, Name: "/nowhere/at/all"}}},
			app.Options{Engines: []db.Engine{sqlite.Engine{}}, Apps: []app.App{a}})
	}
	site := apptest.New(t, newSite)
	if n, err := count(site.Context); n != 1 || err != nil {
		t.Errorf("%d notes, %v", n, err)
	}
}

func samples() apptest.Option {
	return apptest.Fixture(func(ctx context.Context) error {
		if app.From(ctx) == nil {
			return errors.New("a fixture is on no site")
		}
		return insert(ctx, "sample")
	})
}

func TestFixture_IsThereWhenATestBeginsAndAsItWas(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			fixture := samples()
			for range 2 {
				t.Run("a test", func(t *testing.T) {
					site := apptest.New(t, on(engine, urls), fixture)
					if r := site.Client.Get("/"); r.Text() != "<ul><li>sample</li></ul>" {
						t.Errorf("%q, %v", r.Text(), r.Err)
					}
					if err := insert(site.Context, "mine"); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

func TestDatabases_AnAliasThatNobodyAskedForIsFenced(t *testing.T) {
	t.Parallel()
	two := func() (*app.Site, error) {
		return app.New(
			app.Settings{Databases: map[string]db.Settings{"default": {Engine: "sqlite", Name: "a"}, "replica": {Engine: "sqlite", Name: "b"}}},
			app.Options{Engines: []db.Engine{sqlite.Engine{}}, Apps: []app.App{notes()}})
	}
	use := func(site *apptest.Site, alias string) error {
		_, err := db.Using(site.Context, alias).ExecContext(site.Context, "INSERT INTO notes (text) VALUES ('x')")
		return err
	}
	site := apptest.New(t, two)
	if err := use(site, "replica"); !errors.Is(err, dbtest.ErrFenced) || !strings.Contains(err.Error(), t.Name()) || !strings.Contains(err.Error(), `"replica"`) {
		t.Errorf("%v, want ErrFenced with both names", err)
	}
	if err := use(site, "default"); err != nil {
		t.Error(err)
	}
	for _, aliases := range [][]string{{"default", "replica"}, {apptest.AllDatabases}} {
		t.Run(aliases[0], func(t *testing.T) {
			both := apptest.New(t, two, apptest.Databases(aliases...))
			for _, alias := range []string{"default", "replica"} {
				if err := use(both, alias); err != nil {
					t.Error(err)
				}
			}
		})
	}
	t.Run("the default one is fenced as well", func(t *testing.T) {
		other := apptest.New(t, two, apptest.Databases("replica"))
		if err := use(other, "default"); !errors.Is(err, dbtest.ErrFenced) {
			t.Errorf("%v, want ErrFenced", err)
		}
	})
}

func TestQueries_AreThoseOfTheSiteMeanwhile(t *testing.T) {
	onEach(t, urls, func(t *testing.T, site *apptest.Site) {
		var inner []apptest.Query
		outer := site.Queries(func() {
			if err := insert(site.Context, "a"); err != nil {
				t.Error(err)
			}
			inner = site.Queries(func() { site.Client.Get("/") })
			err := db.From(site.Context).RunInTx(site.Context, nil, nothing)
			if err != nil {
				t.Error(err)
			}
		})
		if len(inner) != 1 || len(outer) != 4 || outer[1].SQL != inner[0].SQL || outer[2].SQL != "BEGIN" || outer[3].SQL != "COMMIT" {
			t.Errorf("inner %v, outer %v", inner, outer)
		}
		if len(site.Queries(func() {})) != 0 {
			t.Error("nothing is something")
		}
	})
}

func TestNew_TheEndFailsATestThatLeavesSomething(t *testing.T) {
	t.Parallel()
	forgotten := make(chan struct{})
	defer close(forgotten)
	var all sync.WaitGroup
	routes := func(site *app.Site) {
		urls(site)
		site.GET("/leak", func(r *views.Request) (views.Response, error) {
			_, err := db.From(r.Context()).QueryContext(r.Context(), "SELECT 1")
			return views.Text{Body: "leak"}, err
		})
		site.GET("/forgets", func(r *views.Request) (views.Response, error) {
			go func() { <-forgotten }()
			return views.Text{Body: "forgot"}, nil
		})
	}
	for name, c := range map[string]struct {
		test  func(t testing.TB, site *apptest.Site)
		wants []string
	}{
		"nothing": {func(t testing.TB, site *apptest.Site) { site.Client.Get("/") }, nil},
		"a stream": {func(t testing.TB, site *apptest.Site) { site.Client.Stream("/export") },
			[]string{"the stream GET /export, opened at apptest/site_test.go:", "neither read to its end nor closed"}},
		"rows of the test": {func(t testing.TB, site *apptest.Site) {
			if _, err := db.From(site.Context).QueryContext(site.Context, "SELECT 1"); err != nil {
				t.Error(err)
			}
		}, []string{"the test has left something open", "SELECT ?", "apptest/site_test.go:"}},
		"rows of a request": {func(t testing.TB, site *apptest.Site) { site.Client.Get("/leak") },
			[]string{"GET /leak", `the rows of "SELECT ?" at apptest/site_test.go:`}},
		"a transaction": {func(t testing.TB, site *apptest.Site) {
			if _, err := db.From(site.Context).BeginTx(site.Context, nil); err != nil {
				t.Error(err)
			}
		}, []string{"in a transaction", "apptest/site_test.go:"}},
		"a scope": {func(t testing.TB, site *apptest.Site) {
			ctx, _ := site.Connections().NewScope(site.Context, "forgotten")
			if _, err := count(ctx); err != nil {
				t.Error(err)
			}
		}, []string{"is still leased: forgotten", "notes_test.go:"}},
		"a goroutine of a request": {func(t testing.TB, site *apptest.Site) { site.Client.Get("/forgets") },
			[]string{"goroutines of this test are left", "site_test.go:"}},
	} {
		all.Go(func() {
			hurry := apptest.Settings(func(s *app.Settings) { s.CleanupTimeout = 100 * time.Millisecond })
			text := failures(t, func(t testing.TB) { c.test(t, apptest.New(t, on(dbtest.SQLite, routes), hurry)) })
			if c.wants == nil && text != "" {
				t.Errorf("%s: %s", name, text)
			}
			for _, want := range c.wants {
				if !strings.Contains(text, want) {
					t.Errorf("%s: no %q in %q", name, want, text)
				}
			}
		})
	}
	all.Wait()
}

func nothing(context.Context, bun.Tx) error { return nil }
