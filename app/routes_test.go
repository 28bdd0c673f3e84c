package app_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/views"
)

// tells answers with what the router has found.
func tells(names ...string) views.View {
	return func(r *views.Request) (views.Response, error) {
		body := r.Pattern
		for _, name := range names {
			body += " " + name + "=" + r.PathValue(name)
		}
		return views.Text{Body: body}, nil
	}
}

func routesSite(t *testing.T, settings app.Settings, routes func(*app.Site)) *app.Site {
	t.Helper()
	return newSite(t, settings, app.Options{Routes: routes})
}

func TestRoutes_Patterns(t *testing.T) {
	t.Parallel()
	site := routesSite(t, anyHost(), func(s *app.Site) {
		s.GET("/", tells())
		s.GET("/polls/", tells())
		s.POST("/polls/", tells())
		s.GET("/polls/new", tells())
		s.GET("/polls/{id}", tells("id"))
		s.GET("/polls/{id}/votes/{vote}", tells("id", "vote"))
		s.GET("/polls/{id}/{$}", tells("id"))
		s.DELETE("/polls/{number}", tells("number"))
		s.GET("/files/{path...}", tells("path"))
		s.GET("/files/readme", tells())
		s.GET("/a:b/{x}", tells("x"))
		s.GET("/a*b", tells())
		s.GET("/köln/{platz}", tells("platz"))
		s.GET("/one%2Ftwo", tells())
		s.GET("/100%25", tells())
		s.Any("/any/{x}", tells("x"))
		s.GET("/any/{x}", tells("x"))
		s.GET("/mixed/{x}", tells("x"))
		s.POST("/mixed/fixed", tells())
	})
	for _, test := range []struct{ method, path, want string }{
		{"GET", "/", "GET /"},
		{"GET", "/polls/", "GET /polls/"},
		{"POST", "/polls/", "POST /polls/"},
		{"GET", "/polls/new", "GET /polls/new"},
		{"GET", "/polls/7", "GET /polls/{id} id=7"},
		{"GET", "/polls/7/", "GET /polls/{id}/ id=7"},
		{"GET", "/polls/7/votes/8", "GET /polls/{id}/votes/{vote} id=7 vote=8"},
		{"GET", "/polls/7/nothing", "404"},
		{"GET", "/polls/7/votes/8/more", "404"},
		{"GET", "/nothing", "404"},
		{"GET", "/polls//", "404"},
		{"DELETE", "/polls/7", "DELETE /polls/{number} number=7"},
		{"GET", "/files/", "GET /files/{path...} path="},
		{"GET", "/files/a/b.txt", "GET /files/{path...} path=a/b.txt"},
		{"GET", "/files/readme", "GET /files/readme"},
		{"GET", "/files/readme2", "GET /files/{path...} path=readme2"},
		{"POST", "/files/a", "405 OPTIONS, GET, HEAD"},
		{"PUT", "/polls/7", "405 OPTIONS, DELETE, GET, HEAD"},
		{"OPTIONS", "/polls/7", "204 OPTIONS, DELETE, GET, HEAD"},

		// What the router gives a meaning of its own is an ordinary character.
		{"GET", "/a:b/c:d", "GET /a:b/{x} x=c:d"},
		{"GET", "/a%3Ab/c", "GET /a:b/{x} x=c"},
		{"GET", "/axb/c", "404"},
		{"GET", "/a*b", "GET /a*b"},
		{"GET", "/a/b", "404"},
		{"GET", "/k%C3%B6ln/dom", "GET /köln/{platz} platz=dom"},

		// Wildcards are decoded once, and %2F does not split a segment.
		{"GET", "/polls/a%2Fb", "GET /polls/{id} id=a/b"},
		{"GET", "/polls/a%2Fb/votes/c%2Fd", "GET /polls/{id}/votes/{vote} id=a/b vote=c/d"},
		{"GET", "/polls/100%25", "GET /polls/{id} id=100%"},
		{"GET", "/polls/%252F", "GET /polls/{id} id=%2F"},
		{"GET", "/polls/%25", "GET /polls/{id} id=%"},
		{"GET", "/polls/%00", "GET /polls/{id} id=\x00"},
		{"GET", "/polls/7/%00", "404"},
		{"GET", "/polls/%7Eme", "GET /polls/{id} id=~me"},
		{"GET", "/files/a%2Fb/c%20d", "GET /files/{path...} path=a/b/c d"},
		{"GET", "/one%2Ftwo", "GET /one%2Ftwo"},
		{"GET", "/one/two", "404"},
		{"GET", "/100%25", "GET /100%25"},

		// A more special route goes before a more general one, and where it has not
		// the method, the next one that has.
		{"GET", "/any/1", "GET /any/{x} x=1"},
		{"PURGE", "/any/1", "/any/{x} x=1"},
		{"OPTIONS", "/any/1", "/any/{x} x=1"},
		{"GET", "/mixed/fixed", "GET /mixed/{x} x=fixed"},
		{"POST", "/mixed/fixed", "POST /mixed/fixed"},
	} {
		w := ask(site, test.method, test.path, nil)
		got := w.Body.String()
		switch w.Code {
		case http.StatusNotFound:
			got = "404"
		case http.StatusMethodNotAllowed:
			got = "405 " + w.Header().Get("Allow")
		case http.StatusNoContent:
			got = "204 " + w.Header().Get("Allow")
		}
		if got != test.want {
			t.Errorf("%s %s is %q, want %q", test.method, test.path, got, test.want)
		}
	}
}

