package app_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/views"
)

// A site below a path: views, redirects, reversed routes and the log all know the
// prefix, and nobody has told it.
func TestEmbedding_UnderAPrefix(t *testing.T) {
	t.Parallel()
	s := play(t, anyHost(), app.Options{Routes: func(s *app.Site) {
		s.GET("/", text("home"))
		s.GET("/orders/", text("orders"))
		s.GET("/orders/{id}", func(r *views.Request) (views.Response, error) {
			path, err := r.Reverse("order", "a/b")
			return views.Text{Body: fmt.Sprint(r.Prefix(), " ", path, " ", r.PathValue("id"), " ", r.Pattern)}, err
		}, app.Name("order"))
		s.GET("/deep/{id}/", text("deep"))
	}})
	mux := http.NewServeMux()
	mux.Handle("/shop/", http.StripPrefix("/shop", s.Site))
	mux.Handle("GET /k%C3%B6ln/", http.StripPrefix("/köln", s.Site))
	for _, test := range []struct {
		path, body, location, route string
		status                      int
	}{
		{"/shop/", "home", "", "GET /", 200},
		{"/shop/orders/7", "/shop /shop/orders/a%2Fb 7 GET /orders/{id}", "", "GET /orders/{id}", 200},
		{"/shop/orders/x%2Fy", "/shop /shop/orders/a%2Fb x/y GET /orders/{id}", "", "GET /orders/{id}", 200},
		{"/shop/orders?page=2", "", "/shop/orders/?page=2", "", 301},
		{"/shop/deep/a%2Fb", "", "/shop/deep/a%2Fb/", "", 301},
		{"/shop/nothing", "404 Not Found\n", "", "", 404},
		{"/k%C3%B6ln/orders", "", "/k%C3%B6ln/orders/", "", 301},
	} {
		s.finished.Reset()
		w := get(mux, test.path)
		if w.Code != test.status || w.Body.String() != test.body || w.Header().Get("Location") != test.location {
			t.Errorf("%s: %d %q to %q, want %d %q to %q", test.path, w.Code, w.Body, w.Header().Get("Location"), test.status, test.body, test.location)
		}
		if events := s.finished.Events(); len(events) != 1 || events[0].Route != test.route {
			t.Errorf("%s: RequestFinished was sent as %+v", test.path, events)
		}
	}
}

// A wrapped handler is named by the pattern of the mux: the one outside, or the
// one that it is.
func TestEmbedding_WrappedHandlersAreNamed(t *testing.T) {
	t.Parallel()
	s := play(t, anyHost(), app.Options{})
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	inner, outer := http.NewServeMux(), http.NewServeMux()
	inner.Handle("GET /inner/{id}", answer)
	outer.Handle("/outer/{id}", s.Wrap(answer))
	for path, test := range map[string]struct {
		handler http.Handler
		route   string
	}{
		"/inner/7": {s.Wrap(inner), "GET /inner/{id}"},
		"/outer/7": {outer, "/outer/{id}"},
		"/bare":    {s.Wrap(answer), ""},
	} {
		s.finished.Reset()
		get(test.handler, path)
		equal(t, path, s.finished.Events()[0].Route, test.route)
	}
}
