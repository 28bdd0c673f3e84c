package views

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"sync"
	"text/template/parse"
)

// page is a template with everything that it names.
type page struct {
	name   string
	funcs  template.FuncMap
	trees  map[string]*parse.Tree // never executed: html/template rewrites what it executes
	copies sync.Pool              // of *pageCopy
}

// pageCopy is what one request at a time executes. Its functions know whose turn
// it is, which spares every request the copying and escaping.
type pageCopy struct {
	root    *template.Template
	request *Request
}

func (p *page) copy() (*pageCopy, error) {
	c := &pageCopy{request: NewRequest(&http.Request{URL: new(url.URL)}, nil)}
	c.root = template.New(p.name).Option("missingkey=error").Funcs(c.bind(p.funcs))
	for name, tree := range p.trees {
		t, err := c.root.AddParseTree(name, tree.Copy())
		if err != nil {
			return nil, err
		}
		if name == p.name {
			c.root = t
		}
	}
	return c, nil
}

func (p *page) render(w io.Writer, r *Request, data any) (err error) {
	c, ready := p.copies.Get().(*pageCopy)
	if !ready {
		if c, err = p.copy(); err != nil {
			return err
		}
	}
	nobody := c.request
	if r != nil {
		c.request = r
	}
	defer func() {
		c.request = nobody
		p.copies.Put(c)
	}()
	return c.root.Execute(w, data)
}

// check escapes the page without executing it: the first thing that is written,
// which is no part of the page, fails.
func (p *page) check() error {
	c, err := p.copy()
	if err != nil {
		return err
	}
	probe, err := c.root.New("").Parse("probe{{template " + strconv.Quote(p.name) + " .}}")
	if err != nil {
		return err
	}
	if err := probe.Execute(full{}, nil); !errors.Is(err, errFull) {
		return fmt.Errorf("views: template %q: %w", p.name, err)
	}
	return nil
}

var errFull = errors.New("views: nothing more is written")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

// bind gives the functions that take a request the one whose turn it is.
func (c *pageCopy) bind(funcs template.FuncMap) template.FuncMap {
	bound := make(template.FuncMap, len(funcs))
	for name, function := range funcs {
		bound[name] = function
		f := reflect.ValueOf(function)
		t := f.Type()
		if t.NumIn() == 0 || t.In(0) != reflect.TypeFor[*Request]() {
			continue
		}
		call := f.Call
		if t.IsVariadic() {
			call = f.CallSlice
		}
		bound[name] = reflect.MakeFunc(withoutFirst(t), func(args []reflect.Value) []reflect.Value {
			return call(append([]reflect.Value{reflect.ValueOf(c.request)}, args...))
		}).Interface()
	}
	return bound
}

// withoutFirst returns the type of a function without its first parameter.
func withoutFirst(t reflect.Type) reflect.Type {
	var in, out []reflect.Type
	for i := 1; i < t.NumIn(); i++ {
		in = append(in, t.In(i))
	}
	for i := range t.NumOut() {
		out = append(out, t.Out(i))
	}
	return reflect.FuncOf(in, out, t.IsVariadic())
}
