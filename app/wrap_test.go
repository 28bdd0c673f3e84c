package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/views"
)

func TestWrap_OpensNoSecondScope(t *testing.T) {
	t.Parallel()
	passes := 0
	options := app.Options{
		Routes: oneRoute(text("in")),
		Middleware: []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				passes++
				next.ServeHTTP(w, r)
			})
		}},
	}
	s := play(t, anyHost(), options)
	mux := http.NewServeMux()
	mux.Handle("/mounted/", http.StripPrefix("/mounted", s.Site))
	for name, handler := range map[string]http.Handler{
		"a wrapped site":            s.Wrap(s.Site),
		"a wrapped wrap":            s.Wrap(s.Wrap(s.Wrap(s.Site))),
		"a mux that calls the site": s.Wrap(http.StripPrefix("/mounted", http.HandlerFunc(s.ServeHTTP))),
		"a site in a wrapped mux":   s.Wrap(mux),
	} {
		path := "/"
		if strings.Contains(name, "mux") {
			path = "/mounted/"
		}
		passes = 0
		s.started.Reset()
		s.finished.Reset()
		w := get(handler, path)
		if w.Code != 200 || w.Body.String() != "in" || passes != 1 {
			t.Errorf("%s: %d %q, %d times through the middleware", name, w.Code, w.Body, passes)
		}
		if started, finished := len(s.started.Events()), s.finished.Events(); started != 1 || len(finished) != 1 || finished[0].Route != "GET /" {
			t.Errorf("%s: started %d, finished %+v", name, started, finished)
		}
	}
}

func TestWrap_PanicsWhileWiring(t *testing.T) {
	t.Parallel()
	calls := 0
	site := newSite(t, anyHost(), app.Options{Middleware: []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
		if calls++; calls > 1 {
			return nil
		}
		return next
	}}})
	for name, next := range map[string]http.Handler{
		"app: Wrap: the handler is nil": nil, "returned no handler": http.NotFoundHandler(),
	} {
		func() {
			defer func() {
				if v, _ := recover().(string); !strings.Contains(v, name) {
					t.Errorf("the panic is %q, want %q", v, name)
				}
			}()
			site.Wrap(next)
		}()
	}
}

// Another site inside has a life of its own, and the first is found again inside
// of that one.
func TestWrap_AnotherSiteInside(t *testing.T) {
	t.Parallel()
	outer := play(t, anyHost(), app.Options{Routes: oneRoute(text("outer"))})
	inner := play(t, anyHost(), app.Options{Routes: func(s *app.Site) {
		s.GET("/", func(r *views.Request) (views.Response, error) {
			if app.From(r.Context()) != s {
				return nil, errors.New("the innermost site is another")
			}
			return views.Text{Body: "inner"}, nil
		})
	}})
	again := inner.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { outer.ServeHTTP(w, r) }))
	for handler, want := range map[*http.Handler]string{ptr(outer.Wrap(inner.Site)): "inner", ptr(outer.Wrap(again)): "outer"} {
		outer.finished.Reset()
		inner.finished.Reset()
		equal(t, "the answer", get(*handler, "/").Body.String(), want)
		equal(t, "the outer's ends", len(outer.finished.Events()), 1)
		equal(t, "the inner's ends", len(inner.finished.Events()), 1)
	}
}

func ptr[T any](v T) *T { return &v }

// A middleware that drops the context is told so, instead of losing the request.
func TestMiddleware_ThatDropsTheContext(t *testing.T) {
	t.Parallel()
	s := play(t, anyHost(), app.Options{
		Routes: oneRoute(text("in")),
		Middleware: []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r.WithContext(context.Background()))
			})
		}},
	})
	if w := get(s, "/"); w.Code != 500 {
		t.Errorf("the answer is %d", w.Code)
	}
	if !strings.Contains(s.journal.String(), "a middleware gave the request a context that is not derived from the one it had") {
		t.Errorf("the log says %s", s.journal)
	}
	equal(t, "the ends", len(s.finished.Events()), 1)
}

func TestMiddleware_MayReplaceWriterAndRequest(t *testing.T) {
	t.Parallel()
	type key struct{}
	s := play(t, anyHost(), app.Options{
		Routes: func(s *app.Site) {
			s.GET("/", func(r *views.Request) (views.Response, error) {
				return views.Text{Body: fmt.Sprint(r.Context().Value(key{}))}, nil
			})
			s.GET("/fails", func(*views.Request) (views.Response, error) { return nil, errScene })
		},
		Middleware: []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				buffer := httptest.NewRecorder()
				next.ServeHTTP(buffer, r.WithContext(context.WithValue(r.Context(), key{}, "value")))
				w.WriteHeader(buffer.Code)
				_, _ = io.WriteString(w, "<"+strings.TrimSpace(buffer.Body.String())+">")
			})
		}},
	})
	equal(t, "the answer", get(s, "/").Body.String(), "<value>")
	w := get(s, "/fails")
	equal(t, "the failure", w.Body.String(), "<500 Internal Server Error>")
	equal(t, "its status", w.Code, 500)
}
