package views

import (
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
)

// TemplateOptions say where the templates of a site are and what they can do.
type TemplateOptions struct {
	// FS are the folders of templates, in the order in which they are searched:
	// the first that has a name wins, as with Django's template loaders. Every
	// file in them is a template, except those whose path has an element that
	// begins with a dot.
	FS []fs.FS
	// Funcs are the functions that templates may call besides those of
	// html/template. One whose first parameter is a *[Request] is given the
	// request that is being answered, and the template leaves it out:
	//
	//	"url": (*views.Request).Reverse // {{url "poll" .ID}}
	//
	// The error of a function ends the template and can be found in the error of
	// the response.
	Funcs template.FuncMap
	// Debug parses a template whenever it is used, so that an edit shows at once.
	Debug bool
}

// Templates are the templates of a site: html/template, with every page parsed
// together with the files that it names.
//
// A template is named by its path, "sales/list.html". A page uses another file by
// that name, {{template "layouts/base.html" .}}, and fills the blocks of the
// layout with definitions of its own, {{define "title"}}: the files that a page
// names, and those that they name in turn, are parsed before it, so that its
// definitions win. Pages never meet: two may define a block of the same name. A
// missing key of a map is an error.
//
// Templates may be used concurrently.
type Templates struct {
	options TemplateOptions
	pages   map[string]*page // nil when debugging: parsed when used
	names   []string
}

// NewTemplates reads the folders. Unless debugging it parses every file, and
// escapes every page that no other file names, so that a broken template is an
// error of the start: it names the file and the line.
func NewTemplates(o TemplateOptions) (*Templates, error) {
	t := &Templates{options: o}
	names, err := t.list()
	if err != nil {
		return nil, err
	}
	if o.Debug {
		return t, nil
	}
	...
}
