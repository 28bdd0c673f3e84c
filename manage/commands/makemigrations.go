package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goquintet/quintet/app"
)

// newMigration are the options of makemigrations.
type newMigration struct {
	empty, postgres, dryRun bool
	name, dir               string
}

func (c *cli) makemigrationsCommand() *cobra.Command {
	var o newMigration
	cmd := &cobra.Command{
		Use: "makemigrations APP", Short: "Write the next migration file of an app, for you to fill", GroupID: groupDatabase,
		Long: "Write the next migration file of an app, for you to fill.\n\n" +
			"Migrations are SQL written by hand: nothing is derived from the models, and so --empty\n" +
			"must be said. The file goes into the folder migrations beside the source of the app",
		Args: arguments("an APP"), Annotations: map[string]string{needsSite: "yes"}, ValidArgsFunction: c.completeApps(1),
		RunE: c.onSite(func(ctx context.Context, site *app.Site, args []string) error {
			return c.makemigrations(ctx, site, args[0], o)
		}),
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&o.empty, "empty", false, "write a file without statements")
	cmd.Flags().StringVarP(&o.name, "name", "n", "", "say in `WORDS` what it will do, such as choice_votes")
	cmd.Flags().BoolVar(&o.postgres, "postgres", false, "write a second file, for PostgreSQL; the first is for the others")
	cmd.Flags().StringVar(&o.dir, "dir", "", "write into the folder `DIR`")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "only print what would be written")
	return cmd
}

func (c *cli) makemigrations(ctx context.Context, site *app.Site, name string, o newMigration) error {
	i := slices.IndexFunc(site.Apps(), func(a app.App) bool { return a.Name == name })
	if i < 0 {
		return unknownApp(name, appNames(site))
	}
	if !o.empty {
		return misuse(fmt.Sprintf("say %s makemigrations --empty --name %s %s, and write the SQL", c.env.Name, cmp.Or(o.name, "choice_votes"), name),
			"migrations are SQL written by hand: none can be derived from the models")
	}
	a := site.Apps()[i]
	dir, err := c.migrationFolder(ctx, a, o.dir)
	if err != nil {
		return err
	}
	number, err := nextNumber(dir)
	if err != nil {
		return err
	}
	if number == 1 {
		o.name = cmp.Or(o.name, "initial")
	}
	if !regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)*$`).MatchString(o.name) {
		return misuse("say for example --name choice_votes: words in lower case, with _ between them", "%q is no name for a migration", o.name)
	}
	base := fmt.Sprintf("%04d_%s", number, o.name)
	names := []string{base + ".sql"}
	if o.postgres {
		names = append(names, base+".postgres.sql")
	}
	c.sayf(c.env.Stdout, "%s\n", c.out.paint(bold, "Migrations for "+name+":"))
	for _, file := range names {
		path := filepath.Join(dir, file)
		if !o.dryRun {
			if err := writeNew(path, emptyMigration); err != nil {
				return err
			}
		}
		c.sayf(c.env.Stdout, "  %s\n", c.relative(path))
	}
	if a.Migrations == nil {
		c.sayf(c.env.Stdout, "Embed the folder, and set App.Migrations of %s to it.\n", name)
	}
	return nil
}

const emptyMigration = "-- +goose Up\n\n-- +goose Down\n"

// nextNumber is the one after the highest that a file in the folder has.
func nextNumber(dir string) (int, error) {
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	highest := 0
	for _, file := range files {
		digits, _, ok := strings.Cut(file.Name(), "_")
		if n, err := strconv.Atoi(digits); ok && err == nil && strings.HasSuffix(file.Name(), ".sql") {
			highest = max(highest, n)
		}
	}
	if highest >= 9999 {
		return 0, &Error{Problem: "the numbers of migrations end with 9999 in " + dir, Hint: "put the old ones together into one"}
	}
	return highest + 1, nil
}

// writeNew writes a file that is not there yet.
func writeNew(path, text string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = file.WriteString(text)
	return err
}

// relative shows a path from the working directory when it lies below.
func (c *cli) relative(path string) string {
	dir, err := filepath.Abs(c.env.Dir)
	if err != nil {
		return path
	}
	if short, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(short) {
		return filepath.ToSlash(short)
	}
	return path
}
