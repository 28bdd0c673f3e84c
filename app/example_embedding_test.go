package app_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/views"
)

// How does a site live in a program that has a mux of its own?
func Example_embedding() {
	site, err := app.New(app.Settings{AllowedHosts: []string{"example.com"}}, app.Options{
		Logger: slog.New(slog.DiscardHandler),
		Routes: func(site *app.Site) {
			site.GET("/orders/{id}", func(r *views.Request) (views.Response, error) {
				path, err := r.Reverse("order", r.PathValue("id"))
				return views.Text{Body: "the shop's " + path}, err
			}, app.Name("order"))
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	legacy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, "legacy, within ", app.From(r.Context()) == site)
	})

	mux := http.NewServeMux()
	mux.Handle("/shop/", http.StripPrefix("/shop", site))
	mux.Handle("/legacy/", site.Wrap(legacy)) // signals, scope and release for a foreign handler

	for _, path := range []string{"/shop/orders/7", "/legacy/"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Println(w.Code, w.Body)
	}
	fmt.Println(site.Close())
	// Output:
	// 200 the shop's /shop/orders/7
	// 200 legacy, within true
	// <nil>
}
