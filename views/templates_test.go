package views_test

import (
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/goquintet/quintet/views"
)

func render(t testing.TB, templates *views.Templates, r *views.Request, name string, data any) (string, error) {
	t.Helper()
	var b strings.Builder
	err := templates.Render(&b, r, name, data)
	return b.String(), err
}

var layouts = map[string]string{
	"layouts/base.html":    `<title>{{block "title" .}}Site{{end}}</title>{{template "partials/nav.html" .}}{{block "content" .}}{{end}}{{block "aside" .}}aside{{end}}`,
	"layouts/section.html": `{{define "content"}}<section>{{template "inner" .}}</section>{{end}}{{template "layouts/base.html" .}}`,
	"partials/nav.html":    `<nav>{{.}}</nav>`,
	"a.html":               `{{define "title"}}A{{end}}{{define "content"}}content of a {{.}}{{end}}{{template "layouts/base.html" .}}`,
	"b.html":               `{{template "layouts/base.html" .}}{{define "title"}}B{{end}}{{define "aside"}}{{end}}`,
	"c.html":               `{{define "inner"}}inner{{end}}{{define "title"}}C{{end}}{{template "layouts/section.html" .}}`,
	"tree.html":            `({{.}}{{if .}}{{template "tree.html" slice . 1}}{{end}})`,
	"plain.html":           `plain`,
}

func TestTemplates_APageFillsTheBlocksOfItsLayouts(t *testing.T) {
	t.Parallel()
	for name, debug := range map[string]bool{"production": false, "debug": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			templates := pages(t, layouts, views.TemplateOptions{Debug: debug})
			for range 2 {
				for name, want := range map[string]string{
					"a.html":            "<title>A</title><nav>x</nav>content of a xaside",
					"b.html":            "<title>B</title><nav>x</nav>",
					"c.html":            "<title>C</title><nav>x</nav><section>inner</section>aside",
					"tree.html":         "(x())",
					"plain.html":        "plain",
					"layouts/base.html": "<title>Site</title><nav>x</nav>aside",
				} {
					if got, err := render(t, templates, nil, name, "x"); err != nil || got != want {
						t.Errorf("%s: %q, %v, want %q", name, got, err, want)
					}
				}
			}
		})
	}
}

func TestTemplates_OfTwoFilesTheOneNamedLastWins(t *testing.T) {
	t.Parallel()
	templates := pages(t, map[string]string{
		"one.html": `{{define "x"}}one{{end}}1`,
		"two.html": `{{define "x"}}two{{end}}2`,
		"a.html":   `{{define "p"}}{{template "one.html"}}{{end}}{{define "q"}}{{if true}}{{range slice "."}}{{template "two.html"}}{{else}}{{end}}{{end}}{{end}}{{template "p"}}{{template "x"}}`,
	}, views.TemplateOptions{Debug: true, Funcs: template.FuncMap{"slice": func(s ...string) []string { return s }}})
	for range 20 { // each is parsed anew
		if got, err := render(t, templates, nil, "a.html", nil); err != nil || got != "1two" {
			t.Fatalf("%q, %v, want 1two", got, err)
		}
	}
}

