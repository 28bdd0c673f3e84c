package commands

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/modfile"
)

// change is a file of the project that gets another text.
type change struct {
	path, what string
	old, text  []byte
}

// listApp prepares what makes the site know an app. It changes nothing yet. What is
// there already is not written again.
func (p project) listApp(name string, alone bool) ([]change, error) {
	var changes []change
	add := func(path, what string, edit func(old []byte) ([]byte, error)) error {
		path = filepath.Join(p.root, path)
		old, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text, err := edit(old)
		if err == nil && !bytes.Equal(text, old) {
			changes = append(changes, change{path, what, old, text})
		}
		return err
	}
	if !alone {
		if err := p.checkFree(name); err != nil {
			return nil, err
		}
		err := add(filepath.Join("site", "apps.go"), name+" is in the list of apps", func(old []byte) ([]byte, error) {
			return p.edit("apps.go", old, name, addToApps)
		})
		if err != nil {
			return nil, err
		}
		err = add(filepath.Join("site", "urls.go"), "its pages are below /"+name+"/", func(old []byte) ([]byte, error) {
			return p.edit("urls.go", old, name, addToURLs)
		})
		if err != nil {
			return nil, err
		}
	}
	err := add("go.mod", "its models import bun, which is a direct requirement now", requireDirectly)
	return changes, err
}

// requireDirectly removes the "// indirect" from the module that models import, as
// "go mod tidy" would.
func requireDirectly(old []byte) ([]byte, error) {
	const models = "github.com/uptrace/bun"
	file, err := modfile.Parse("go.mod", old, nil)
	if err != nil {
		return nil, &Error{Problem: err.Error(), Hint: "correct it", Err: err}
	}
	i := slices.IndexFunc(file.Require, func(r *modfile.Require) bool { return r.Mod.Path == models })
	if i < 0 || !file.Require[i].Indirect {
		return old, nil
	}
	requires := file.Require
	requires[i].Indirect = false
	file.SetRequireSeparateIndirect(requires)
	file.Cleanup()
	return file.Format()
}

// checkFree finds who else has the name in the package of the site, where an import
// of the app has to fit in.
func (p project) checkFree(name string) error {
	sources, err := os.ReadDir(filepath.Join(p.root, "site"))
	if err != nil {
		return err
	}
	taken := func(at token.Position) error {
		return &Error{
			Problem: fmt.Sprintf("%q cannot be the name of an app: %s:%d uses it for something else", name, at.Filename, at.Line),
			Hint:    "choose another name, or rename what is there",
		}
	}
	for _, source := range sources {
		if filepath.Ext(source.Name()) != ".go" {
			continue
		}
		shown := filepath.Join("site", source.Name())
		text, err := os.ReadFile(filepath.Join(p.root, shown))
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, shown, text, parser.SkipObjectResolution)
		if err != nil {
			return &Error{Problem: err.Error(), Hint: "correct it first", Err: err}
		}
		if at := declared(file, name); at.IsValid() && !strings.HasSuffix(file.Name.Name, "_test") {
			return taken(fset.Position(at))
		}
		for _, imported := range file.Imports {
			if other := pathOf(imported); importName(imported) == name && other != p.module+"/"+name &&
				slices.Contains([]string{"apps.go", "urls.go"}, source.Name()) {
				return taken(fset.Position(imported.Pos()))
			}
		}
	}
	return nil
}

// declared is where a file gives a name to something of its package.
func declared(file *ast.File, name string) token.Pos {
	var names []*ast.Ident
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				names = append(names, d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, s.Name)
				case *ast.ValueSpec:
					names = append(names, s.Names...)
				}
			}
		}
	}
	if i := slices.IndexFunc(names, func(id *ast.Ident) bool { return id.Name == name }); i >= 0 {
		return names[i].Pos()
	}
	return token.NoPos
}

func pathOf(spec *ast.ImportSpec) string {
	text, _ := strconv.Unquote(spec.Path.Value) // the parser has seen to it
	return text
}

// importName is the name that an import has in its file, as far as its path tells.
func importName(spec *ast.ImportSpec) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	return path.Base(pathOf(spec))
}

// insertion is a text at a place.
type insertion struct {
	at   token.Pos
	text string
}

// edit adds an app to a file of the site: its import, and what find inserts. The rest
// of the file stays as it is, but for the spacing that gofmt does.
func (p project) edit(base string, src []byte, name string, find func(*sourceFile, string) (insertion, string)) ([]byte, error) {
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, base, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, &Error{Problem: "site/" + err.Error(), Hint: "correct it first", Err: err}
	}
	file := &sourceFile{File: parsed, src: src, tokens: fset.File(parsed.Pos())}
	importPath, call := p.module+"/"+name, name+".App()"
	insertions := []insertion{}
	if i := slices.IndexFunc(parsed.Imports, func(spec *ast.ImportSpec) bool { return pathOf(spec) == importPath }); i >= 0 {
		call = importName(parsed.Imports[i]) + ".App()"
	} else {
		insertions = append(insertions, file.importing(p.module, importPath))
	}
	added, missing := find(file, call)
	if missing != "" {
		return nil, &Error{
			Problem: fmt.Sprintf("site/%s is not as startproject has written it: %s", base, missing),
			Hint:    fmt.Sprintf("make the app with --alone, and write the rest by hand. %s", byHand(p.module, name)),
		}
	}
	if added.text == "" {
		return src, nil // it is there
	}
	insertions = append(insertions, added)
	slices.SortFunc(insertions, func(a, b insertion) int { return int(b.at - a.at) })
	text := string(src)
	for _, in := range insertions { // the last one first, so that places stay true
		offset := file.tokens.Offset(in.at)
		text = text[:offset] + in.text + text[offset:]
	}
	return format.Source([]byte(text))
}

