package commands

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db/migrate"
)

func (c *cli) sqlmigrateCommand() *cobra.Command {
	var (
		alias     string
		backwards bool
	)
	cmd := &cobra.Command{
		Use: "sqlmigrate APP NAME", Short: "Print the SQL that a migration runs", GroupID: groupDatabase,
		Long: "Print the SQL that a migration runs on the engine of a database. The database is not\n" +
			"asked. NAME may be the beginning of a name, \"0002\"",
		Args: arguments("an APP", "the NAME of a migration"), Annotations: map[string]string{needsSite: "yes"}, ValidArgsFunction: c.completeMigration(),
		RunE: c.onSite(func(_ context.Context, site *app.Site, args []string) error {
			return withMigrator(site, alias, func(m *migrate.Migrator) error {
				sql, err := m.SQL(args[0], args[1], backwards)
				if err != nil {
					return err
				}
				c.showSQL(sql, backwards)
				return nil
			})
		}),
	}
	c.databaseFlag(cmd, &alias)
	cmd.Flags().BoolVar(&backwards, "backwards", false, "print what takes the migration back")
	return cmd
}

func (c *cli) showSQL(sql migrate.SQL, backwards bool) {
	direction := ""
	if backwards {
		direction = ", backwards"
	}
	c.sayf(c.env.Stdout, "-- %s (%s)%s\n", sql.Migration, sql.File, direction)
	switch {
	case len(sql.Statements) == 0:
		c.sayf(c.env.Stdout, "-- nothing to run\n")
		return
	case sql.Atomic:
		c.sayf(c.env.Stdout, "BEGIN;\n")
	default:
		c.sayf(c.env.Stdout, "-- without a transaction\n")
	}
	for _, statement := range sql.Statements {
		statement = strings.TrimSpace(statement)
		if !strings.HasSuffix(statement, ";") {
			statement += ";"
		}
		c.sayf(c.env.Stdout, "%s\n", statement)
	}
	if sql.Atomic {
		c.sayf(c.env.Stdout, "COMMIT;\n")
	}
}
