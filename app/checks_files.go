package app

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"text/template/parse"

	"github.com/goquintet/quintet/db/migrate"
)

// checkTemplates parses all templates, which a site in DEBUG has not done yet, and
// looks up the routes that they name.
func checkTemplates(s *Site, _ []App) (found []Problem) {
	folders := []fs.FS{s.options.Templates}
	for _, a := range s.apps {
		folders = append(folders, a.Templates)
	}
	folders = slices.DeleteFunc(folders, func(f fs.FS) bool { return f == nil })
	if _, err := s.parseTemplates(folders, false); err != nil {
		for _, mistake := range unjoin(err) {
			found = append(found, known("quintet.E002", "", strings.TrimPrefix(mistake.Error(), "views: "), "correct the template"))
		}
		return found
	}
	told := make(map[string]bool)
	for _, name := range fileNames(folders) {
		t, err := s.templates.Lookup(name)
		if err != nil {
			continue // a part of pages, which is no page by itself
		}
		for _, part := range t.Templates() {
			if part.Tree == nil || part.Tree.Root == nil {
				continue
			}
			for _, use := range routeNames(part.Tree.Root) {
				where, _ := part.Tree.ErrorContext(use)
				if _, ok := s.byName[use.Text]; ok || told[where] {
					continue
				}
				told[where] = true // a layout is part of many pages
				found = append(found, s.unknownRoute(where, use.Text))
			}
		}
	}
	return found
}

func (s *Site) unknownRoute(where, name string) Problem {
	hint := "the routes have no names; give this one app.Name"
	if names := s.names(); len(names) > 0 {
		hint = "the names are " + sentence(names)
		if meant := nearest(name, names); meant != "" {
			hint = fmt.Sprintf("did you mean %q?", meant)
		}
	}
	return known("quintet.E003", where, fmt.Sprintf("no route has the name %q", name), hint)
}

// routeNames are the literal names that the function url is called with.
func routeNames(node parse.Node) (names []*parse.StringNode) {
	each := func(nodes ...parse.Node) {
		for _, n := range nodes {
			names = append(names, routeNames(n)...)
		}
	}
	branch := func(b *parse.BranchNode) {
		each(b.Pipe, b.List)
		if b.ElseList != nil {
			each(b.ElseList)
		}
	}
	switch n := node.(type) {
	case *parse.ListNode:
		each(n.Nodes...)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	case *parse.ActionNode:
		each(n.Pipe)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			each(n.Pipe)
		}
	case *parse.PipeNode:
		for _, command := range n.Cmds {
			each(command)
		}
	case *parse.CommandNode:
		if function, ok := n.Args[0].(*parse.IdentifierNode); ok && function.Ident == "url" && len(n.Args) > 1 {
			if name, ok := n.Args[1].(*parse.StringNode); ok {
				names = append(names, name)
			}
		}
		each(n.Args...)
	}
	return names
}

// checkFiles looks for files of apps that hide each other. That those of the site
// hide those of its apps is what they are for.
func checkFiles(s *Site, apps []App) (found []Problem) {
	hidden := func(kind string, folder func(App) fs.FS) {
		first := make(map[string]string)
		for _, a := range s.apps {
			for _, name := range fileNames([]fs.FS{folder(a)}) {
				owner, taken := first[name]
				switch concerns := func(b App) bool { return b.Name == a.Name || b.Name == owner }; {
				case !taken:
					first[name] = a.Name
				case slices.ContainsFunc(apps, concerns):
					found = append(found, known("quintet.W013", a.Name,
						fmt.Sprintf("its %s %q is never used: that of the app %s comes first", kind, name, owner),
						fmt.Sprintf("put it into a folder of the app's name, %q", a.Name+"/"+name)))
				}
			}
		}
	}
	hidden("template", func(a App) fs.FS { return a.Templates })
	hidden("static file", func(a App) fs.FS { return a.Static })
	return found
}

// fileNames lists the files of folders once each, without hidden ones. What cannot
// be read is not listed: whoever opens it says so.
func fileNames(folders []fs.FS) (names []string) {
	for _, folder := range folders {
		if folder == nil {
			continue
		}
		_ = fs.WalkDir(folder, ".", func(name string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return fs.SkipDir
			case name != "." && entry.Name()[0] == '.' && entry.IsDir():
				return fs.SkipDir
			case !entry.IsDir() && entry.Name()[0] != '.':
				names = append(names, name)
			}
			return nil
		})
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// checkMigrations reads the migration files of each app, for the engines of the
// site's databases.
func checkMigrations(s *Site, apps []App) (found []Problem) {
	told := make(map[string]bool)
	for _, alias := range s.connections.Aliases() {
		settings, _ := s.connections.Settings(alias)
		for _, a := range apps {
			err := migrate.Validate(settings.Engine, migrate.Source{App: a.Name, FS: a.Migrations})
			for _, mistake := range unjoin(err) {
				p := known("quintet.E004", a.Name, strings.TrimPrefix(mistake.Error(), "migrate: "), "")
				if m, ok := errors.AsType[*migrate.Error](mistake); ok {
					p.Message, p.Hint = strings.TrimSuffix(p.Message, "; "+m.Hint), m.Hint
				}
				if !told[p.Message] {
					told[p.Message] = true
					found = append(found, p)
				}
			}
		}
	}
	return found
}
