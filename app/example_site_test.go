package app_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/views"
)

// What does a site look like?
func Example_site() {
	polls := app.App{Name: "polls", Routes: func(g *app.Group) {
		g.GET("/", func(r *views.Request) (views.Response, error) {
			first, err := r.Reverse("poll", 1)
			return views.Text{Body: "the first poll is at " + first}, err
		})
		g.GET("/{id}", func(r *views.Request) (views.Response, error) {
			if r.PathValue("id") != "1" {
				return nil, views.ErrNotFound
			}
			return views.JSON{Value: map[string]string{"poll": r.PathValue("id")}}, nil
		}, app.Name("poll"))
	}}
	site, err := app.New(app.Settings{AllowedHosts: []string{"example.com"}}, app.Options{
		Apps:   []app.App{polls},
		Logger: slog.New(slog.DiscardHandler),
		Routes: func(site *app.Site) {
			site.Include("/polls", polls)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() {
		if err := site.Close(); err != nil {
			fmt.Println(err)
		}
	}()

	for _, path := range []string{"/polls/", "/polls/1", "/polls/2", "/polls"} {
		w := httptest.NewRecorder()
		site.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Println(w.Code, w.Header().Get("Location"), w.Body)
	}
	// Output:
	// 200  the first poll is at /polls/1
	// 200  {"poll":"1"}
	// 404  404 Not Found
	//
	// 301 /polls/
}
