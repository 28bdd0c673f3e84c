package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Source is the migrations of one app.
type Source struct {
	App string // the app's name, Django's app label; unique among the sources
	FS  fs.FS  // the files, at the root or in a folder "migrations"; nil: the app has none
}

// Migration names one migration.
type Migration struct {
	App  string // "polls"
	Name string // "0001_initial", whatever engine its file is for
}

// String joins both as Django prints them: "polls.0001_initial".
func (m Migration) String() string { return m.App + "." + m.Name }

const (
	postgres = "postgres"
	sqlite   = "sqlite"
)

// folder is where Django keeps the migrations of an app.
const folder = "migrations"

// app is a source that was read.
type app struct {
	name       string
	migrations []*migration // by number
}

func (a *app) find(name string) *migration {
	for _, m := range a.migrations {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// migration is one change of an app and the file that does it on this engine.
type migration struct {
	Migration
	version int64
	file    string
	text    string
	script  script
}

// read reads and checks the files of one app. Mistakes are joined *[Error]
// values.
func (s Source) read(dialect string) (*app, error) {
	a := &app{name: s.App}
	if s.FS == nil {
		return a, nil
	}
	dir, names, err := s.files()
	if err != nil {
		return nil, err
	}
	variants := make(map[int64]map[string]*migration) // by number and engine; "" is every engine
	var errs []error
	for _, name := range names {
		m, engine, err := s.open(dir, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		byEngine := variants[m.version]
		if byEngine == nil {
			byEngine = make(map[string]*migration)
			variants[m.version] = byEngine
		}
		if other := anyOf(byEngine); other != nil && other.Name != m.Name {
			errs = append(errs, &Error{App: s.App, Name: m.Name, File: m.file,
				Err: fmt.Errorf("number %04d is taken by %q", m.version, other.file), Hint: "give one of them the next free number"})
			continue
		}
		byEngine[engine] = m
	}
	for _, version := range slices.Sorted(maps.Keys(variants)) {
		byEngine := variants[version]
		m := cmp.Or(byEngine[dialect], byEngine[""])
		if m == nil {
			m = anyOf(byEngine)
			errs = append(errs, &Error{App: s.App, Name: m.Name, File: m.file,
				Err:  fmt.Errorf("there is no file for %s beside it", dialect),
				Hint: fmt.Sprintf("add %s.sql, or %s.%s.sql; its Up section may be empty", m.Name, m.Name, dialect)})
			continue
		}
		a.migrations = append(a.migrations, m)
	}
	return a, errors.Join(errs...)
}

// anyOf returns the first of the variants of a migration, by name of the engine.
func anyOf(byEngine map[string]*migration) *migration {
	for _, engine := range slices.Sorted(maps.Keys(byEngine)) {
		return byEngine[engine]
	}
	return nil
}

// files finds the folder with the files, and their names.
func (s Source) files() (dir string, names []string, err error) {
	fail := func(problem error, hint string) (string, []string, error) {
		return "", nil, &Error{App: s.App, Err: problem, Hint: hint}
	}
	root, folders, err := list(s.FS, ".")
	if err != nil {
		return fail(fmt.Errorf("its files cannot be listed: %w", err), "check the FS of its source")
	}
	inside := make(map[string][]string)
	for _, name := range folders {
		if len(root) > 0 && name != folder {
			continue
		}
		files, _, err := list(s.FS, name)
		if err != nil {
			return fail(fmt.Errorf("its folder %q cannot be listed: %w", name, err), "check the FS of its source")
		}
		if len(files) > 0 {
			inside[name] = files
		}
	}
	switch {
	case len(root) > 0 && len(inside[folder]) > 0:
		return fail(fmt.Errorf("there are SQL files at the root and in %q", folder), "keep the migrations in one folder")
	case len(root) > 0:
		return ".", root, nil
	case len(inside[folder]) > 0:
		return folder, inside[folder], nil
	case len(inside) > 0:
		other := slices.Min(slices.Collect(maps.Keys(inside)))
		return fail(fmt.Errorf("its SQL files are in the folder %q", other),
			fmt.Sprintf("call the folder %q, or hand over fs.Sub(fsys, %q)", folder, other))
	}
	return ".", nil, nil
}

// list returns the SQL files and the folders of dir, without hidden ones.
func list(fsys fs.FS, dir string) (files, folders []string, err error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, nil, err
	}
	for _, entry := range entries {
		switch name := entry.Name(); {
		case strings.HasPrefix(name, "."):
		case entry.IsDir():
			folders = append(folders, name)
		case strings.EqualFold(path.Ext(name), ".sql"):
			files = append(files, name)
		}
	}
	return files, folders, nil
}

// open reads and checks one file.
func (s Source) open(dir, file string) (m *migration, engine string, err error) {
	name, engine, err := parseName(file)
	if err != nil {
		return nil, "", &Error{App: s.App, File: file, Err: err, Hint: "name it like 0001_initial.sql or 0001_initial.postgres.sql"}
	}
	version, err := strconv.ParseInt(name[:4], 10, 64)
	if err != nil || version == 0 {
		return nil, "", &Error{App: s.App, Name: name, File: file, Err: errors.New("0000 is no number of a migration"), Hint: "begin with 0001"}
	}
	text, err := fs.ReadFile(s.FS, path.Join(dir, file))
	if err != nil {
		return nil, "", &Error{App: s.App, Name: name, File: file, Err: err}
	}
	m = &migration{Migration: Migration{s.App, name}, version: version, file: file, text: string(text)}
	if m.script, err = parse(m.file, m.text, version); err != nil {
		var at *Error
		if errors.As(err, &at) {
			at.App, at.Name, at.File = s.App, name, file
		}
		return nil, "", err
	}
	return m, engine, nil
}

// parseName splits NNNN_words.sql and NNNN_words.engine.sql.
func parseName(file string) (name, engine string, err error) {
	name, ok := strings.CutSuffix(file, ".sql")
	if !ok {
		return "", "", errors.New("the name does not end with .sql in lower case")
	}
	name, engine, dotted := strings.Cut(name, ".")
	if dotted && engine != postgres && engine != sqlite {
		return "", "", fmt.Errorf("%q is no engine: say %s or %s", engine, postgres, sqlite)
	}
	number, words, _ := strings.Cut(name, "_")
	if len(number) != 4 || strings.Trim(number, "0123456789") != "" {
		return "", "", errors.New("the name does not begin with four digits and an underscore")
	}
	if words == "" || strings.Trim(words, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return "", "", errors.New("after the number come words of lower case letters, digits and underscores")
	}
	return name, engine, nil
}