func TestRoutes_GETAnswersHEAD(t *testing.T) {
	t.Parallel()
	site := routesSite(t, anyHost(), func(s *app.Site) { s.GET("/", tells()) })
	w := ask(site, http.MethodHead, "/", nil)
	if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "5" {
		t.Errorf("HEAD is %d with %d bytes, length %q", w.Code, w.Body.Len(), w.Header().Get("Content-Length"))
	}
}

// The view sees the URL that the client sent, whatever the router had to see.
func TestRoutes_TheURLStaysWhatItWas(t *testing.T) {
	t.Parallel()
	site := routesSite(t, anyHost(), func(s *app.Site) {
		s.GET("/polls/{id}", func(r *views.Request) (views.Response, error) {
			return views.Text{Body: r.URL.Path + " " + r.URL.RawPath + " " + r.URL.EscapedPath()}, nil
		})
	})
	for path, want := range map[string]string{
		"/polls/a%2Fb": "/polls/a/b /polls/a%2Fb /polls/a%2Fb",
		"/polls/%7Eme": "/polls/~me /polls/%7Eme /polls/%7Eme",
		"/polls/a:b":   "/polls/a:b  /polls/a:b",
	} {
		if got := get(site, path).Body.String(); got != want {
			t.Errorf("%s: the view sees %q, want %q", path, got, want)
		}
	}
}

func TestRoutes_TrailingSlash(t *testing.T) {
	t.Parallel()
	routes := func(s *app.Site) {
		s.GET("/polls/", tells())
		s.GET("/polls/{id}/", tells("id"))
		s.POST("/vote/", tells())
		s.GET("/both", tells())
		s.GET("/both/", tells())
	}
	debug, strict := anyHost(), anyHost()
	debug.Debug, strict.NoAppendSlash = true, true
	for _, test := range []struct {
		name         string
		settings     app.Settings
		method, path string
		status       int
		location     string
	}{
		{"a slash is appended", anyHost(), "GET", "/polls", 301, "/polls/"},
		{"for HEAD too", anyHost(), "HEAD", "/polls", 301, "/polls/"},
		{"the query is kept", anyHost(), "GET", "/polls?a=1&b=%2F", 301, "/polls/?a=1&b=%2F"},
		{"with a wildcard", anyHost(), "GET", "/polls/7", 301, "/polls/7/"},
		{"the path stays as it is written", anyHost(), "GET", "/polls/a%2Fb:c", 301, "/polls/a%2Fb:c/"},
		{"no route takes it", anyHost(), "GET", "/nothing", 404, ""},
		{"another route takes it", anyHost(), "GET", "/both", 200, ""},
		{"another method takes it", anyHost(), "GET", "/vote", 404, ""},
		{"not a POST", anyHost(), "POST", "/vote", 404, ""},
		{"not for another host", anyHost(), "GET", "//polls", 404, ""},
		{"a POST says so in DEBUG", debug, "POST", "/vote", 500, ""},
		{"APPEND_SLASH: false", strict, "GET", "/polls", 404, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := ask(routesSite(t, test.settings, routes), test.method, test.path, nil)
			if w.Code != test.status || w.Header().Get("Location") != test.location {
				t.Errorf("%s %s is %d to %q, want %d to %q", test.method, test.path, w.Code, w.Header().Get("Location"), test.status, test.location)
			}
			if test.status == 500 && !strings.Contains(w.Body.String(), `send it to "/vote/", or set APPEND_SLASH: false`) {
				t.Errorf("the page says %s", w.Body)
			}
		})
	}
}

// What begins with two slashes is a host to browsers.
func TestRoutes_TrailingSlashLeavesTheHost(t *testing.T) {
	t.Parallel()
	site := routesSite(t, anyHost(), func(s *app.Site) { s.GET("/{a}/{b}/{$}", tells()) })
	r := func(r *http.Request) { r.URL.Path, r.URL.RawPath = "//evil.example/x", "/%2Fevil.example/x" }
	if location := get(site, "/", r).Header().Get("Location"); strings.HasPrefix(location, "//") {
		t.Errorf("the redirect leaves the site: %q", location)
	}
}

