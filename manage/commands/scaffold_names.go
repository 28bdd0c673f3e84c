package commands

import (
	"fmt"
	"go/doc"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

// checkName refuses what cannot be the name of a package, and names that would hide a
// package or be hidden by one.
func checkName(kind, name string) error {
	refuse := func(problem string) error {
		return &Error{Problem: fmt.Sprintf("%q cannot be the name of %s: %s", name, kind, problem), Hint: "choose another name"}
	}
	switch {
	case !isName(name):
		hint := "use lower-case letters, digits and underscores, and begin with a letter"
		if meant := asName(name); meant != "" {
			hint = fmt.Sprintf("say for example %s: %s", meant, hint)
		}
		return &Error{Problem: fmt.Sprintf("%q cannot be the name of %s", name, kind), Hint: hint}
	case token.IsKeyword(name):
		return refuse("it is a keyword of Go")
	case doc.IsPredeclared(name) || name == "init":
		return refuse("it means something to Go already")
	case slices.Contains(specialNames(), name):
		return refuse("the go command does something special with it")
	case slices.Contains(standardLibrary(), name):
		return refuse("it is a package of the standard library")
	case strings.HasSuffix(name, "_test"):
		return refuse("its end says that it is a test")
	}
	return nil
}

// checkProjectName is checkName for a project, whose name begins the import path of
// every package in it.
func checkProjectName(name string) error {
	if err := checkName("a project", name); err != nil {
		return err
	}
	if slices.Contains(standardFolders(), name) {
		return &Error{
			Problem: fmt.Sprintf("%q cannot be the name of a project: packages of the standard library begin with it", name),
			Hint:    "choose another name",
		}
	}
	return nil
}

// checkAppName is checkName for an app: its package stands beside those of the
// project, and is imported where those of the framework are.
func checkAppName(name string) error {
	if err := checkName("an app", name); err != nil {
		return err
	}
	refuse := func(problem string) error {
		return &Error{Problem: fmt.Sprintf("%q cannot be the name of an app: %s", name, problem), Hint: "choose another name"}
	}
	switch {
	case slices.Contains([]string{"manage", "site"}, name):
		return refuse("every project has a package of that name")
	case slices.Contains([]string{"app", "apptest", "bun", "commands", "db", "dbtest", "postgres", "sqlite", "views"}, name):
		return refuse("a package that the site imports has it")
	}
	return nil
}

func isName(name string) bool {
	return regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(name)
}

// asName is the nearest name that is one, or "".
func asName(name string) string {
	name = regexp.MustCompile(`[\s./\\-]+`).ReplaceAllString(strings.ToLower(name), "_")
	if name = strings.Trim(name, "_"); isName(name) {
		return name
	}
	return ""
}

// specialNames mean something to the go command as the name of a package, of a folder
// or of a module.
func specialNames() []string {
	return []string{
		"all", "cmd", "std", "tool", "work", "main", // patterns
		"example", "test", // module paths that are for everybody
		"internal", "testdata", "vendor", // folders
		"documentation", // a package that is ignored
	}
}

// standardLibrary are its packages whose import path is one word.
func standardLibrary() []string {
	return []string{
		"bufio", "bytes", "cmp", "context", "crypto", "embed", "encoding", "errors", "expvar", "flag", "fmt", "hash",
		"html", "image", "io", "iter", "log", "maps", "math", "mime", "net", "os", "path", "plugin", "reflect",
		"regexp", "runtime", "slices", "sort", "strconv", "strings", "structs", "sync", "syscall", "testing", "time",
		"unicode", "unique", "unsafe", "weak",
	}
}

// standardFolders are the first words of the import paths of the others.
func standardFolders() []string {
	return []string{"archive", "compress", "container", "database", "debug", "go", "index", "text"}
}