// sourceFile is a file of the site that gets additions.
type sourceFile struct {
	*ast.File
	src    []byte
	tokens *token.File
}

// importing puts an import beside those of the same module, or into a group of its
// own after all others. Gofmt sorts the group.
func (f *sourceFile) importing(module, path string) insertion {
	var last *ast.GenDecl
	for _, decl := range f.Decls {
		imports, ok := decl.(*ast.GenDecl)
		if !ok || imports.Tok != token.IMPORT {
			break
		}
		last = imports
		for _, spec := range imports.Specs {
			if strings.HasPrefix(pathOf(spec.(*ast.ImportSpec)), module+"/") && imports.Lparen.IsValid() {
				return insertion{f.lineEnd(spec.End()), fmt.Sprintf("\n\t%q", path)}
			}
		}
	}
	switch {
	case last == nil:
		return insertion{f.lineEnd(f.Name.End()), fmt.Sprintf("\n\nimport %q\n", path)}
	case last.Lparen.IsValid():
		return insertion{last.Rparen, fmt.Sprintf("\n\t%q\n", path)}
	}
	return insertion{f.lineEnd(last.End()), fmt.Sprintf("\nimport %q", path)}
}

// lineEnd is the end of the line that pos is in, comments on it included.
func (f *sourceFile) lineEnd(pos token.Pos) token.Pos {
	offset := f.tokens.Offset(pos)
	if i := bytes.IndexByte(f.src[offset:], '\n'); i >= 0 {
		return f.tokens.Pos(offset + i)
	}
	return f.tokens.Pos(len(f.src))
}

// function finds a function of the package by its name.
func (f *sourceFile) function(name string) *ast.FuncDecl {
	for _, decl := range f.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == name && fn.Body != nil {
			return fn
		}
	}
	return nil
}

// beforeBrace inserts a line before a closing brace, which may be on the line of what
// stands before it.
func (f *sourceFile) beforeBrace(brace, before token.Pos, line string) insertion {
	if f.tokens.Line(before) == f.tokens.Line(brace) {
		line = "\n" + line
	}
	return insertion{brace, line + "\n"}
}

// addToApps finds the list that apps returns.
func addToApps(f *sourceFile, call string) (in insertion, missing string) {
	apps := f.function("apps")
	if apps == nil || len(apps.Body.List) == 0 {
		return in, "it has no function apps that returns the list of them"
	}
	result, ok := apps.Body.List[len(apps.Body.List)-1].(*ast.ReturnStmt)
	if !ok || len(result.Results) != 1 {
		return in, "its function apps does not end with the list of them"
	}
	list, ok := result.Results[0].(*ast.CompositeLit)
	if !ok {
		return in, "its function apps does not end with the list of them"
	}
	for _, element := range list.Elts {
		if f.text(element) == call {
			return in, ""
		}
	}
	if len(list.Elts) == 0 {
		return f.beforeBrace(list.Rbrace, list.Lbrace, call+","), ""
	}
	last := list.Elts[len(list.Elts)-1].End()
	if f.tokens.Line(last) == f.tokens.Line(list.Rbrace) {
		return insertion{last, ", " + call}, ""
	}
	return insertion{list.Rbrace, call + ",\n"}, ""
}

// addToURLs finds the function that gets the site.
func addToURLs(f *sourceFile, call string) (in insertion, missing string) {
	urls := f.function("urls")
	if urls == nil || len(urls.Type.Params.List) != 1 || len(urls.Type.Params.List[0].Names) != 1 {
		return in, "it has no function urls that gets the site"
	}
	site, name := urls.Type.Params.List[0].Names[0].Name, strings.TrimSuffix(call, ".App()")
	if site == "_" || site == name {
		return in, fmt.Sprintf("its function urls calls the site %s", site)
	}
	before := urls.Body.Lbrace
	for _, statement := range urls.Body.List {
		before = statement.End()
		expression, ok := statement.(*ast.ExprStmt)
		if !ok {
			continue
		}
		if include, ok := expression.X.(*ast.CallExpr); ok && len(include.Args) == 2 && f.text(include.Args[1]) == call {
			return in, ""
		}
	}
	return f.beforeBrace(urls.Body.Rbrace, before, fmt.Sprintf("%s.Include(\"/%s\", %s)", site, name, call)), ""
}

// text is how a part of the file is written.
func (f *sourceFile) text(node ast.Node) string {
	return string(f.src[f.tokens.Offset(node.Pos()):f.tokens.Offset(node.End())])
}
