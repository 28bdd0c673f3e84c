package views

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"slices"
)

// TemplateOptions say where the templates of a site are and what they can do.
type TemplateOptions struct {
	// FS are the folders of templates, in the order in which they are searched:
	// the first that has a name wins, as with Django's template loaders. Every
	// file in them is a template, except where an element of its path begins with
	// a dot. A nil folder is empty.
	FS []fs.FS
	// Funcs are the functions that templates may call besides those of
	// html/template. One whose first parameter is a *[Request] is given the
	// request that is being answered, and the template leaves it out (Django's
	// takes_context):
	//
	//	"url": (*views.Request).Reverse // {{url "poll" .ID}}
	//
	// What html/template does not accept as a function panics in NewTemplates. An
	// error that a function returns ends the template, and errors.Is finds it in
	// the error of the response.
	Funcs template.FuncMap
	// Debug parses a template whenever it is used, so that an edit shows at once.
	Debug bool
	// Rendered hears of each template that [Templates.Render] has executed for a
	// request. Nil is fine.
	Rendered func(r *Request, name string, data any)
}

// Templates are the templates of a site: html/template, with every page parsed
// together with the files that it names.
//
// A template is named by its path, "sales/list.html". A page uses another file by
// that name, {{template "layouts/base.html" .}}, and fills the blocks of a layout
// with definitions of its own, {{define "title"}}: the files that a page names,
// and those that they name in turn, come before it, so that its definitions win,
// empty ones too. Pages never meet: two may define a block of the same name. A
// missing key of a map is an error.
//
// Templates may be used concurrently.
type Templates struct {
	options TemplateOptions
	pages   map[string]*page // nil when debugging
}

// NewTemplates reads the folders. Unless debugging it parses every file and
// escapes every page, so that a broken template is an error of the start, which
// names the file and the line; all broken ones are reported at once. Escaping is
// left to the pages for files that other files name: a layout is not complete
// without a page.
func NewTemplates(o TemplateOptions) (*Templates, error) {
	t := &Templates{options: o}
	template.New("").Funcs(o.Funcs) // panics for what is no function
	names, err := t.names()
	if err != nil || o.Debug {
		return t, err
	}
	t.pages = make(map[string]*page, len(names))
	reader := newReader(t)
	named := make(map[string]bool)
	var broken []error
	for _, name := range names {
		file, err := reader.read(name)
		if err != nil {
			broken = append(broken, err)
			continue
		}
		for _, use := range file.uses {
			named[use.name] = named[use.name] || use.name != name
		}
	}
	if broken != nil {
		return nil, errors.Join(broken...)
	}
	for _, name := range names {
		page, err := reader.page(name)
		if err == nil && !named[name] {
			err = page.check()
		}
		if err != nil && !named[name] {
			broken = append(broken, err)
		}
		if err == nil {
			t.pages[name] = page
		}
	}
	return t, errors.Join(broken...)
}

// Lookup returns a template with everything that it names, for uses other than a
// response: a mail, a file. The copy is the caller's own. Its functions that take
// a request get one that nobody serves. A name that no folder has is a
// [*TemplateNotFoundError].
func (t *Templates) Lookup(name string) (*template.Template, error) {
	page, err := t.page(name)
	if err != nil {
		return nil, err
	}
	c, err := page.copy()
	if err != nil {
		return nil, fmt.Errorf("views: %w", err)
	}
	return c.root, nil
}

// Source returns the text of a template as it is written: what an error page shows the
// lines of. A name that no folder has is a [*TemplateNotFoundError].
func (t *Templates) Source(name string) (string, error) { return t.open(name) }

// Render executes the template of that name with data as its dot, and writes what
// it gives to w, possibly in part when it fails. The request, which may be nil,
// is for the functions that take one. A name that no folder has is a
// [*TemplateNotFoundError].
func (t *Templates) Render(w io.Writer, r *Request, name string, data any) error {
	page, err := t.page(name)
	if err != nil {
		return err
	}
	if err := page.render(w, r, data); err != nil {
		return fmt.Errorf("views: %w", err) // html/template names file and line
	}
	if t.options.Rendered != nil && r != nil {
		t.options.Rendered(r, name, data)
	}
	return nil
}

func (t *Templates) page(name string) (*page, error) {
	if page := t.pages[name]; page != nil {
		return page, nil
	}
	return newReader(t).page(name)
}

// names returns the names of all templates, sorted.
func (t *Templates) names() ([]string, error) {
	var names []string
	for i, folder := range t.options.FS {
		if folder == nil {
			continue
		}
		err := fs.WalkDir(folder, ".", func(name string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case name != "." && entry.Name()[0] == '.':
				if entry.IsDir() {
					return fs.SkipDir
				}
			case !entry.IsDir():
				names = append(names, name)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("views: templates in %s: %w", place(i, folder), err)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// open returns the text of the first file of that name.
func (t *Templates) open(name string) (string, error) {
	for i, folder := range t.options.FS {
		if folder == nil || !fs.ValidPath(name) {
			continue
		}
		text, err := fs.ReadFile(folder, name)
		if err == nil {
			return string(text), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("views: template %q in %s: %w", name, place(i, folder), err)
		}
	}
	return "", t.notFound(name, "")
}