func TestRoutes_GroupsAndApps(t *testing.T) {
	t.Parallel()
	mark := func(text string) app.RouteOption {
		return app.Use(func(next views.View) views.View {
			return func(r *views.Request) (views.Response, error) {
				response, err := next(r)
				if plain, ok := response.(views.Text); ok {
					plain.Body = text + "(" + plain.Body + ")"
					response = plain
				}
				return response, err
			}
		})
	}
	polls := app.App{Name: "polls", Routes: func(g *app.Group) {
		g.GET("/", tells(), app.Name("polls"))
		g.GET("/{id}", tells("id"), app.Name("poll"))
	}}
	site := routesSite(t, anyHost(), func(s *app.Site) {
		s.Include("/polls", polls)
		shop := s.Group("/shop/{shop}", mark("group"))
		shop.GET("", tells("shop"))
		shop.GET("/orders", tells("shop"), mark("outer"), mark("inner"))
		shop.Group("/admin", mark("nested")).GET("/", tells("shop"))
	})
	for path, want := range map[string]string{
		"/polls/":           "GET /polls/",
		"/polls/7":          "GET /polls/{id} id=7",
		"/shop/one":         "group(GET /shop/{shop} shop=one)",
		"/shop/one/orders":  "group(outer(inner(GET /shop/{shop}/orders shop=one)))",
		"/shop/one/admin/":  "group(nested(GET /shop/{shop}/admin/ shop=one))",
		"/shop/a%2Fb/admin": "",
	} {
		if got := get(site, path).Body.String(); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	table := site.Routes()
	if len(table) != 5 || table[1].Method != http.MethodGet || table[1].Pattern != "/polls/{id}" || table[1].Name != "poll" ||
		!strings.HasPrefix(table[1].Place, "app/routes_test.go:") {
		t.Errorf("the table is %+v", table)
	}
	if apps := site.Apps(); len(apps) != 1 || apps[0].Name != "polls" {
		t.Errorf("the apps are %+v", apps)
	}
}

func TestRoutes_Reverse(t *testing.T) {
	t.Parallel()
	site := routesSite(t, anyHost(), func(s *app.Site) {
		s.GET("/", tells(), app.Name("home"))
		s.GET("/polls/{id}/votes/{vote}", tells(), app.Name("vote"))
		s.POST("/polls/{id}/votes/{vote}", tells(), app.Name("vote"))
		s.GET("/files/{path...}", tells(), app.Name("file"))
		s.GET("/köln/", tells(), app.Name("köln"))
	})
	for _, test := range []struct {
		name string
		args []any
		want string
	}{
		{"home", nil, "/"},
		{"vote", []any{7, "a/b c"}, "/polls/7/votes/a%2Fb%20c"},
		{"file", []any{"a/b c"}, "/files/a/b%20c"},
		{"file", []any{""}, "/files/"},
		{"köln", nil, "/k%C3%B6ln/"},
		{"vote", []any{7}, `app: reverse "vote": "/polls/{id}/votes/{vote}" has 2 wildcards, and 1 arguments were given`},
		{"vote", []any{7, ""}, `app: reverse "vote": "/polls/{id}/votes/{vote}" takes no empty vote`},
		{"vot", nil, `app: no route has the name "vot"; did you mean "vote"?`},
		{"something else", nil, `app: no route has the name "something else"`},
	} {
		got, err := site.Reverse(test.name, test.args...)
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s%v is %q, want %q", test.name, test.args, got, test.want)
		}
	}
}

func TestRoutes_AreMadeWhileNewRuns(t *testing.T) {
	t.Parallel()
	site := routesSite(t, anyHost(), nil)
	defer func() {
		if v := recover(); v != `app: route "GET /late": the routes of a site are made while New runs; move this to Options.Routes` {
			t.Errorf("the panic is %v", v)
		}
	}()
	site.GET("/late", tells())
}

// The clean-up of a response hangs on the response: it runs once, whatever a
// function around the view makes of it.
func TestRoutes_UseDiscardsWhatItReplaces(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(views.Response) (views.Response, error){
		"kept":     func(r views.Response) (views.Response, error) { return r, nil },
		"replaced": func(views.Response) (views.Response, error) { return views.Text{Body: "other"}, nil },
		"failed":   func(views.Response) (views.Response, error) { return nil, errScene },
		"both":     func(r views.Response) (views.Response, error) { return r, errScene },
		"panicked": func(views.Response) (views.Response, error) { panic(errScene) },
	} {
		for kind, pointer := range map[string]bool{"value": false, "pointer": true} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				closed := 0
				site := routesSite(t, anyHost(), func(s *app.Site) {
					s.GET("/", func(*views.Request) (views.Response, error) {
						stream := views.StreamingResponse{
							Body:  views.Chunks(func(yield func(string) bool) { yield("x") }),
							Close: func() { closed++ },
						}
						if pointer {
							return &stream, nil
						}
						return stream, nil
					}, app.Use(func(next views.View) views.View {
						return func(r *views.Request) (views.Response, error) {
							response, err := next(r)
							if err != nil {
								return nil, err
							}
							return replace(response)
						}
					}))
				})
				get(site, "/")
				if closed != 1 {
					t.Errorf("the clean-up ran %d times", closed)
				}
			})
		}
	}
}
