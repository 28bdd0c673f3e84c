package sales_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/apptest"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/sqlite"
	"github.com/goquintet/quintet/manage/demo/sales"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// TestSales tests the app without the site that it was written for: a small one
// includes it somewhere else.
func TestSales(t *testing.T) {
	t.Parallel()
	apptest.Engines(t, newSite, func(t *testing.T, site *apptest.Site) {
		t.Run("the list begins with the newest", func(t *testing.T) {
			page := get(t, site, "/shop/", http.StatusOK)
			contains(t, page, `<a href="/shop/30000/">30000</a>`, `<a href="/shop/29976/">29976</a>`, `href="/shop/?before=29976">Older</a>`)
			if strings.Contains(page, ">29975</a>") || strings.Contains(page, "Newest") {
				t.Errorf("the first page is not the first:\n%s", page)
			}
		})
		t.Run("the list ends with the oldest", func(t *testing.T) {
			page := get(t, site, "/shop/?before=26", http.StatusOK)
			contains(t, page, `<a href="/shop/25/">25</a>`, `<a href="/shop/1/">1</a>`, `<a href="/shop/">Newest</a>`)
			if strings.Contains(page, "Older") {
				t.Errorf("the last page is not the last:\n%s", page)
			}
		})
		t.Run("the list keeps to a region", func(t *testing.T) {
			page := get(t, site, "/shop/?region=lakes", http.StatusOK)
			contains(t, page, "<h1>Sales in Lakes</h1>", `href="/shop/export.csv?region=lakes"`, `href="/shop/?region=lakes&amp;before=`)
			if strings.Contains(page, "<td>Alps</td>") {
				t.Errorf("the Alps are no lakes:\n%s", page)
			}
		})
		t.Run("a sale has its page", func(t *testing.T) {
			contains(t, get(t, site, "/shop/1/", http.StatusOK),
				"<h1>Sale 1</h1>", "Clarinet reeds, ten", "Thursday, 2 January 2025, 09:07", "<dd>27.00</dd>", "<dd>54.00</dd>", `href="/shop/?region=riviera"`)
		})
		t.Run("what is not there is not found", func(t *testing.T) {
			for _, target := range []string{"/shop/0/", "/shop/30001/", "/shop/x/", "/shop/99999999999999999999/", "/shop/?region=moon", "/shop/export.csv?region=moon"} {
				get(t, site, target, http.StatusNotFound)
			}
		})
		t.Run("the list explains what it does not understand", func(t *testing.T) {
			for _, before := range []string{"yesterday", "-1", "0", "9999999999999999999"} {
				contains(t, get(t, site, "/shop/?before="+before, http.StatusBadRequest), fmt.Sprintf("before=%q is no number of a sale.", before))
			}
		})
		t.Run("the export has every sale", func(t *testing.T) {
			all := get(t, site, "/shop/export.csv", http.StatusOK)
			lines := strings.Split(strings.TrimSuffix(all, "\n"), "\n")
			if len(lines) != 1+sales.Amount {
				t.Fatalf("%d lines, want a header and %d sales", len(lines), sales.Amount)
			}
			contains(t, lines[0], "id,sold_at,region,product,quantity,unit_price")
			contains(t, lines[1], `1,2025-01-02T09:07:21Z,Riviera,"Clarinet reeds, ten",2,27.00`)
			contains(t, lines[sales.Amount], "30000,2026-")
			lakes := get(t, site, "/shop/export.csv?region=lakes", http.StatusOK)
			if n := strings.Count(lakes, ",Lakes,"); n == 0 || n != strings.Count(lakes, "\n")-1 || n != strings.Count(all, ",Lakes,") {
				t.Errorf("the export of Lakes has %d of them in %d lines, the whole one %d", n, strings.Count(lakes, "\n"), strings.Count(all, ",Lakes,"))
			}
		})
		t.Run("a second seed changes nothing", func(t *testing.T) {
			ctx := site.Context
			if err := sales.Seed(ctx, slog.New(slog.DiscardHandler)); err != nil {
				t.Error(err)
			}
			n, err := db.From(ctx).NewSelect().Model((*sales.Sale)(nil)).Count(ctx)
			if n != sales.Amount || err != nil {
				t.Errorf("%d sales, %v", n, err)
			}
		})
	})
}

func TestCents(t *testing.T) {
	t.Parallel()
	for cents, want := range map[sales.Cents][2]string{
		0: {"0.00", "0.00"}, 5: {"0.05", "0.05"}, 99_999: {"999.99", "999.99"}, 100_000: {"1000.00", "1,000.00"}, 123_456_789_00: {"123456789.00", "123,456,789.00"},
	} {
		if cents.String() != want[0] || cents.Grouped() != want[1] {
			t.Errorf("%d cents are %s and %s, want %q", int64(cents), cents, cents.Grouped(), want)
		}
	}
}

// newSite makes a site around the app. Its migrations fill its tables.
func newSite() (*app.Site, error) {
	return app.New(
		app.Settings{LogLevel: slog.LevelError + 1, Databases: map[string]db.Settings{db.DefaultAlias: {Engine: dbtest.SQLite, Name: "sales"}}},
		app.Options{
			Engines:   []db.Engine{sqlite.Engine{}, postgres.Engine{}},
			Apps:      []app.App{sales.App()},
			Routes:    func(site *app.Site) { site.Include("/shop", sales.App()) },
			Templates: fstest.MapFS{"base.html": {Data: []byte(`{{block "main" .}}{{end}}`)}},
		})
}

// get asks the site for a page. None is sent with a connection in hand.
func get(t *testing.T, site *apptest.Site, target string, status int) string {
	t.Helper()
	r := site.Client.Get(target)
	if r.StatusCode != status || !r.ReleasedBeforeBody || r.Broken != nil {
		t.Errorf("%s: status %d, want %d; %v, %v, held %v\n%s", target, r.StatusCode, status, r.Err, r.Broken, r.Held, r.Text())
	}
	return r.Text()
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
}
