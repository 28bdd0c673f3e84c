package views

import (
	"cmp"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"path"
	"slices"
	"text/template/parse"
)

// reader reads the files of one look at the folders.
type reader struct {
	templates *Templates
	files     map[string]*file
}

// file is a template file by itself.
type file struct {
	trees map[string]*parse.Tree // its own, under its name, and its definitions
	uses  []use                  // what it names and does not define, in order
}

// use is a {{template "name"}}.
type use struct {
	name string
	at   string // file:line:column
	pos  parse.Pos
}

func newReader(t *Templates) *reader {
	return &reader{templates: t, files: make(map[string]*file)}
}

func (r *reader) read(name string) (*file, error) {
	if f := r.files[name]; f != nil {
		return f, nil
	}
	text, err := r.templates.open(name)
	if err != nil {
		return nil, err
	}
	parsed, err := template.New(name).Funcs(r.templates.options.Funcs).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("views: %w", err)
	}
	f := &file{trees: make(map[string]*parse.Tree)}
	for _, t := range parsed.Templates() {
		f.trees[t.Name()] = t.Tree
	}
	for _, tree := range f.trees {
		eachTemplate(tree.Root, func(node *parse.TemplateNode) {
			if f.trees[node.Name] == nil {
				at, _ := tree.ErrorContext(node)
				f.uses = append(f.uses, use{node.Name, at, node.Pos})
			}
		})
	}
	slices.SortFunc(f.uses, func(a, b use) int { return cmp.Compare(a.pos, b.pos) })
	r.files[name] = f
	return f, nil
}

// page puts a page together. The files that it names come before it, so that its
// own definitions stay.
func (r *reader) page(name string) (*page, error) {
	p := &page{name: name, funcs: r.templates.options.Funcs, trees: make(map[string]*parse.Tree)}
	var uses []use
	seen := make(map[string]bool)
	var add func(string) error
	add = func(name string) error {
		seen[name] = true
		file, err := r.read(name)
		if err != nil {
			return err
		}
		for _, use := range file.uses {
			if seen[use.name] {
				continue
			}
			err := add(use.name)
			if _, noFile := errors.AsType[*TemplateNotFoundError](err); err != nil && !noFile {
				return err
			}
		}
		maps.Copy(p.trees, file.trees)
		uses = append(uses, file.uses...)
		return nil
	}
	if err := add(name); err != nil {
		return nil, err
	}
	for _, use := range uses {
		// A block that no page has defined yet is html/template's to report; what
		// is named like a file should be one.
		if p.trees[use.name] == nil && path.Ext(use.name) != "" {
			return nil, r.templates.notFound(use.name, use.at)
		}
	}
	return p, nil
}

// eachTemplate calls visit for each {{template}} and {{block}} under a node.
func eachTemplate(node parse.Node, visit func(*parse.TemplateNode)) {
	branch := func(b *parse.BranchNode) {
		eachTemplate(b.List, visit)
		if b.ElseList != nil {
			eachTemplate(b.ElseList, visit)
		}
	}
	switch node := node.(type) {
	case *parse.ListNode:
		for _, child := range node.Nodes {
			eachTemplate(child, visit)
		}
	case *parse.IfNode:
		branch(&node.BranchNode)
	case *parse.RangeNode:
		branch(&node.BranchNode)
	case *parse.WithNode:
		branch(&node.BranchNode)
	case *parse.TemplateNode:
		visit(node)
	}
}
