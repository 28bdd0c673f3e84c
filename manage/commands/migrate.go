package commands

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/migrate"
)

func (c *cli) migrateCommand() *cobra.Command {
	var alias string
	cmd := &cobra.Command{
		Use: "migrate [APP [NAME]]", Short: "Bring the database to what the migration files say", GroupID: groupDatabase,
		Long: "Bring the database to what the migration files say.\n\n" +
			"Without an app every pending migration is applied, with one only those of the app.\n" +
			"NAME is the migration to stop at, forwards or backwards: \"0002\", or \"zero\" for\nbefore the first",
		Args: atMost(2), Annotations: map[string]string{needsSite: "yes"}, ValidArgsFunction: c.completeMigration(migrate.Zero),
		RunE: c.onSite(func(ctx context.Context, site *app.Site, args []string) error {
			return site.Connections().Run(ctx, "migrate", func(ctx context.Context) error {
				return withMigrator(site, alias, func(m *migrate.Migrator) error { return c.migrate(ctx, site, m, args) })
			})
		}),
	}
	c.databaseFlag(cmd, &alias)
	return cmd
}

func (c *cli) databaseFlag(cmd *cobra.Command, alias *string) {
	cmd.Flags().StringVar(alias, "database", db.DefaultAlias, "work on the database `ALIAS` instead of the default one")
	c.completeFlag(cmd, "database", aliases)
}

func (c *cli) migrate(ctx context.Context, site *app.Site, m *migrate.Migrator, args []string) error {
	c.sayf(c.env.Stdout, "%s\n", c.out.paint(bold, "Operations to perform:"))
	var (
		result migrate.Result
		err    error
	)
	switch len(args) {
	case 0:
		c.sayf(c.env.Stdout, "  Apply all migrations: %s\n", strings.Join(withMigrations(site), ", "))
		result, err = m.Up(ctx, c.progress)
	case 1:
		c.sayf(c.env.Stdout, "  Apply all migrations: %s\n", args[0])
		result, err = m.To(ctx, args[0], "", c.progress)
	default:
		c.sayf(c.env.Stdout, "  Target migration of %s: %s\n", args[0], args[1])
		result, err = m.To(ctx, args[0], args[1], c.progress)
	}
	if err == nil && len(result.Applied)+len(result.Unapplied) == 0 {
		c.sayf(c.env.Stdout, "  No migrations to apply.\n")
	}
	return err
}

// progress writes a line for each migration: its beginning, and then how it ended.
func (c *cli) progress(e migrate.Event) {
	verb := "Applying"
	if e.Backwards {
		verb = "Unapplying"
	}
	switch {
	case !e.Done:
		c.sayf(c.env.Stdout, "  %s %s.%s...", verb, e.App, e.Name)
	case e.Err != nil:
		c.sayf(c.env.Stdout, " %s\n", c.out.paint(red, "FAILED"))
	default:
		c.sayf(c.env.Stdout, " %s (%s)\n", c.out.paint(green, "OK"), e.Duration.Round(time.Millisecond))
	}
}

func (c *cli) showmigrationsCommand() *cobra.Command {
	var alias string
	cmd := &cobra.Command{
		Use: "showmigrations [APP...]", Short: "Show what is applied and what is not", GroupID: groupDatabase,
		Annotations: map[string]string{needsSite: "yes"}, ValidArgsFunction: c.completeApps(manyApps),
		RunE: c.onSite(func(ctx context.Context, site *app.Site, args []string) error {
			return withMigrator(site, alias, func(m *migrate.Migrator) error { return c.showmigrations(ctx, site, m, args) })
		}),
	}
	c.databaseFlag(cmd, &alias)
	return cmd
}

func (c *cli) showmigrations(ctx context.Context, site *app.Site, m *migrate.Migrator, only []string) error {
	statuses, err := m.Status(ctx)
	if err != nil {
		return err
	}
	byApp := make(map[string][]migrate.Status)
	var apps []string
	for _, a := range site.Apps() {
		apps = append(apps, a.Name)
	}
	for _, s := range statuses {
		if byApp[s.App] = append(byApp[s.App], s); !slices.Contains(apps, s.App) {
			apps = append(apps, s.App) // gone, but applied
		}
	}
	for _, name := range only {
		if !slices.Contains(apps, name) {
			return unknownApp(name, apps)
		}
	}
	for _, name := range apps {
		if len(only) == 0 || slices.Contains(only, name) {
			c.showApp(name, byApp[name])
		}
	}
	return nil
}

func (c *cli) showApp(name string, statuses []migrate.Status) {
	c.sayf(c.env.Stdout, "%s\n", c.out.paint(bold, name))
	if len(statuses) == 0 {
		c.sayf(c.env.Stdout, " (no migrations)\n")
	}
	for _, s := range statuses {
		mark, note := " ", ""
		if s.Applied != nil {
			mark = c.out.paint(green, "X")
		}
		if s.Missing {
			note = " (its file is gone)"
		}
		c.sayf(c.env.Stdout, " [%s] %s%s\n", mark, s.Name, note)
	}
}

func unknownApp(name string, apps []string) error {
	if len(apps) == 0 {
		return &Error{Problem: fmt.Sprintf("there is no app %q", name), Hint: "the site has no apps; list them in app.Options.Apps"}
	}
	return &Error{Problem: fmt.Sprintf("there is no app %q", name), Hint: meant(name, apps, "the apps are ")}
}

// withMigrations are the names of the apps that have any.
func withMigrations(site *app.Site) []string {
	var names []string
	for _, a := range site.Apps() {
		if a.Migrations != nil {
			names = append(names, a.Name)
		}
	}
	return names
}
