package app_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/sqlite"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
)

// When does the database connection of a stream go back?
func Example_streaming() {
	settings := app.Settings{
		AllowedHosts: []string{"127.0.0.1"},
		Databases:    map[string]db.Settings{"default": {Engine: "sqlite", Name: ":memory:"}},
	}
	site, err := app.New(settings, app.Options{
		Engines: []db.Engine{sqlite.Engine{}},
		Logger:  slog.New(slog.DiscardHandler),
		Routes: func(site *app.Site) {
			site.GET("/export.csv", func(r *views.Request) (views.Response, error) {
				ctx := r.Context()
				var rows int
				if err := db.From(ctx).NewRaw("SELECT 3").Scan(ctx, &rows); err != nil {
					return nil, err
				}
				fmt.Println("the view holds", site.Connections().Stats("default").InUse)
				return views.StreamingResponse{
					ContentType: "text/csv",
					Body: func(yield func([]byte, error) bool) {
						fmt.Println("the generator holds", site.Connections().Stats("default").InUse)
						for i := range rows {
							if !yield(fmt.Appendf(nil, "row %d\n", i+1), nil) {
								return
							}
						}
					},
				}, nil
			})
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	finished := make(chan signals.RequestFinished, 1)
	site.Bus().RequestFinished.Connect(func(_ context.Context, e signals.RequestFinished) error {
		finished <- e
		return nil
	})
	server := httptest.NewServer(site)
	defer server.Close()

	response, err := server.Client().Get(server.URL + "/export.csv")
	if err != nil {
		fmt.Println(err)
		return
	}
	body, err := io.ReadAll(response.Body)
	fmt.Print(string(body))
	e := <-finished
	fmt.Println(e.Route, e.Status, e.Bytes, e.Err, err, response.Body.Close(), site.Close())
	// Output:
	// the view holds 1
	// the generator holds 0
	// row 1
	// row 2
	// row 3
	// GET /export.csv 200 18 <nil> <nil> <nil> <nil>
}
