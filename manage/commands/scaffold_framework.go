package commands

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// unreleased is the version that a go.mod requires of what it replaces.
const unreleased = "v0.0.0-00010101000000-000000000000"

// frameworkModule is what the go.mod and the go.sum of a project say about Quintet.
type frameworkModule struct {
	Path     string
	Version  string
	Replace  string          // the folder of a checkout, quoted; "" with a released version
	Go       string          // the version of Go that it needs
	Requires []frameworkNeed // what it stands on
	Sums     string          // the go.sum of a project
}

type frameworkNeed struct{ Path, Version string }

// findFramework finds the Quintet that a new project will stand on: the released
// version that this program was built with, or else a checkout, which the project
// then replaces it by. A folder that is given goes before all of it.
func (c *cli) findFramework(ctx context.Context, folder string) (frameworkModule, error) {
	if folder != "" {
		folder, err := c.absolute(folder)
		if err != nil {
			return frameworkModule{}, err
		}
		return fromCheckout(folder)
	}
	info, _ := debug.ReadBuildInfo()
	built := builtWith(info)
	if built.Sum != "" && built.Replace == nil {
		return fromRelease(ctx, built.Version)
	}
	for _, find := range []func() string{
		func() string { return replacedBy(built) },
		sourceFolder,
		func() string { return c.listedFolder(ctx) },
	} {
		if folder := find(); isFramework(folder) {
			return fromCheckout(folder)
		}
	}
	return frameworkModule{}, &Error{
		Problem: "the source of Quintet is not found, and this program is no released version of it",
		Hint:    "say where a checkout of it is: --framework DIR",
	}
}

// builtWith is the framework as the module of this program or one of its
// dependencies; the zero Module when nothing is known.
func builtWith(info *debug.BuildInfo) debug.Module {
	if info == nil {
		return debug.Module{}
	}
	for _, module := range append(info.Deps, &info.Main) {
		if module.Path == framework {
			return *module
		}
	}
	return debug.Module{}
}

// replacedBy is the checkout that the project of this program names. A relative one
// is meant from a folder that the program does not know.
func replacedBy(built debug.Module) string {
	if built.Replace == nil || !filepath.IsAbs(built.Replace.Path) {
		return ""
	}
	return built.Replace.Path
}

// sourceFolder is where the compiler found this file, unless -trimpath hides it.
func sourceFolder() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// listedFolder is where the go command finds the framework from here: in a project,
// or in a checkout.
func (c *cli) listedFolder(ctx context.Context) string {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", framework)
	cmd.Dir = c.env.Dir
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func isFramework(folder string) bool {
	data, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	return filepath.IsAbs(folder) && err == nil && modfile.ModulePath(data) == framework
}

func fromCheckout(folder string) (frameworkModule, error) {
	if !isFramework(folder) {
		return frameworkModule{}, &Error{
			Problem: fmt.Sprintf("%s is no checkout of Quintet: its go.mod is not that of %s", folder, framework),
			Hint:    "name the folder that has the go.mod of Quintet in it",
		}
	}
	module, err := readModule(filepath.Join(folder, "go.mod"), filepath.Join(folder, "go.sum"))
	if err != nil {
		return frameworkModule{}, err
	}
	module.Version, module.Replace = unreleased, modfile.AutoQuote(folder)
	return module, nil
}

// fromRelease asks the go command for the files of a version, which are in the module
// cache when this program was built from it.
func fromRelease(ctx context.Context, version string) (frameworkModule, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", framework+"@"+version)
	cmd.Dir = os.TempDir() // the requirements of no module count
	out, runErr := cmd.Output()
	var found struct{ Dir, GoMod, Sum, GoModSum, Error string }
	if err := json.Unmarshal(out, &found); err != nil || found.Error != "" || runErr != nil {
		err = errors.Join(runErr, err)
		return frameworkModule{}, &Error{
			Problem: fmt.Sprintf("Quintet %s cannot be had: %s", version, cmp.Or(found.Error, fmt.Sprint(err))),
			Hint:    "is the go command in PATH? Or name a checkout: --framework DIR",
			Err:     err,
		}
	}
	module, err := readModule(found.GoMod, filepath.Join(found.Dir, "go.sum"))
	if err != nil {
		return frameworkModule{}, err
	}
	module.Version = version
	lines := append(strings.SplitAfter(module.Sums, "\n"),
		fmt.Sprintf("%s %s %s\n", framework, version, found.Sum),
		fmt.Sprintf("%s %s/go.mod %s\n", framework, version, found.GoModSum))
	slices.Sort(lines)
	module.Sums = strings.Join(lines, "")
	return module, nil
}

// readModule reads what the framework stands on. A project stands on the same, and on
// the same sums.
func readModule(goMod, goSum string) (frameworkModule, error) {
	data, err := os.ReadFile(goMod)
	if err != nil {
		return frameworkModule{}, err
	}
	file, err := modfile.ParseLax(goMod, data, nil)
	if err != nil {
		return frameworkModule{}, err
	}
	module := frameworkModule{Path: framework}
	if file.Go != nil {
		module.Go = file.Go.Version
	}
	for _, r := range file.Require {
		if !slices.Contains(ofItsTests(), r.Mod.Path) {
			module.Requires = append(module.Requires, frameworkNeed{r.Mod.Path, r.Mod.Version})
		}
	}
	slices.SortFunc(module.Requires, func(a, b frameworkNeed) int { return strings.Compare(a.Path, b.Path) })
	sums, err := os.ReadFile(goSum)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return frameworkModule{}, err
	}
	module.Sums = string(sums)
	return module, nil
}

// ofItsTests are requirements of the framework that no package of a project imports:
// "go mod tidy" would remove them from its go.mod.
func ofItsTests() []string {
	return []string{"github.com/google/go-cmp"}
}
