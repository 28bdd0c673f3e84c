package server

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// ErrNotInstalled means that this machine has no PostgreSQL server, or that PGBIN
// names a folder without one. The errors that wrap it say where was looked and how
// to get it.
var ErrNotInstalled = errors.New("PostgreSQL is not installed")

// Find returns the folder with PostgreSQL's programs (initdb and postgres):
// $PGBIN when it is set, and then nothing else; otherwise the newest version among
// the folders that Debian, Red Hat and Homebrew install into; otherwise the
// folder of the postgres in PATH. Errors wrap [ErrNotInstalled].
func Find() (string, error) {
	if dir := os.Getenv("PGBIN"); dir != "" {
		if hasServer(dir) {
			return dir, nil
		}
		return "", fmt.Errorf("server: %w: PGBIN=%q has no initdb and postgres; point it at a folder that has, or unset it",
			ErrNotInstalled, dir)
	}
	patterns := []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
	}
	for _, pattern := range patterns {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			return "", fmt.Errorf("server: %q: %w", pattern, err)
		}
		slices.SortFunc(dirs, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
		if i := slices.IndexFunc(dirs, hasServer); i >= 0 {
			return dirs[i], nil
		}
	}
	if program, err := exec.LookPath("postgres"); err == nil {
		// a link leads to the folder that has initdb as well
		if target, err := filepath.EvalSymlinks(program); err == nil {
			program = target
		}
		if dir := filepath.Dir(program); hasServer(dir) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("server: %w: looked in %s and PATH; %s, or set PGBIN to the folder of initdb and postgres",
		ErrNotInstalled, strings.Join(patterns, ", "), howToInstall())
}

func hasServer(dir string) bool {
	for _, program := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, program)); err != nil {
			return false
		}
	}
	return true
}

// version is the first number in a path of the patterns above: 15 of
// /usr/lib/postgresql/15/bin.
func version(dir string) int {
	digits := strings.FieldsFunc(dir, func(r rune) bool { return r < '0' || r > '9' })
	if len(digits) == 0 {
		return 0
	}
	n, err := strconv.Atoi(digits[0])
	if err != nil {
		return 0
	}
	return n
}

func howToInstall() string {
	if runtime.GOOS == "darwin" {
		return "run \"brew install postgresql@17\""
	}
	return "run \"apt-get install postgresql\" (or your system's own)"
}
