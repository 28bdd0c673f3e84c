package debug

import "html/template"

// Broken makes pages whose document cannot be executed.
func Broken() *Page {
	p := New()
	p.html = template.Must(template.New("broken").Funcs(template.FuncMap{"breaks": func() string { panic("broken") }}).Parse("{{.Title}}{{breaks}}"))
	return p
}

// Panicking makes pages whose document is not even there.
func Panicking() *Page { return &Page{} }

// Kind says whose code a function is, of a program that is made of the module main.
func Kind(main, root, function, file string) string {
	return string(owners{main, root}.of(&frame{function: function, file: file}))
}
