package reload

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// kind is what a changed file means.
type kind int

const (
	ignored  kind = iota
	built         // may be part of the program
	page          // may be part of the program, or read at each request
	settings      // read when the program starts
)

// folderMark ends the path of a folder that has vanished.
const folderMark = string(filepath.Separator)

// kindOf judges a file by its name. Folders with embedded files may hold anything.
func (l layout) kindOf(path string) kind {
	name := strings.ToLower(filepath.Base(path))
	switch {
	case l.extras[path]:
		return settings
	case strings.HasSuffix(path, folderMark):
		return built
	case strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") || strings.HasSuffix(name, "~"),
		strings.HasSuffix(name, "_test.go"),
		isDatabase(name):
		return ignored
	}
	switch filepath.Ext(name) {
	case ".yaml", ".yml":
		return settings
	case ".html", ".htm", ".gohtml", ".tmpl", ".css", ".js", ".mjs":
		return page
	case ".go", ".mod", ".sum", ".work", ".sql", ".json", ".toml", ".txt", ".md", ".csv", ".xml", ".po", ".mo",
		".map", ".webmanifest", ".svg", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".ico", ".woff", ".woff2",
		".c", ".h", ".cc", ".cpp", ".hpp", ".s":
		return built
	case ".tmp", ".swp", ".swx", ".log", ".pid", ".sock":
		return ignored
	}
	if l.embeds[filepath.Dir(path)] {
		return built
	}
	return ignored
}

// isDatabase knows SQLite's files by their usual names.
func isDatabase(name string) bool {
	for _, end := range []string{"-journal", "-wal", "-shm"} {
		name = strings.TrimSuffix(name, end)
	}
	switch filepath.Ext(name) {
	case ".sqlite", ".sqlite3", ".db", ".db3":
		return true
	}
	return false
}

// enters reports whether a folder below a root is looked into: not what is hidden,
// not what others have written, and not another module.
func (l layout) enters(root, dir string) bool {
	if dir == root {
		return true
	}
	switch name := filepath.Base(dir); {
	case strings.HasPrefix(name, "."), name == "node_modules", name == "testdata":
		return false
	case name == "vendor" && filepath.Dir(dir) == root:
		return false
	}
	_, err := os.Lstat(filepath.Join(dir, "go.mod"))
	return err != nil
}

// walk visits the folders and files that are watched. What vanishes meanwhile, and
// what may not be read, is passed over: it is none of the program's sources then.
func (l layout) walk(folder func(path string) error, file func(path string, info fs.FileInfo)) error {
	for _, root := range l.roots {
		if err := l.walkFrom(root, root, folder, file); err != nil {
			return err
		}
	}
	for path := range l.extras {
		if err := folder(filepath.Dir(path)); err != nil {
			return err
		}
		if info, err := os.Stat(path); err == nil {
			file(path, info)
		}
	}
	return nil
}

func (l layout) walkFrom(root, dir string, folder func(path string) error, file func(path string, info fs.FileInfo)) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			if !l.enters(root, path) {
				return fs.SkipDir
			}
			return folder(path)
		case l.kindOf(path) != ignored:
			if info, err := d.Info(); err == nil {
				file(path, info)
			}
		}
		return nil
	})
}

// rootOf is the root that a path lies below.
func (l layout) rootOf(path string) (string, bool) {
	for _, root := range l.roots {
		if path == root || strings.HasPrefix(path, root+string(filepath.Separator)) {
			return root, true
		}
	}
	return "", false
}

// newerThan reports whether a file has changed since: the question of make.
func (l layout) newerThan(since time.Time) bool {
	newer := false
	_ = l.walk(func(string) error { return nil }, func(_ string, info fs.FileInfo) { // none of these fails
		newer = newer || info.ModTime().After(since)
	})
	return newer
}
