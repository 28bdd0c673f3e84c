package app_test

import (
	"cmp"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// breakingFiles are templates that cannot even be looked for, from some moment on.
type breakingFiles struct{ broken bool }

func (f *breakingFiles) Open(name string) (fs.File, error) {
	if f.broken {
		panic("no files")
	}
	return fstest.MapFS{}.Open(name)
}

// Templates that are broken in whatever way cost the page nothing, with DEBUG and
// without.
func TestErrors_WhenTheTemplatesAreBroken(t *testing.T) {
	t.Parallel()
	routes := func(s *app.Site) {
		s.GET("/", func(*views.Request) (views.Response, error) { return nil, errScene })
		s.GET("/forbidden", func(*views.Request) (views.Response, error) { return nil, views.ErrPermission })
		s.GET("/template", func(*views.Request) (views.Response, error) { return views.Template{Name: "a.html"}, nil })
		s.GET("/evil", func(*views.Request) (views.Response, error) { panic(&evilError{}) })
	}
	settings := anyHost()
	settings.Debug = true
	files := &breakingFiles{}
	s := play(t, settings, app.Options{Routes: routes, Templates: files})
	files.broken = true
	for path, want := range map[string]string{"/": "the scene fails", "/forbidden": "views: 403 forbidden", "/template": "no files"} {
		if page := get(s, path, html).Body.String(); !strings.Contains(page, want) || !strings.Contains(page, "because DEBUG is true") {
			t.Errorf("the page of %s lacks %q:\n%s", path, want, page)
		}
	}
	w := get(s, "/evil", html)
	if w.Code != 500 || w.Body.String() != "500 Internal Server Error\n" {
		t.Errorf("an error that breaks the page itself is answered with %d\n%s", w.Code, w.Body)
	}
	if len(s.failed.Events()) != 4-1 { // a 403 is no failure
		t.Errorf("RequestFailed was sent %d times", len(s.failed.Events()))
	}

	quiet := play(t, withDatabase(dbtest.Database(t, dbtest.SQLite)), app.Options{
		Routes: routes, Templates: fstest.MapFS{
			"403.html": {Data: []byte(`{{.Nothing}}`)}, "500.html": {Data: []byte(`{{url "nowhere"}}`)}, "a.html": {Data: []byte(`{{url "nowhere"}}`)},
		},
	})
	for path, want := range map[string]string{"/": "<h1>500 Internal Server Error</h1>", "/forbidden": "<h1>403 Forbidden</h1>", "/template": "<h1>500 Internal Server Error</h1>", "/evil": "500 Internal Server Error\n"} {
		w := get(quiet, path, html)
		if page := w.Body.String(); !strings.Contains(page, want) || len(page) > 200 || w.Code < 400 {
			t.Errorf("%s is %d\n%s", path, w.Code, page)
		}
	}
	if told := quiet.journal.entries(t, "app: an error page fails"); len(told) != 3 {
		t.Errorf("the broken templates are told as %v", told)
	}
}

// A site may have a page of its own for each status.
func TestErrors_TemplatesOfEachStatus(t *testing.T) {
	t.Parallel()
	templates := fstest.MapFS{}
	statuses := []int{400, 401, 403, 404, 410, 500, 503}
	for _, status := range statuses {
		templates[fmt.Sprintf("%d.html", status)] = &fstest.MapFile{Data: fmt.Appendf(nil, "<p>own %d {{.Status}} {{.Title}}{{.Detail}}</p>", status)}
	}
	site := newSite(t, anyHost(), app.Options{Templates: templates, Routes: func(s *app.Site) {
		s.GET("/{status}", func(r *views.Request) (views.Response, error) {
			status, err := strconv.Atoi(r.PathValue("status"))
			return nil, cmp.Or[error](err, &views.Error{Status: status, Err: errScene})
		})
	}})
	for _, status := range statuses {
		w := get(site, fmt.Sprintf("/%d", status), html)
		equal(t, "the status", w.Code, status)
		equal(t, "the page", w.Body.String(), fmt.Sprintf("<p>own %d %[1]d %s</p>", status, http.StatusText(status)))
	}
	equal(t, "a 502", get(site, "/502", html).Body.String(), "<p>own 500 502 Bad Gateway</p>")
	equal(t, "a 405", strings.Contains(ask(site, "POST", "/502", nil, html).Body.String(), "<h1>405 Method Not Allowed</h1>"), true)
}
