package commands

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"
)

// insecurePrefix marks a secret key that was made for development: Django's
// django-insecure-.
const insecurePrefix = "quintet-insecure-"

func (c *cli) startprojectCommand() *cobra.Command {
	var modulePath, folder string
	cmd := &cobra.Command{
		Use: "startproject NAME [DIR]", Short: "Make a new project", Args: between(1, 2), GroupID: groupDevelopment,
		Long: "Make a new project: a Go module with a site in it, in the folder DIR, or in one of\n" +
			"its name without it. Nothing is ever overwritten, and nothing is left when it fails",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.startproject(cmd.Context(), args, modulePath, folder)
		},
	}
	cmd.Flags().StringVar(&modulePath, "module", "", "make the Go module `PATH`, github.com/you/blog, instead of NAME")
	cmd.Flags().StringVar(&folder, "framework", "", "build on the checkout of Quintet in `DIR`")
	return cmd
}

func (c *cli) startproject(ctx context.Context, args []string, modulePath, folder string) error {
	name, dir := args[0], args[len(args)-1]
	if err := checkProjectName(name); err != nil {
		return err
	}
	if modulePath == "" {
		modulePath = name
	} else if err := checkModulePath(modulePath); err != nil {
		return &Error{
			Problem: fmt.Sprintf("%q cannot be the path of a module: %v", modulePath, err),
			Hint:    "say for example --module github.com/you/" + name, Err: err,
		}
	}
	target, err := c.absolute(dir)
	if err != nil {
		return err
	}
	if err := checkTarget(target, len(args) > 1); err != nil {
		return err
	}
	found, err := c.findFramework(ctx, folder)
	if err != nil {
		return err
	}
	files, err := render(projectFiles, scaffoldData{
		Name: name, Title: titled(name), Module: modulePath, Framework: found,
		SecretKey: insecurePrefix + rand.Text() + rand.Text(),
	})
	if err != nil {
		return err
	}
	if err := place(target, files); err != nil {
		return err
	}
	c.sayf(c.env.Stdout, "Created %s, a project of %d files:\n", c.out.paint(bold, name), len(files))
	c.tell(dir, files)
	if found.Replace != "" {
		c.sayf(c.env.Stdout, "\nQuintet is not released yet: go.mod replaces it by %s\n", found.Replace)
	}
	c.sayf(c.env.Stdout, "\nNow:\n")
	if filepath.Clean(dir) != "." {
		c.sayf(c.env.Stdout, "  cd %s\n", dir)
	}
	c.sayf(c.env.Stdout, "  go run ./manage runserver\n  go run ./manage startapp polls\n")
	c.warnOfWorkspace(target)
	return nil
}

func checkModulePath(path string) error {
	first, _, _ := strings.Cut(path, "/")
	if !strings.Contains(first, ".") {
		if err := checkProjectName(first); err != nil {
			return errors.New("its first word has no dot, and can be no name")
		}
	}
	if path == framework || strings.HasPrefix(path, framework+"/") {
		return errors.New("it is Quintet's own")
	}
	return module.CheckImportPath(path)
}

// tell lists what was made, from where the user stands.
func (c *cli) tell(folder string, files []newFile) {
	for _, file := range files {
		c.sayf(c.env.Stdout, "  %s\n", filepath.Join(folder, filepath.FromSlash(file.path)))
	}
}

// warnOfWorkspace speaks of a go.work above, which would hide the new module from the
// go command.
func (c *cli) warnOfWorkspace(folder string) {
	if c.env.Getenv("GOWORK") == "off" {
		return
	}
	for above := filepath.Dir(folder); above != filepath.Dir(above); above = filepath.Dir(above) {
		if _, err := os.Stat(filepath.Join(above, "go.work")); err == nil {
			c.sayf(c.env.Stderr, "%s %s does not use the new module\n", c.err.paint(yellow, "warning:"), filepath.Join(above, "go.work"))
			c.sayf(c.env.Stderr, "%s run go work use %s\n", c.err.paint(cyan, "hint:"), folder)
			return
		}
	}
}

// between checks the number of arguments of a command that needs some.
func between(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least {
			return atMost(most)(cmd, args)
		}
		missing := strings.Fields(cmd.Use)[len(args)+1]
		return misuse("usage: "+cmd.Root().Use+" "+cmd.Use, "%s needs a %s", cmd.Name(), missing)
	}
}
