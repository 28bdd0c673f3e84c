package commands

import (
	"bytes"
	"embed"
	"fmt"
	"go/format"
	"io/fs"
	"path"
	"slices"
	"strings"
	"text/template"
)

// scaffold has the files of a new project and of a new app. Each is named as it will
// be, with ".tmpl" behind it, because Go does not embed what lies beside a go.mod.
//
//go:embed all:scaffold
var scaffold embed.FS

const (
	projectFiles = "scaffold/project"
	appFiles     = "scaffold/app"
)

// scaffoldData is what the files are told.
type scaffoldData struct {
	Name   string // "blog", or of an app "polls"
	Title  string // the same for people: "Blog"
	Module string // the project's module path

	// For projects:
	SecretKey string
	Framework frameworkModule
}

// titled writes a name for people: "my_shop" is "My shop".
func titled(name string) string {
	words := strings.ReplaceAll(name, "_", " ")
	return strings.ToUpper(words[:1]) + words[1:]
}

// newFile is a file that will be written.
type newFile struct {
	path string // with slashes, from the folder of the project or the app
	text []byte
}

// render executes every file below a folder of the scaffold. NAME in a path becomes
// the name. The delimiters are [[ and ]], so that {{ }} is left to the templates of
// the site. Go comes out as gofmt writes it, whatever the length of the names.
func render(folder string, data scaffoldData) ([]newFile, error) {
	var files []newFile
	err := fs.WalkDir(scaffold, folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		source, err := fs.ReadFile(scaffold, name)
		if err != nil {
			return err
		}
		parsed, err := template.New(name).Delims("[[", "]]").Option("missingkey=error").Parse(string(source))
		if err != nil {
			return err
		}
		var text bytes.Buffer
		if err := parsed.Execute(&text, data); err != nil {
			return err
		}
		made := strings.TrimSuffix(strings.TrimPrefix(name, folder+"/"), ".tmpl")
		file := newFile{path: strings.ReplaceAll(made, "NAME", data.Name), text: text.Bytes()}
		if path.Ext(file.path) == ".go" {
			if file.text, err = format.Source(file.text); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		files = append(files, file)
		return nil
	})
	slices.SortFunc(files, func(a, b newFile) int { return strings.Compare(a.path, b.path) })
	return files, err
}
