package commands

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/goquintet/quintet/app"
)

// Run runs one command and returns the exit status of the program: what [Main] does,
// without a process.
func Run(ctx context.Context, env Env) int {
	c := newCLI(env)
	err := c.readGlobals()
	if err == nil {
		c.err = c.env.styleOf(c.env.Stderr, c.globals)
		c.out = c.env.styleOf(c.env.Stdout, c.globals)
		if env.process {
			slog.SetDefault(newLogger(c.env.Stderr, c.env.isTerminal(c.env.Stderr), c.err))
		}
		err = c.run(context.WithValue(ctx, cliKey{}, c), c.env.Args)
	}
	return c.finish(ctx, errors.Join(err, c.close()))
}

// cli is one run of the command line.
type cli struct {
	env      Env
	globals  globals
	out, err style

	site func() (*app.Site, error) // makes it at the first call
	made *app.Site
}

func newCLI(env Env) *cli {
	c := &cli{env: env.withDefaults()}
	c.site = sync.OnceValues(func() (*app.Site, error) {
		if c.env.NewSite == nil {
			return nil, &Error{Problem: "this program has no site", Hint: "give commands.Main the function that makes it"}
		}
		site, err := c.env.NewSite()
		c.made = site
		return site, err
	})
	return c
}

// globals are the options of every command.
type globals struct {
	settings   string
	traceback  bool
	noColor    bool
	forceColor bool
}

func (g *globals) flags(set *pflag.FlagSet) {
	set.StringVar(&g.settings, "settings", "", "read the settings from `FILE` (sets QUINTET_SETTINGS)")
	set.BoolVar(&g.traceback, "traceback", false, "show what an error is made of")
	set.BoolVar(&g.noColor, "no-color", false, "write no colours (as the variable NO_COLOR)")
	set.BoolVar(&g.forceColor, "force-color", false, "write colours also when nobody seems to see them")
}

// readGlobals takes the options of every command out of the arguments, wherever
// they stand before "--": the commands of apps get what is left.
func (c *cli) readGlobals() error {
	set := pflag.NewFlagSet("globals", pflag.ContinueOnError)
	c.globals.flags(set)
	var mine, rest []string
	for i := 0; i < len(c.env.Args); i++ {
		arg := c.env.Args[i]
		if arg == "--" || isCompleting(c.env.Args) && i == len(c.env.Args)-1 { // the last word is not finished

			rest = append(rest, c.env.Args[i:]...)
			break
		}
		name, _, valued := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		flag := set.Lookup(name)
		if flag == nil || !strings.HasPrefix(arg, "--") {
			rest = append(rest, arg)
			continue
		}
		mine = append(mine, arg)
		if !valued && flag.NoOptDefVal == "" && i+1 < len(c.env.Args) {
			i++
			mine = append(mine, c.env.Args[i])
		}
	}
	if err := set.Parse(mine); err != nil {
		return misuse("say for example --settings production.yaml", "%v", err)
	}
	if c.globals.noColor && c.globals.forceColor {
		return misuse("say one of them", "--no-color and --force-color contradict each other")
	}
	if c.globals.settings != "" {
		if err := c.env.Setenv("QUINTET_SETTINGS", c.globals.settings); err != nil {
			return err
		}
	}
	c.env.Args = rest
	return nil
}

// run finds the command and executes it.
func (c *cli) run(ctx context.Context, args []string) error {
	root := c.root()
	if err := c.addExtra(root); err != nil {
		return err
	}
	found, _, err := root.Find(args)
	if err == nil && found.Annotations[logsJSON] != "" && c.env.process {
		slog.SetDefault(newJSONLogger(c.env.Stderr)) // before the site takes the logger
	}
	if err != nil || found == root || found.Annotations[needsSite] != "" { // help, too, is not found here
		c.addApps(root)
	}
	root.SetArgs(append([]string{}, args...)) // cobra takes those of the process for nil
	return root.ExecuteContext(ctx)
}

// close closes the site, if there is one: every command leaves every database, as
// in Django.
func (c *cli) close() error {
	if c.made == nil {
		return nil
	}
	return c.made.Close()
}

const (
	groupDevelopment = "development"
	groupDatabase    = "database"
	groupProduction  = "production"
	groupHelp        = "help"

	// needsSite annotates commands that work on the site.
	needsSite = "site"
)

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use: c.env.Name, SilenceErrors: true, SilenceUsage: true,
		Args: cobra.ArbitraryArgs, RunE: c.runRoot,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetOut(c.env.Stdout)
	root.SetErr(c.env.Stderr)
	root.SetFlagErrorFunc(c.flagError)
	root.SetHelpFunc(c.help)
	root.AddGroup(
		&cobra.Group{ID: groupHelp, Title: "Help"},
		&cobra.Group{ID: groupDevelopment, Title: "Development"},
		&cobra.Group{ID: groupDatabase, Title: "Database"},
		&cobra.Group{ID: groupProduction, Title: "Production"},
	)
	root.SetHelpCommand(c.helpCommand(root))
	root.AddCommand(c.serveCommand())
	root.AddCommand(c.runserverCommand(), c.testCommand(), c.migrateCommand(), c.showmigrationsCommand(), c.versionCommand())
	root.AddCommand(c.checkCommand(), c.diffsettingsCommand(), c.listurlsCommand())
	root.AddCommand(c.makemigrationsCommand(), c.sqlmigrateCommand(), c.dbshellCommand())
	root.AddCommand(c.dbstatusCommand(), c.readyCommand())
	root.AddCommand(c.completionCommand())
	root.AddCommand(c.startprojectCommand(), c.startappCommand())
	if isCompleting(c.env.Args) {
		(&globals{}).flags(root.PersistentFlags()) // they are taken out of the arguments otherwise
	}
	return root
}
