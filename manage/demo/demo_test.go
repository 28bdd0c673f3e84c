package demo_test

import (
	"context"
	"encoding/json"
	"errors"
	"html"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/apptest"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/migrate"
	"github.com/goquintet/quintet/manage/demo"
	"github.com/goquintet/quintet/manage/demo/sales"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// filled is the database of the demo after its first start.
var filled = dbtest.NewTemplate(func(ctx context.Context, conns *db.Connections) (err error) {
	settings, _ := conns.Settings(db.DefaultAlias)
	sqldb := conns.SQLDB(db.DefaultAlias)
	defer func() { err = errors.Join(err, sqldb.Close()) }()
	migrator, err := migrate.New(sqldb, settings.Engine, []migrate.Source{{App: "sales", FS: sales.App().Migrations}}, migrate.Options{})
	if err != nil {
		return err
	}
	if _, err := migrator.Up(ctx, nil); err != nil {
		return err
	}
	return sales.Seed(ctx, slog.New(slog.DiscardHandler))
})

func newSite(t *testing.T, settings db.Settings) *app.Site {
	t.Helper()
	site, err := demo.NewWith(app.Settings{
		Debug: true, LogLevel: slog.LevelError + 1, Databases: map[string]db.Settings{db.DefaultAlias: settings},
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

// debugging is the site as "runserver" shows it, with its static files.
func debugging() apptest.Option {
	return apptest.Settings(func(s *app.Settings) { s.Debug, s.LogLevel = true, slog.LevelError+1 })
}

// get asks the site for a page. None is sent with a connection in hand, but the one
// that says so.
func get(t *testing.T, site *apptest.Site, target string) (status int, body string) {
	t.Helper()
	r := site.Client.Get(target, apptest.Header("Accept", "text/html"))
	if kept := strings.Contains(target, "keep=yes"); r.ReleasedBeforeBody == kept || r.Broken != nil {
		t.Errorf("%s: released %v, held %v, %v", target, r.ReleasedBeforeBody, r.Held, r.Broken)
	}
	return r.StatusCode, r.Text()
}

func TestEveryPageAnswers(t *testing.T) {
	t.Parallel()
	apptest.Engines(t, demo.New, func(t *testing.T, site *apptest.Site) {
		for target, wants := range map[string][]string{
			"/":                       {"A slow client holds no connection.", `data-live="in_use" aria-live="off">0<`, `href="/sales/export.csv"`},
			"/clock/":                 {`data-ticks="/ticks"`},
			"/sales/":                 {"All regions <small>30,000</small>", `<a href="/sales/30000/">`, `href="/sales/?before=29976"`},
			"/sales/?region=lakes":    {"<h1>Sales in Lakes</h1>", `aria-current="page">Lakes`, `href="/sales/export.csv?region=lakes"`},
			"/sales/1/":               {"<h1>Sale 1</h1>", "<dd>Clarinet reeds, ten</dd>", "Thursday, 2 January 2025, 09:07"},
			"/static/demo.css":        {"prefers-color-scheme: dark"},
			"/slow?chunks=2&delay=1":  {"chunk 1 of 2 about 8 regions\nchunk 2 of 2 about 8 regions\n"},
			"/slow?chunks=1&keep=yes": {"chunk 1 of 1"},
		} {
			status, body := get(t, site, target)
			if status != http.StatusOK {
				t.Errorf("%s: status %d\n%s", target, status, body)
			}
			for _, want := range wants {
				if !strings.Contains(body, want) {
					t.Errorf("%s has no %q:\n%s", target, want, body)
				}
			}
		}
	}, debugging())
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	t.Parallel()
	for want, options := range map[string][]apptest.Option{"Nothing here": nil, "because DEBUG is true": {debugging()}} {
		t.Run(want, func(t *testing.T) {
			site := apptest.New(t, demo.New, options...)
			for _, target := range []string{"/nope", "/sales/0/", "/static/nope.css"} {
				if status, body := get(t, site, target); status != http.StatusNotFound || !strings.Contains(body, want) {
					t.Errorf("%s: status %d\n%s", target, status, body)
				}
			}
		})
	}
}

func TestWrongParametersAreExplained(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, demo.New)
	for target, want := range map[string]string{
		"/slow?chunks=x":              `chunks="x" is no whole number from 1 to 10000.`,
		"/slow?chunks=0":              `chunks="0" is no whole number from 1 to 10000.`,
		"/slow?chunks=10001":          `chunks="10001" is no whole number from 1 to 10000.`,
		"/slow?delay=soon":            `delay="soon" is no time from 0 to 10s, such as 50ms.`,
		"/slow?delay=-1s":             `delay="-1s" is no time from 0 to 10s, such as 50ms.`,
		"/slow?delay=1h":              `delay="1h" is no time from 0 to 10s, such as 50ms.`,
		"/slow?delay=10001":           `delay="10001" is no time from 0 to 10s, such as 50ms.`,
		"/slow?chunks=10000&delay=1s": `10000 chunks with 1s between them take 2h46m39s; 10m0s is the most.`,
	} {
		status, body := get(t, site, target)
		if status != http.StatusBadRequest || !strings.Contains(html.UnescapeString(body), want) {
			t.Errorf("%s: status %d, want 400 and %q:\n%s", target, status, want, body)
		}
	}
}

func TestTicksHoldNoConnection(t *testing.T) {
	t.Parallel()
	apptest.Engines(t, demo.New, func(t *testing.T, site *apptest.Site) {
		stream := site.Client.Stream("/ticks")
		defer stream.Close()
		if got := stream.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/event-stream") {
			t.Errorf("Content-Type is %q", got)
		}
		n := 0
		for event, err := range stream.Events() {
			if err != nil {
				t.Fatal(err)
			}
			var tick struct {
				Time        time.Time
				Connections struct{ Max, InUse int }
				Sale        *struct{ Product, Region, Total string }
			}
			if err := json.Unmarshal([]byte(event.Data), &tick); err != nil {
				t.Fatal(err)
			}
			now := site.Connections().Stats(db.DefaultAlias)
			if tick.Sale == nil || tick.Sale.Region == "" || tick.Connections.Max != now.Max {
				t.Errorf("tick %s", event.Data)
			}
			if now.InUse != 0 || !stream.ReleasedBeforeBody {
				t.Errorf("%d connections in use between two ticks, held %v", now.InUse, stream.Held)
			}
			if n++; n == 2 {
				break
			}
		}
	})
}

// TestTheWelcomePageShowsTheCodeThatRuns: what visitors read is in the source.
func TestTheWelcomePageShowsTheCodeThatRuns(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("templates/home.html")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("sales/export.go")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(page), "<pre tabindex=\"0\"><code>")
	shown, _, _ = strings.Cut(shown, "</code>")
	if shown == "" || !strings.Contains(string(source), html.UnescapeString(shown)) {
		t.Errorf("sales/export.go does not have what the page shows:\n%s", shown)
	}
}
