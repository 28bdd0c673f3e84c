package commands

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/mod/modfile"
)

func (c *cli) startappCommand() *cobra.Command {
	var alone bool
	cmd := &cobra.Command{
		Use: "startapp NAME", Short: "Add an app to the project", Args: between(1, 1), GroupID: groupDevelopment,
		Long: "Add an app to the project: a folder with a model, its migration, pages, a stream\n" +
			"and tests. It is added to the list in site/apps.go and included in site/urls.go",
		RunE: func(_ *cobra.Command, args []string) error { return c.startapp(args[0], alone) },
	}
	cmd.Flags().BoolVar(&alone, "alone", false, "make the folder only, and leave the site as it is")
	return cmd
}

func (c *cli) startapp(name string, alone bool) error {
	if err := checkAppName(name); err != nil {
		return err
	}
	p, err := c.findProject()
	if err != nil {
		return err
	}
	folder := filepath.Join(p.root, name)
	if _, err := os.Lstat(folder); err == nil {
		return &Error{Problem: fmt.Sprintf("%q cannot be the name of an app: %s exists already", name, folder), Hint: "choose another name"}
	}
	changes, err := p.listApp(name, alone)
	if err != nil {
		return err
	}
	files, err := render(appFiles, scaffoldData{Name: name, Title: titled(name), Module: p.module})
	if err != nil {
		return err
	}
	if err := place(folder, files); err != nil {
		return err
	}
	if err := rewrite(changes); err != nil {
		return errors.Join(err, os.RemoveAll(folder))
	}
	c.sayf(c.env.Stdout, "Created %s, an app of %d files:\n", c.out.paint(bold, name), len(files))
	c.tell(c.shown(folder), files)
	if alone {
		c.sayf(c.env.Stdout, "\nThe site does not know it yet. %s.\n", byHand(p.module, name))
		return nil
	}
	c.sayf(c.env.Stdout, "\n")
	for _, change := range changes {
		c.sayf(c.env.Stdout, "Changed %s: %s.\n", c.shown(change.path), change.what)
	}
	c.sayf(c.env.Stdout, "\nNow:\n  %s migrate\n  %s runserver   # and look at /%s/\n", c.env.Name, c.env.Name, name)
	return nil
}

// byHand says what startapp writes into a site.
func byHand(module, name string) string {
	return fmt.Sprintf("Import %q, write %s.App(), into the list in site/apps.go, and site.Include(\"/%s\", %s.App()) into urls in site/urls.go",
		module+"/"+name, name, name, name)
}

// shown is a path from where the user stands, if that is shorter.
func (c *cli) shown(path string) string {
	here, err := c.absolute(".")
	if err != nil {
		return path
	}
	if relative, err := filepath.Rel(here, path); err == nil && len(relative) < len(path) {
		return relative
	}
	return path
}

// project is the module that the command runs in.
type project struct {
	root   string
	module string
}

// findProject looks for the go.mod of a project here and upward.
func (c *cli) findProject() (project, error) {
	here, err := c.absolute(".")
	if err != nil {
		return project{}, err
	}
	none := func(problem string) error {
		return &Error{Problem: problem, Hint: fmt.Sprintf("go to the folder of a project, or make one: %s startproject blog", c.env.Name)}
	}
	for folder := here; ; folder = filepath.Dir(folder) {
		goMod := filepath.Join(folder, "go.mod")
		data, err := os.ReadFile(goMod)
		switch {
		case errors.Is(err, fs.ErrNotExist) && folder == filepath.Dir(folder):
			return project{}, none(fmt.Sprintf("there is no project in %s: it has no go.mod, nor has a folder above it", here))
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return project{}, err
		}
		p := project{root: folder, module: modfile.ModulePath(data)}
		if p.module == "" {
			return p, &Error{Problem: goMod + " names no module", Hint: "correct it"}
		}
		for _, name := range []string{"apps.go", "urls.go"} {
			if _, err := os.Stat(filepath.Join(folder, "site", name)); err != nil {
				return p, none(fmt.Sprintf("%s is no project that startproject has made: it has no %s", folder, filepath.Join("site", name)))
			}
		}
		return p, nil
	}
}
