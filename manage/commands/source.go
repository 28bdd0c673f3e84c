package commands

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/goquintet/quintet/app"
)

// migrationFolder finds where the source of an app keeps its migrations. What the
// program has of them is embedded; the folder on disk is recognised by its files.
func (c *cli) migrationFolder(ctx context.Context, a app.App, dir string) (string, error) {
	embedded, err := migrationFiles(a)
	if err != nil {
		return "", err
	}
	if dir != "" {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(c.env.Dir, dir)
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return "", &Error{Problem: fmt.Sprintf("there is no folder %s", dir), Hint: "make it, or name another one with --dir", Err: err}
		}
		return filepath.Abs(dir)
	}
	var looked []string
	for _, source := range c.sourceFolders(ctx, a) {
		candidates := []string{filepath.Join(source, "migrations"), source}
		if len(embedded) == 0 {
			return candidates[0], nil
		}
		for _, candidate := range candidates {
			if hasAll(candidate, embedded) {
				return candidate, nil
			}
			looked = append(looked, candidate)
		}
	}
	problem := fmt.Sprintf("the source of the app %s is not found", a.Name)
	if len(looked) > 0 {
		problem = fmt.Sprintf("the migrations of the app %s are in none of %s", a.Name, strings.Join(looked, ", "))
	}
	return "", &Error{Problem: problem, Hint: "name their folder with --dir"}
}

// migrationFiles are the names of the files that the program has.
func migrationFiles(a app.App) (names []string, err error) {
	if a.Migrations == nil {
		return nil, nil
	}
	err = fs.WalkDir(a.Migrations, ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".sql") {
			names = append(names, entry.Name())
		}
		return err
	})
	return names, err
}

func hasAll(dir string, names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err != nil
	})
}

// sourceFolders are the folders of the packages that the parts of an app come from,
// the likeliest first.
func (c *cli) sourceFolders(ctx context.Context, a app.App) (folders []string) {
	add := func(folder string) {
		if folder != "" && !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	for _, function := range functionsOf(a) {
		add(c.folderOf(ctx, function))
	}
	for _, model := range a.Models {
		if typ := reflect.TypeOf(model); typ != nil && typ.Kind() == reflect.Pointer && typ.Elem().PkgPath() != "" {
			add(c.packageFolder(ctx, typ.Elem().PkgPath()))
		}
	}
	return folders
}

// functionsOf are the functions of an app that are there.
func functionsOf(a app.App) (functions []any) {
	all := []any{a.Routes, a.Ready}
	for _, check := range a.Checks {
		all = append(all, check)
	}
	for _, command := range a.Commands {
		all = append(all, command.Run)
	}
	for _, function := range all {
		if !reflect.ValueOf(function).IsNil() {
			functions = append(functions, function)
		}
	}
	return functions
}

// folderOf is the folder of a function's source. Where the program was built with
// -trimpath it knows no folders, and the go command does.
func (c *cli) folderOf(ctx context.Context, function any) string {
	f := runtime.FuncForPC(reflect.ValueOf(function).Pointer())
	file, _ := f.FileLine(f.Entry())
	if _, err := os.Stat(file); err == nil && filepath.IsAbs(file) {
		return filepath.Dir(file)
	}
	// "example.com/blog/polls.urls", "example.com/blog/polls.(*App).Ready-fm"
	name := f.Name()
	slash := strings.LastIndexByte(name, '/') + 1
	pkg, _, _ := strings.Cut(name[slash:], ".")
	return c.packageFolder(ctx, name[:slash]+pkg)
}

// packageFolder asks the go command for the folder of a package; "" when it does not
// know.
func (c *cli) packageFolder(ctx context.Context, pkg string) string {
	cmd := exec.CommandContext(ctx, "go", "list", "-find", "-f", "{{.Dir}}", pkg)
	cmd.Dir = c.env.Dir
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
