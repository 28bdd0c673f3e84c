package commands

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/migrate"
)

func (c *cli) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print what lets a shell complete commands and names", GroupID: groupHelp,
		Long: "Print what lets a shell complete commands, options, and the names of apps, databases\n" +
			"and migrations. SHELL is " + strings.Join(shells, ", ") + ". For the shell that runs now:\n\n" +
			"  source <(manage completion bash)\n" +
			"  source <(manage completion zsh)\n" +
			"  manage completion fish | source\n" +
			"  manage completion powershell | Out-String | Invoke-Expression\n\n" +
			"The program must be built, and found in PATH or called by its path. bash wants its\n" +
			"package bash-completion as well",
		Args: arguments("a SHELL"), ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			if strings.Contains(c.env.Name, " ") {
				return &Error{
					Problem: "a shell cannot complete for " + c.env.Name,
					Hint:    "build the program: go build -o manage ./manage; ./manage completion " + args[0],
				}
			}
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(c.env.Stdout, true)
			case "zsh":
				return root.GenZshCompletion(c.env.Stdout)
			case "fish":
				return root.GenFishCompletion(c.env.Stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(c.env.Stdout)
			}
			return misuse(meant(args[0], shells, "say "), "there is no completion for %q", args[0])
		},
	}
}

// isCompleting says that a shell asks what may follow.
func isCompleting(args []string) bool {
	return len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}

// complete offers names that come from the site. Without a site there are none.
func (c *cli) complete(names func(site *app.Site, args []string) []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		site, err := c.site()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var fitting []cobra.Completion
		for _, name := range names(site, args) {
			if strings.HasPrefix(name, begun) && !slices.Contains(args, name) {
				fitting = append(fitting, name)
			}
		}
		return fitting, cobra.ShellCompDirectiveNoFileComp
	}
}

func (c *cli) completeFlag(cmd *cobra.Command, flag string, names func(*app.Site) []string) {
	err := cmd.RegisterFlagCompletionFunc(flag, c.complete(func(site *app.Site, _ []string) []string { return names(site) }))
	if err != nil {
		panic(err) // only for a flag that the command does not have
	}
}

func aliases(site *app.Site) []string { return site.Connections().Aliases() }

// completeApps offers the apps, as many as a command takes.
func (c *cli) completeApps(most int) cobra.CompletionFunc {
	return c.complete(func(site *app.Site, args []string) []string {
		if most >= 0 && len(args) >= most {
			return nil
		}
		return appNames(site)
	})
}

const manyApps = -1

// completeMigration offers an app, then one of its migrations.
func (c *cli) completeMigration(more ...string) cobra.CompletionFunc {
	return c.complete(func(site *app.Site, args []string) (names []string) {
		switch len(args) {
		case 0:
			return withMigrations(site)
		case 1:
			_ = withMigrator(site, db.DefaultAlias, func(m *migrate.Migrator) error { // what is wrong is said by the command
				names = append(m.Names(args[0]), more...)
				return nil
			})
		}
		return names
	})
}