func TestTemplates_EscapeByContext(t *testing.T) {
	t.Parallel()
	templates := pages(t, map[string]string{"a.html": `<a href="{{.}}" title="{{.}}">{{.}}</a><script>x = {{.}}</script>`}, views.TemplateOptions{})
	got, err := render(t, templates, nil, "a.html", "javascript:alert('&')")
	if err != nil || !strings.Contains(got, `href="#ZgotmplZ"`) || !strings.Contains(got, `x = "javascript:alert('\u0026')"`) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTemplates_TheFirstFolderWins(t *testing.T) {
	t.Parallel()
	site := fstest.MapFS{"partials/nav.html": {Data: []byte("the site's")}}
	templates := pages(t, layouts, views.TemplateOptions{FS: []fs.FS{nil, site}})
	if got, err := render(t, templates, nil, "b.html", "x"); err != nil || got != "<title>B</title>the site's" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTemplates_FunctionsMayTakeTheRequest(t *testing.T) {
	t.Parallel()
	templates := pages(t, map[string]string{
		"a.html": `{{url "poll" 7 8}} {{path}} {{join "-" "a" "b"}} {{upper "x"}} {{with "inner"}}{{template "b.html" .}}{{end}}`,
		"b.html": `{{path}}`,
	}, views.TemplateOptions{Funcs: template.FuncMap{
		"url":  (*views.Request).Reverse,
		"path": func(r *views.Request) string { return r.URL.Path },
		"join": func(_ *views.Request, separator string, parts ...string) string {
			return strings.Join(parts, separator)
		},
		"upper": strings.ToUpper,
	}})
	l := &life{templates: templates}
	var running sync.WaitGroup
	for i := range 50 {
		running.Go(func() {
			r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/%d", i), nil)
			recorder, err := respondTo(t, l, views.Template{Name: "a.html"}, r)
			if got, want := recorder.Body.String(), fmt.Sprintf("/polls/7 8 /%d a-b X /%d", i, i); err != nil || got != want {
				t.Errorf("%q, %v, want %q", got, err, want)
			}
		})
	}
	running.Wait()
	_, err := render(t, templates, nil, "a.html", nil)
	wantError(t, err, "a.html:1", "no site")
}

func TestTemplates_ErrorsOfFunctionsPropagate(t *testing.T) {
	t.Parallel()
	fail := true
	templates := pages(t, map[string]string{"a.html": "one\n{{fail}}"}, views.TemplateOptions{Funcs: template.FuncMap{
		"fail": func(*views.Request) (string, error) {
			if fail {
				return "", errBroken
			}
			return "two", nil
		},
	}})
	_, err := render(t, templates, nil, "a.html", nil)
	if !errors.Is(err, errBroken) {
		t.Errorf("error %v", err)
	}
	wantError(t, err, "views: ", "a.html:2:")
	fail = false
	if got, err := render(t, templates, nil, "a.html", nil); err != nil || got != "one\ntwo" {
		t.Errorf("after a failure: %q, %v", got, err)
	}
}

func TestTemplates_AMissingKeyIsAnError(t *testing.T) {
	t.Parallel()
	templates := pages(t, map[string]string{"a.html": "{{.nme}}"}, views.TemplateOptions{})
	_, err := render(t, templates, nil, "a.html", map[string]string{"name": "Ada"})
	wantError(t, err, "a.html:1", `"nme"`)
}

func TestTemplates_BrokenOnesAreAnErrorOfTheStart(t *testing.T) {
	t.Parallel()
	folder := make(fstest.MapFS)
	for name, text := range map[string]string{
		"syntax.html":   "fine\n{{if}}",
		"function.html": "\n\n{{nosuch}}",
	} {
		folder[name] = &fstest.MapFile{Data: []byte(text)}
	}
	_, err := views.NewTemplates(views.TemplateOptions{FS: []fs.FS{folder}})
	wantError(t, err, "syntax.html:2", "function.html:3", `"nosuch"`)

	clear(folder)
	for name, text := range map[string]string{
		"fine.html":       `{{template "layout.html" .}}{{define "block"}}{{end}}`,
		"layout.html":     `{{template "block" .}}`, // not complete without a page
		"escape.html":     "\n<a href='{{if .}}\"{{end}}",
		"block.html":      `{{template "layout.html" .}}`,
		"file.html":       "\n{{template \"layuot.html\" .}}",
		".hidden.html":    "{{",
		".git/index.html": "{{",
	} {
		folder[name] = &fstest.MapFile{Data: []byte(text)}
	}
	_, err = views.NewTemplates(views.TemplateOptions{FS: []fs.FS{folder}})
	wantError(t, err, `template "escape.html": `, `template "block.html": `, `no such template "block"`, `"layuot.html", named at file.html:2`, `did you mean "layout.html"?`)
	for _, fine := range []string{"fine.html", "hidden"} {
		if strings.Contains(err.Error(), fine) {
			t.Errorf("%v complains about %s", err, fine)
		}
	}
	if _, err := views.NewTemplates(views.TemplateOptions{FS: []fs.FS{folder}, Debug: true}); err != nil {
		t.Errorf("debugging: %v", err)
	}
}

func TestTemplates_StartsWithoutExecutingAnything(t *testing.T) {
	t.Parallel()
	pages(t, map[string]string{"a.html": `{{run}}{{with run}}{{end}}`}, views.TemplateOptions{Funcs: template.FuncMap{
		"run": func() string { t.Error("executed"); return "" },
	}})
}

func TestTemplates_NotFoundSaysWhereItLooked(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "sales"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "sales", "list.html"), []byte("list"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, debug := range []bool{false, true} {
		templates, err := views.NewTemplates(views.TemplateOptions{FS: []fs.FS{fstest.MapFS{}, os.DirFS(folder)}, Debug: debug})
		if err != nil {
			t.Fatal(err)
		}
		for asked, nearest := range map[string]string{
			"sales/lst.html": "sales/list.html", "list.html": "sales/list.html", "app/sales/list.html": "sales/list.html",
			"other.html": "", "../list.html": "", "": "",
		} {
			_, err := templates.Lookup(asked)
			notFound, ok := errors.AsType[*views.TemplateNotFoundError](err)
			if !ok || notFound.Name != asked || notFound.Nearest != nearest || len(notFound.Looked) != 2 || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%q: %v, want the nearest %q", asked, err, nearest)
			}
			wantError(t, err, fmt.Sprintf("%q not found", asked), "folder 1 (fstest.MapFS), folder 2 ("+folder+")")
		}
		if _, err := render(t, templates, nil, "sales/lists.html", nil); err == nil {
			t.Error("a missing template was rendered")
		}
	}
	none, err := views.NewTemplates(views.TemplateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = none.Lookup("a.html")
	wantError(t, err, "there is no folder of templates")
}

func TestTemplates_ABadFolderIsAnError(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	for _, debug := range []bool{false, true} {
		_, err := views.NewTemplates(views.TemplateOptions{FS: []fs.FS{os.DirFS(missing)}, Debug: debug})
		wantError(t, err, "views: templates in folder 1 ("+missing+")")
	}
}

func TestTemplates_AnEditShowsAtOnceWhenDebugging(t *testing.T) {
	t.Parallel()
	for debug, want := range map[bool]string{true: "after", false: "before"} {
		folder := fstest.MapFS{
			"a.html": {Data: []byte(`{{template "b.html"}}`)},
			"b.html": {Data: []byte("before")},
		}
		templates, err := views.NewTemplates(views.TemplateOptions{FS: []fs.FS{folder}, Debug: debug})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := render(t, templates, nil, "a.html", nil); err != nil || got != "before" {
			t.Errorf("%q, %v", got, err)
		}
		folder["b.html"] = &fstest.MapFile{Data: []byte("after")}
		if got, err := render(t, templates, nil, "a.html", nil); err != nil || got != want {
			t.Errorf("debug %v: %q, %v, want %q", debug, got, err, want)
		}
	}
}

func TestTemplates_LookupGivesACopyOfOnesOwn(t *testing.T) {
	t.Parallel()
	templates := pages(t, layouts, views.TemplateOptions{})
	for range 2 {
		own, err := templates.Lookup("a.html")
		if err != nil {
			t.Fatal(err)
		}
		template.Must(own.New("title").Parse("changed"))
		var b strings.Builder
		if err := own.Execute(&b, "x"); err != nil || !strings.HasPrefix(b.String(), "<title>changed</title>") {
			t.Errorf("%q, %v", b.String(), err)
		}
	}
	if got, err := render(t, templates, nil, "a.html", "x"); err != nil || !strings.HasPrefix(got, "<title>A</title>") {
		t.Errorf("%q, %v", got, err)
	}
}
