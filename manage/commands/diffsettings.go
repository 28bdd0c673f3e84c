package commands

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goquintet/quintet/app"
)

func (c *cli) diffsettingsCommand() *cobra.Command {
	var (
		all             bool
		output, against string
	)
	cmd := &cobra.Command{
		Use: "diffsettings", Short: "Show what the settings change, and where", GroupID: groupDevelopment,
		Long: "Show what the settings change, and where each value comes from: file and line, or\n" +
			"variable. Three marks at the end say that there is no default to differ from. Secrets\n" +
			"are hidden",
		Args: atMost(0), Annotations: map[string]string{needsSite: "yes"},
		RunE: c.onSite(func(_ context.Context, site *app.Site, _ []string) error {
			if output != "hash" && output != "unified" {
				return misuse(meant(output, []string{"hash", "unified"}, "say "), "there is no output %q", output)
			}
			defaults := site.Settings().DefaultValues()
			if against != "" {
				other, err := app.LoadFile(against)
				if errors.Is(err, fs.ErrNotExist) {
					return &Error{Problem: against + ": not found", Hint: "name a settings file with --default", Err: err}
				}
				if err != nil {
					return err
				}
				defaults = other.Values()
			}
			c.diffsettings(site.Settings().Values(), defaults, all, output == "unified")
			return nil
		}),
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&all, "all", false, "show the values as well that are the default, marked at their beginning")
	cmd.Flags().StringVar(&output, "output", "hash", "`FORMAT`: hash, or unified for lines with + and -")
	cmd.Flags().StringVar(&against, "default", "", "compare with the settings of `FILE` instead of the defaults")
	return cmd
}

func (c *cli) diffsettings(values, defaults []app.Setting, all, unified bool) {
	for _, v := range values {
		i := slices.IndexFunc(defaults, func(d app.Setting) bool { return d.Key == v.Key })
		known := i >= 0 && !strings.HasPrefix(v.Key, "DATABASES.")
		changed := i < 0 || !v.Equal(defaults[i])
		switch {
		case !changed && !all:
		case !changed && unified:
			c.sayf(c.env.Stdout, "  %s = %s\n", v.Key, v.Value)
		case !changed:
			c.sayf(c.env.Stdout, "### %s = %s\n", v.Key, v.Value)
		case unified:
			if known {
				c.sayf(c.env.Stdout, "%s\n", c.out.paint(red, "- "+v.Key+" = "+defaults[i].Value))
			}
			c.sayf(c.env.Stdout, "%s  # %s\n", c.out.paint(green, "+ "+v.Key+" = "+v.Value), originOf(v))
		case known:
			c.sayf(c.env.Stdout, "%s = %s  # %s\n", v.Key, v.Value, originOf(v))
		default:
			c.sayf(c.env.Stdout, "%s = %s  ### %s\n", v.Key, v.Value, originOf(v))
		}
	}
}

// originOf is where a value comes from that is not the default.
func originOf(v app.Setting) string {
	if v.Origin == "default" {
		return "Go"
	}
	return v.Origin
}
