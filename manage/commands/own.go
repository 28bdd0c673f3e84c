package commands

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/goquintet/quintet/app"
)

// Call runs a command of this package on a site that is there already: Django's
// call_command. A command of an app that has taken the place of one of ours calls
// the original with it. The site stays open.
//
// Within a command it writes to where that command writes to, see [Stdout];
// elsewhere to the standard output.
func Call(ctx context.Context, site *app.Site, name string, args ...string) error {
	w := Stdout(ctx)
	c := newCLI(Env{Stdout: w, Stderr: w, NewSite: func() (*app.Site, error) { return site, nil }})
	if from, ok := ctx.Value(cliKey{}).(*cli); ok {
		c.env.Name, c.env.Stderr, c.out, c.err = from.env.Name, from.env.Stderr, from.out, from.err
		c.env.process, c.env.child = from.env.process, from.env.child
	}
	root := c.root()
	root.SetArgs(append([]string{name}, args...))
	return root.ExecuteContext(ctx)
}

// Stdout is where a command writes to: the standard output, or what a test has put
// in its place.
func Stdout(ctx context.Context) io.Writer {
	if c, ok := ctx.Value(cliKey{}).(*cli); ok {
		return c.env.Stdout
	}
	return os.Stdout
}

type cliKey struct{}

// siteContext is the context of a command on a site: it ends with the command, and
// app.From finds the site in it.
type siteContext struct {
	context.Context
	site context.Context
}

func (c siteContext) Value(key any) any {
	if value := c.Context.Value(key); value != nil {
		return value
	}
	return c.site.Value(key)
}

// onSite is what cobra runs for a command that needs the site.
func (c *cli) onSite(run func(ctx context.Context, site *app.Site, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		site, err := c.site()
		if err != nil {
			return err
		}
		return run(siteContext{cmd.Context(), site.Context()}, site, args)
	}
}

// addExtra adds the commands of the program.
func (c *cli) addExtra(root *cobra.Command) error {
	for i, own := range c.env.Commands {
		same := func(other app.Command) bool { return other.Name == own.Name }
		if own.Name == "" || own.Run == nil || slices.ContainsFunc(c.env.Commands[:i], same) {
			return &Error{
				Problem: fmt.Sprintf("the extra command %q has no name, no Run, or the name of another", own.Name),
				Hint:    "correct it where commands.Main is called",
			}
		}
		c.replace(root, own, "Extra")
	}
	return nil
}

// addApps adds the commands of the site's apps. Of two with the same name the one of
// the first app is taken, as in Django, and those of the program go before both.
// Without a site there are none; whoever needs it says why.
func (c *cli) addApps(root *cobra.Command) {
	site, err := c.site()
	if err != nil {
		return
	}
	for _, a := range slices.Backward(site.Apps()) {
		for _, own := range slices.Backward(a.Commands) {
			same := func(extra app.Command) bool { return extra.Name == own.Name }
			if own.Name != "" && own.Run != nil && !slices.ContainsFunc(c.env.Commands, same) {
				c.replace(root, own, a.Name)
			}
		}
	}
}

// replace adds a command, in place of the one that has its name.
func (c *cli) replace(root *cobra.Command, own app.Command, group string) {
	inScope := c.onSite(func(ctx context.Context, site *app.Site, args []string) error {
		return site.Connections().Run(ctx, own.Name, func(ctx context.Context) error { return own.Run(ctx, site, args) })
	})
	cmd := &cobra.Command{
		Use: own.Name + " [ARGUMENTS]", Short: own.Short, GroupID: group,
		DisableFlagParsing: true, // its arguments are its own
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && (args[0] == "-h" || args[0] == "--help") {
				return cmd.Help()
			}
			return inScope(cmd, args)
		},
	}
	for _, taken := range root.Commands() {
		if taken.Name() == own.Name {
			cmd.GroupID, cmd.Use = taken.GroupID, taken.Use
			root.RemoveCommand(taken)
		}
	}
	if !root.ContainsGroup(cmd.GroupID) {
		root.AddGroup(&cobra.Group{ID: cmd.GroupID, Title: cmd.GroupID})
	}
	root.AddCommand(cmd)
}
