package commands

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goquintet/quintet/app"
)

// checking are the options of check.
type checking struct {
	app.CheckOptions
	listTags  bool
	failLevel string
}

func (c *cli) checkCommand() *cobra.Command {
	var o checking
	cmd := &cobra.Command{
		Use: "check [APP...]", Short: "Look for mistakes in the whole site", GroupID: groupDevelopment,
		Long: "Look for mistakes in the whole site, or in what concerns some apps.\n\n" +
			"Problems are grouped by their level, each with its ID; app/CHECKS.md of Quintet lists\n" +
			"them. The exit status is 1 when one is at least an error",
		Annotations: map[string]string{needsSite: "yes"}, ValidArgsFunction: c.completeApps(manyApps),
		RunE: c.onSite(func(ctx context.Context, site *app.Site, args []string) error {
			o.Apps = args
			return c.checkSite(ctx, site, o)
		}),
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&o.Deploy, "deploy", false, "check also what matters in production only")
	flags.StringSliceVar(&o.Databases, "database", nil, "ask the database `ALIAS` as well; may be said again")
	flags.StringSliceVarP(&o.Tags, "tag", "t", nil, "run only the checks with the tag `TAG`; may be said again")
	flags.BoolVar(&o.listTags, "list-tags", false, "print the tags and check nothing")
	flags.StringVar(&o.failLevel, "fail-level", "error", "exit with 1 from this `LEVEL` upward: debug, info, warning, error or critical")
	c.completeFlag(cmd, "database", aliases)
	c.completeFlag(cmd, "tag", func(site *app.Site) []string { return site.CheckTags(true) })
	c.completeFlag(cmd, "fail-level", func(*app.Site) []string { return levelNames() })
	return cmd
}

func (c *cli) checkSite(ctx context.Context, site *app.Site, o checking) error {
	level, err := parseLevel(o.failLevel)
	if err != nil {
		return err
	}
	if o.listTags {
		for _, tag := range site.CheckTags(o.Deploy) {
			if _, err := fmt.Fprintln(c.env.Stdout, tag); err != nil {
				return err
			}
		}
		return nil
	}
	if err := knownChoices(site, o); err != nil {
		return err
	}
	problems := site.CheckWith(ctx, o.CheckOptions)
	worst := c.showProblems(problems)
	if shown, silenced := count(problems); shown == 0 {
		c.sayf(c.env.Stdout, "System checks found no problems (%d silenced).\n", silenced)
	}
	if worst >= level {
		return errSaid
	}
	return nil
}

// knownChoices refuses apps, tags and aliases that the site does not have: to find
// nothing in them would look like success.
func knownChoices(site *app.Site, o checking) error {
	for _, name := range o.Apps {
		if apps := appNames(site); !slices.Contains(apps, name) {
			return unknownApp(name, apps)
		}
	}
	for _, tag := range o.Tags {
		switch tags := site.CheckTags(o.Deploy); {
		case slices.Contains(tags, tag):
		case slices.Contains(site.CheckTags(true), tag):
			return &Error{Problem: fmt.Sprintf("no check has the tag %q without --deploy", tag), Hint: "add --deploy"}
		default:
			return &Error{Problem: fmt.Sprintf("no check has the tag %q", tag), Hint: meant(tag, tags, "the tags are ")}
		}
	}
	for _, alias := range o.Databases {
		if _, ok := site.Connections().Settings(alias); !ok {
			return unknownAlias(site, alias)
		}
	}
	return nil
}

// check runs the checks before a site is served. An error keeps it from being served.
func (c *cli) check(site *app.Site) error {
	problems := site.Check()
	c.showProblems(problems)
	failed := 0
	for _, p := range problems {
		visible := site.Settings().Debug && isOfTemplate(p)
		if !p.Silenced && !visible && p.Level >= slog.LevelError {
			failed++
		}
	}
	if failed == 0 {
		return nil
	}
	e := &Error{Problem: "1 problem keeps the site from being served", Hint: "correct what is listed above as an error"}
	if failed > 1 {
		e.Problem = fmt.Sprintf("%d problems keep the site from being served", failed)
	}
	return e
}

// isOfTemplate is a mistake that DEBUG makes visible in the page that has it.
func isOfTemplate(p app.Problem) bool { return p.ID == "quintet.E002" || p.ID == "quintet.E003" }

// showProblems writes what was found and not silenced, the worst first, and returns
// the level of that.
func (c *cli) showProblems(problems []app.Problem) (worst slog.Level) {
	shown, silenced := count(problems)
	if shown == 0 {
		return slog.LevelDebug - 1
	}
	w := c.env.Stderr
	c.sayf(w, "%s\n", c.err.paint(bold, "System checks found problems:"))
	for _, level := range slices.Backward(levels()) {
		c.showLevel(w, level, problems)
	}
	noun := "problems"
	if shown == 1 {
		noun = "problem"
	}
	c.sayf(w, "\nSystem checks found %d %s (%d silenced).\n", shown, noun, silenced)
	worst = slog.LevelDebug
	for _, p := range problems {
		if !p.Silenced {
			worst = max(worst, p.Level)
		}
	}
	return worst
}

func (c *cli) showLevel(w io.Writer, l level, problems []app.Problem) {
	var texts []string
	for _, p := range problems {
		if p.Silenced || levelOf(p.Level) != l {
			continue
		}
		hint := p.Hint
		p.Hint = ""
		text := "  " + p.String() + "\n"
		if hint != "" {
			text += "    " + c.err.paint(cyan, "hint:") + " " + hint + "\n"
		}
		texts = append(texts, text)
	}
	if len(texts) == 0 {
		return
	}
	slices.Sort(texts)
	c.sayf(w, "\n%s\n%s", c.err.paint(l.colour, l.plural), strings.Join(texts, ""))
}

// count counts what is shown, and what is silenced.
func count(problems []app.Problem) (shown, silenced int) {
	for _, p := range problems {
		if p.Silenced {
			silenced++
		} else {
			shown++
		}
	}
	return shown, silenced
}

// level is one of Django's levels.
type level struct {
	least  slog.Level
	name   string
	plural string
	colour string
}

func levels() []level {
	return []level{
		{slog.LevelDebug, "debug", "Debugs", cyan},
		{slog.LevelInfo, "info", "Infos", cyan},
		{slog.LevelWarn, "warning", "Warnings", yellow},
		{slog.LevelError, "error", "Errors", red},
		{app.LevelCritical, "critical", "Criticals", red},
	}
}

// levelOf is the highest level that is not above.
func levelOf(l slog.Level) level {
	found := levels()[0]
	for _, known := range levels() {
		if l >= known.least {
			found = known
		}
	}
	return found
}

func levelNames() (names []string) {
	for _, l := range levels() {
		names = append(names, l.name)
	}
	return names
}

func parseLevel(name string) (slog.Level, error) {
	for _, l := range levels() {
		if strings.EqualFold(l.name, name) {
			return l.least, nil
		}
	}
	return 0, misuse(meant(name, levelNames(), "say "), "there is no level %q", name)
}
