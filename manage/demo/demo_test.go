package demo_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
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
	sqldb, err := conns.SQLDB(db.DefaultAlias)
	if err != nil {
		return err
	}
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

// engines runs a test on a filled database of each engine.
func engines(t *testing.T, run func(t *testing.T, settings db.Settings)) {
	t.Parallel()
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			run(t, filled.Database(t, engine))
		})
	}
}

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

// get asks the site without a network between.
func get(t *testing.T, site http.Handler, target string) (status int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	r.Host = "localhost"
	r.Header.Set("Accept", "text/html")
	site.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestEveryPageAnswers(t *testing.T) {
	engines(t, func(t *testing.T, settings db.Settings) {
		site := newSite(t, settings)
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
	})
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	t.Parallel()
	site := newSite(t, filled.Database(t, dbtest.SQLite))
	for _, target := range []string{"/nope", "/sales/0/", "/static/nope.css"} {
		if status, body := get(t, site, target); status != http.StatusNotFound || !strings.Contains(body, "Nothing here") {
			t.Errorf("%s: status %d\n%s", target, status, body)
		}
	}
}

func TestWrongParametersAreExplained(t *testing.T) {
	t.Parallel()
	site := newSite(t, filled.Database(t, dbtest.SQLite))
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
	engines(t, func(t *testing.T, settings db.Settings) {
		site := newSite(t, settings)
		server := httptest.NewServer(site)
		defer server.Close()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/ticks", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if got := response.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/event-stream") {
			t.Errorf("Content-Type is %q", got)
		}
		lines := bufio.NewScanner(response.Body)
		for n := 0; n < 2 && lines.Scan(); {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			n++
			var tick struct {
				Time        time.Time
				Connections struct{ Max, InUse int }
				Sale        *struct{ Product, Region, Total string }
			}
			if err := json.Unmarshal([]byte(data), &tick); err != nil {
				t.Fatal(err)
			}
			if tick.Sale == nil || tick.Sale.Region == "" || tick.Connections.Max != site.Connections().Stats(db.DefaultAlias).Max {
				t.Errorf("tick %s", data)
			}
			if now := site.Connections().Stats(db.DefaultAlias); now.InUse != 0 {
				t.Errorf("%d connections in use between two ticks", now.InUse)
			}
		}
		if err := lines.Err(); err != nil {
			t.Error(err)
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
