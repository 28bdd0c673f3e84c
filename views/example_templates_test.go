package views_test

import (
	"fmt"
	"html/template"
	"io/fs"
	"os"
	"testing/fstest"

	"github.com/goquintet/quintet/views"
)

// How does a page use a layout? It names the layout's file and defines the blocks
// that it fills.
func ExampleTemplates() {
	folder := fstest.MapFS{
		"layouts/base.html": {Data: []byte(`<title>{{block "title" .}}Polls{{end}}</title>
{{block "content" .}}{{end}}
`)},
		"polls/detail.html": {Data: []byte(`{{template "layouts/base.html" .}}
{{- define "title"}}{{.Question}}{{end}}
{{- define "content"}}<h1>{{.Question | shout}}</h1>{{end}}`)},
	}
	templates, err := views.NewTemplates(views.TemplateOptions{
		FS:    []fs.FS{folder},
		Funcs: template.FuncMap{"shout": func(s string) string { return s + "!" }},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	poll := struct{ Question string }{"Tea & cake?"}
	if err := templates.Render(os.Stdout, nil, "polls/detail.html", poll); err != nil {
		fmt.Println(err)
	}
	_, err = templates.Lookup("polls/details.html")
	fmt.Println(err)
	// Output:
	// <title>Tea &amp; cake?</title>
	// <h1>Tea &amp; cake?!</h1>
	// views: template "polls/details.html" not found in folder 1 (fstest.MapFS): did you mean "polls/detail.html"?
}
