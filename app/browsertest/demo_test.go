package browsertest

import (
	"log/slog"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/apptest"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/manage/demo"
)

// The demo's first page has its styles, and nothing that the browser complains about.
func TestTheFirstPageOfTheDemo(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, func() (*app.Site, error) {
		return demo.NewWith(app.Settings{Databases: map[string]db.Settings{db.DefaultAlias: {Engine: dbtest.SQLite, Name: ":memory:"}}})
	}, apptest.Settings(func(s *app.Settings) { s.Debug, s.LogLevel = true, slog.LevelError+1 })) // with its static files
	// The first query fills the database, which a busy machine takes its time for, and
	// which nobody cancels: it is not to be one of a stream.
	if r := site.Client.Get("/sales/"); r.StatusCode != http.StatusOK {
		t.Fatal(r.Status, r.Err)
	}
	url := site.LiveServer().URL
	for name, s := range map[string]screen{"light": desktop(), "dark": {width: 390, height: 844, dark: true}} {
		t.Run(name, func(t *testing.T) {
			page := browser(t, s)
			do(t, page, chromedp.Navigate(url), chromedp.WaitVisible("h1"))
			if wide := see(t, page, chromedp.Evaluate[bool]("document.documentElement.scrollWidth > innerWidth")); wide {
				t.Error("the page is wider than its window")
			}
			screenshot(t, page, "demo-"+name)
		})
	}
}
