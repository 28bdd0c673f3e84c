package browsertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/apptest"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/sqlite"
	"github.com/goquintet/quintet/views"
)

// findSale does not find it: the table is another one.
func findSale(ctx context.Context, id string) error {
	var n int
	for range 3 {
		if err := db.From(ctx).NewRaw("SELECT 1 WHERE 1 = ?", 1).Scan(ctx, &n); err != nil {
			return err
		}
	}
	if err := db.From(ctx).NewRaw("SELECT count(*) FROM sale WHERE name = ?", id).Scan(ctx, &n); err != nil {
		return fmt.Errorf("find the sale: %w", err)
	}
	return nil
}

func failingSite(t *testing.T) *apptest.Site {
	t.Helper()
	return apptest.New(t, func() (*app.Site, error) {
		return app.New(app.Settings{SecretKey: "a secret that is not shown", Databases: map[string]db.Settings{db.DefaultAlias: {Engine: dbtest.SQLite, Name: ":memory:"}}}, app.Options{
			Engines: []db.Engine{sqlite.Engine{}}, Routes: func(s *app.Site) {
				s.GET("/", func(*views.Request) (views.Response, error) { return views.Text{Body: "home"}, nil }, app.Name("home"))
				s.GET("/sales/{id}", func(r *views.Request) (views.Response, error) {
					return nil, findSale(r.Context(), r.PathValue("id"))
				}, app.Name("sale"))
				s.GET("/panics", func(r *views.Request) (views.Response, error) {
					votes := strings.Fields(r.Query("votes"))
					return views.Text{Body: votes[7]}, nil
				})
				s.GET("/exhausted", func(*views.Request) (views.Response, error) {
					return nil, errors.Join(errors.New("the export cannot begin"), &db.AcquireError{Alias: "default", Kind: "exhausted", Holders: []db.Holder{
						{Name: "GET /slow", At: "demo/slow.go:12", LastStatement: `SELECT "s"."id" FROM "sales" AS "s" WHERE region = ?`},
					}})
				})
			},
		})
	}, apptest.RealCommits(), apptest.Settings(func(s *app.Settings) { s.Debug, s.LogLevel = true, slog.LevelError+1 }))
}

// What an error says is read on any screen, by keyboard, and without barriers.
func TestTheErrorPage(t *testing.T) {
	t.Parallel()
	url := failingSite(t).LiveServer().URL
	for name, s := range map[string]screen{
		"1280-light": {width: 1280, height: 900}, "1280-dark": {width: 1280, height: 900, dark: true},
		"390-light": {width: 390, height: 844}, "390-dark": {width: 390, height: 844, dark: true},
	} {
		t.Run(name, func(t *testing.T) {
			page := browser(t, s)
			for path, want := range map[string]string{
				"/sales/7?token=1234567": "find the sale", "/panics?votes=1+2": "index out of range", "/exhausted": "give connections back earlier", "/sale": "No route takes",
			} {
				do(t, page, chromedp.Navigate(url+path), chromedp.WaitVisible(chromedp.CSS("footer")))
				if text := see(t, page, chromedp.Evaluate[string]("document.body.innerText")); !strings.Contains(text, want) {
					t.Errorf("%s does not say %q:\n%s", path, want, text)
				}
				if wide := see(t, page, chromedp.Evaluate[bool]("document.documentElement.scrollWidth > innerWidth")); wide {
					t.Errorf("the page of %s is wider than its window", path)
				}
				file := "error-" + strings.Trim(strings.FieldsFunc(path, func(r rune) bool { return r == '?' })[0], "/")
				screenshot(t, page, strings.ReplaceAll(file, "/", "-")+"-"+name)
				// What is folded is opened by keyboard.
				if see(t, page, chromedp.Evaluate[int]("document.querySelectorAll('details').length")) > 0 {
					do(t, page, chromedp.Focus(chromedp.CSS("details:last-of-type summary")), chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.CSS("details[open] .pairs, details[open] .stack")))
				}
				do(t, page, chromedp.Evaluate[chromedp.Void]("document.querySelectorAll('details').forEach(d => d.open = true)"))
				accessible(t, page)
				if wide := see(t, page, chromedp.Evaluate[bool]("document.documentElement.scrollWidth > innerWidth")); wide {
					t.Errorf("the page of %s is wider than its window when all is open", path)
				}
				do(t, page, chromedp.Evaluate[chromedp.Void](`scrollTo(0, document.querySelector("#connections, #request").offsetTop - 20)`))
				screenshot(t, page, strings.ReplaceAll(file, "/", "-")+"-end-"+name)
			}
		})
	}
}
