package commands

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (c *cli) helpCommand(root *cobra.Command) *cobra.Command {
	var bare bool
	cmd := &cobra.Command{
		Use: "help [COMMAND]", Short: "Explain a command, or list all of them", Args: atMost(1), GroupID: groupHelp,
		RunE: func(_ *cobra.Command, args []string) error {
			if bare {
				return c.listNames(root)
			}
			if len(args) == 0 {
				return root.Help()
			}
			i := slices.IndexFunc(root.Commands(), func(cmd *cobra.Command) bool { return cmd.Name() == args[0] })
			if i < 0 {
				return c.unknownCommand(root, args[0])
			}
			return root.Commands()[i].Help()
		},
	}
	cmd.Flags().BoolVar(&bare, "commands", false, "print the names of all commands and nothing else")
	return cmd
}

func (c *cli) listNames(root *cobra.Command) error {
	for _, cmd := range root.Commands() {
		if _, err := fmt.Fprintln(c.env.Stdout, cmd.Name()); err != nil {
			return err
		}
	}
	return nil
}

// help is the help of one command, or of the whole program.
func (c *cli) help(cmd *cobra.Command, _ []string) {
	if cmd.HasParent() {
		c.explainCommand(cmd)
	} else {
		c.explainProgram(cmd)
	}
}

func (c *cli) explainCommand(cmd *cobra.Command) {
	c.sayf(c.env.Stdout, "%s.\n\n%s %s %s\n", cmp.Or(cmd.Long, cmd.Short), c.out.paint(bold, "Usage:"), c.env.Name, cmd.Use)
	own := slices.DeleteFunc(options(cmd.LocalNonPersistentFlags()), func(r row) bool { return r.name == "-h, --help" })
	c.list("Options", own) // before those of every command
	c.list("Options of every command", options(c.commonFlags()))
}

func (c *cli) explainProgram(root *cobra.Command) {
	c.sayf(c.env.Stdout, "Manage a Quintet site.\n\n%s %s COMMAND [OPTIONS]\n", c.out.paint(bold, "Usage:"), c.env.Name)
	groups := root.Groups()
	for _, group := range append(groups[1:len(groups):len(groups)], groups[0]) { // help comes last
		var rows []row
		for _, cmd := range root.Commands() {
			if cmd.GroupID == group.ID {
				rows = append(rows, row{cmd.Name(), cmd.Short})
			}
		}
		c.list(group.Title, rows)
	}
	c.list("Options of every command", options(c.commonFlags()))
	c.sayf(c.env.Stdout, "\n%q explains one.\n", c.env.Name+" help COMMAND")
	if _, err := c.site(); err != nil {
		problem, _ := c.explain(parts(err)[0])
		c.sayf(c.env.Stdout, "Commands of apps are not listed, because the site cannot be made: %s\n", problem)
	}
}

func (c *cli) commonFlags() *pflag.FlagSet {
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	set.SortFlags = false
	(&globals{}).flags(set)
	set.BoolP("help", "h", false, "explain the command")
	return set
}

// row is a name and what is said about it.
type row struct{ name, text string }

func options(set *pflag.FlagSet) []row {
	var rows []row
	set.VisitAll(func(flag *pflag.Flag) {
		name := "--" + flag.Name
		if flag.Shorthand != "" {
			name = "-" + flag.Shorthand + ", " + name
		}
		value, usage := pflag.UnquoteUsage(flag)
		switch {
		case value != "" && flag.NoOptDefVal != "":
			name += "[=" + value + "]"
		case value != "":
			name += " " + value
		}
		rows = append(rows, row{name, usage})
	})
	return rows
}

func (c *cli) list(title string, rows []row) {
	const width = 16
	if len(rows) == 0 {
		return
	}
	c.sayf(c.env.Stdout, "\n%s\n", c.out.paint(bold, title))
	for _, r := range rows {
		if len(r.name) > width {
			c.sayf(c.env.Stdout, "  %s\n", r.name)
			r.name = ""
		}
		c.sayf(c.env.Stdout, "  %-*s  %s\n", width, r.name, r.text)
	}
}

// sayf writes to the user's terminal: when that is gone there is nobody to tell.
func (c *cli) sayf(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...)
}

// runRoot runs when no command was found.
func (c *cli) runRoot(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return root.Help()
	}
	return c.unknownCommand(root, args[0])
}

func (c *cli) unknownCommand(root *cobra.Command, name string) error {
	var names []string
	for _, cmd := range root.Commands() {
		names = append(names, cmd.Name())
	}
	hint := fmt.Sprintf("%q lists the commands", c.env.Name+" help")
	if meant := nearest(name, names); meant != "" {
		hint = fmt.Sprintf("did you mean %s?", meant)
	} else if _, err := c.site(); err != nil {
		problem, _ := c.explain(parts(err)[0])
		hint = "commands of apps are not known, because the site cannot be made: " + problem
	}
	return misuse(hint, "unknown command %q", name)
}

// flagError rewrites what pflag says: with a suggestion.
func (c *cli) flagError(cmd *cobra.Command, err error) error {
	hint := fmt.Sprintf("%q explains it", c.env.Name+" help "+cmd.Name())
	if !cmd.HasParent() {
		hint = fmt.Sprintf("%q explains them", c.env.Name+" help")
	}
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var names []string
		collect := func(flag *pflag.Flag) { names = append(names, flag.Name) }
		cmd.Flags().VisitAll(collect)
		c.commonFlags().VisitAll(collect)
		if meant := nearest(unknown.GetSpecifiedName(), names); meant != "" {
			hint = "did you mean --" + meant + "?"
		}
		dashes := "--"
		if unknown.GetSpecifiedShortnames() != "" {
			dashes = "-"
		}
		return misuse(hint, "%s has no option %s%s", cmp.Or(cmd.Name(), c.env.Name), dashes, unknown.GetSpecifiedName())
	}
	if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		flag := wrong.GetFlag()
		value, usage := pflag.UnquoteUsage(flag)
		return misuse(fmt.Sprintf("--%s %s: %s", flag.Name, value, usage), "%s: %q is no value for --%s", cmd.Name(), wrong.GetValue(), flag.Name)
	}
	return misuse(hint, "%s: %v", cmd.Name(), err)
}

// atMost checks the number of arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= n {
			return nil
		}
		return misuse("usage: "+cmd.Root().Use+" "+cmd.Use, "%s does not know what to do with %q", cmd.Name(), strings.Join(args[n:], " "))
	}
}

// arguments wants one argument for each name, and says which one is missing.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return misuse("usage: "+cmd.Root().Use+" "+cmd.Use, "%s wants %s", cmd.Name(), names[len(args)])
		}
		return atMost(len(names))(cmd, args)
	}
}
