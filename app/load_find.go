package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	defaultFile = "settings.yaml"
	envSettings = "QUINTET_SETTINGS"
)

// A file is one that exists, though it may not be readable.
type settingsFile struct {
	path  string // absolute
	shown string // from the working directory, if it was named that way
}

// findFiles finds every file, or tells where it looked for each that is missing.
func findFiles(dir, override string, paths []string) ([]settingsFile, error) {
	if len(paths) == 0 {
		paths = []string{defaultFile}
	}
	var (
		files []settingsFile
		errs  []error
	)
	for i, path := range paths {
		candidates, hint := upward(dir, path), "write it, or name another one in "+envSettings
		switch {
		case i == 0 && override != "":
			path, candidates, hint = override, []string{absolutePath(dir, override)}, envSettings+" names it"
		case i > 0:
			hint = "write it, or leave it out of Load"
		}
		found, err := firstExisting(candidates)
		if err != nil {
			errs = append(errs, &ConfigError{
				File: path, Problem: "not found; looked at " + strings.Join(candidates, ", "), Hint: hint, cause: err,
			})
			continue
		}
		files = append(files, settingsFile{path: found, shown: shownPath(dir, path, found)})
	}
	return files, errors.Join(errs...)
}

func absolutePath(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// upward lists where path may be: in dir, and above it as far as the module
// reaches. Without a module dir is all there is: what lies about in the folders
// above belongs to somebody else.
func upward(dir, path string) []string {
	if filepath.IsAbs(path) {
		return []string{path}
	}
	var candidates []string
	for folder := dir; ; folder = filepath.Dir(folder) {
		candidates = append(candidates, filepath.Join(folder, path))
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return candidates
		}
		if folder == filepath.Dir(folder) {
			return candidates[:1]
		}
	}
}

// firstExisting stops at a file that is there but cannot be looked at: to read
// another one instead would be a surprise.
func firstExisting(candidates []string) (string, error) {
	for _, path := range candidates {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
	}
	return "", fs.ErrNotExist
}

func shownPath(dir, path, found string) string {
	if filepath.IsAbs(path) {
		return path
	}
	if rel, err := filepath.Rel(dir, found); err == nil {
		return rel
	}
	return found
}

// unreadableFile explains an error of the file system.
func unreadableFile(file, key string, err error) *ConfigError {
	m := &ConfigError{File: file, Key: key, Problem: fmt.Sprintf("cannot be read: %v", err), cause: err}
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		m.Problem = fmt.Sprintf("cannot be read: %v", pathError.Err)
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		m.Hint = "let the user that runs the site read it"
	case errors.Is(err, fs.ErrNotExist):
		m.Hint = "write it, or name another one"
	default:
		m.Hint = "name a readable file"
	}
	return m
}
