package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Check looks for mistakes in a site that has been made. Django's system check.
type Check func(*Site) []Problem

// DatabaseCheck asks one database for mistakes. It runs in a scope: db.Using(ctx,
// alias) works until it returns.
type DatabaseCheck func(ctx context.Context, site *Site, alias string) []Problem

// Problem is something that a [Check] has found. Those of this package are listed
// in CHECKS.md.
type Problem struct {
	ID      string     // "polls.W001"; an ID is looked up, so it never changes its meaning
	Level   slog.Level // slog.LevelDebug, ..., slog.LevelError, [LevelCritical]; the zero value is info
	Object  string     // what has it: "polls.Poll", "settings.yaml:6: DEBUG"; may be empty
	Message string     // what is wrong
	Hint    string     // what to do now; may be empty

	// Silenced says that SILENCED_SYSTEM_CHECKS has the ID. [Site.Check] sets it.
	Silenced bool
}

// LevelCritical is above [slog.LevelError]: Django's CRITICAL.
const LevelCritical = slog.LevelError + 4

// String reads like
//
//	polls.Poll: (models.E028) the table "poll" is that of votes.Poll, too
//		hint: give one of them another table
func (p Problem) String() string {
	text := p.Message
	if p.ID != "" {
		text = "(" + p.ID + ") " + text
	}
	if p.Object != "" {
		text = p.Object + ": " + text
	}
	if p.Hint != "" {
		text += "\n\thint: " + p.Hint
	}
	return text
}

// CheckOptions say which checks run. The zero value are those of [Site.Check].
// Names that the site does not have choose nothing.
type CheckOptions struct {
	Apps      []string // only what concerns these apps
	Tags      []string // only checks with one of these tags; see [Site.CheckTags]
	Databases []string // aliases that may be asked; none is asked without
	Deploy    bool     // also what matters in production only
}

// Check runs the checks of the framework and of all apps, in this order, and
// returns what they found. It asks no database. Django's system check framework.
func (s *Site) Check() []Problem { return s.CheckWith(s.Context(), CheckOptions{}) }

// CheckWith runs the checks that the options choose. A check that panics is a
// problem of its own.
func (s *Site) CheckWith(ctx context.Context, o CheckOptions) []Problem {
	var apps []App
	for _, a := range s.apps {
		if len(o.Apps) == 0 || slices.Contains(o.Apps, a.Name) {
			apps = append(apps, a)
		}
	}
	var problems []Problem
	for _, c := range s.checks() {
		if o.choose(c) {
			problems = append(problems, s.runCheck(ctx, c, apps, o.Databases)...)
		}
	}
	for i := range problems {
		problems[i].Silenced = slices.Contains(s.settings.SilencedSystemChecks, problems[i].ID)
	}
	return problems
}

// CheckTags returns the tags of the site's checks, sorted: those of the framework,
// and for checks of an app its name. Without deploy they are those of checks that
// run without.
func (s *Site) CheckTags(deploy bool) []string {
	var tags []string
	for _, c := range s.checks() {
		if deploy || !c.deploy {
			tags = append(tags, c.tags...)
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// check is one entry of the list of checks.
type check struct {
	name   string // for the one that panics
	tags   []string
	app    string // whose check it is
	byApp  bool   // it looks at one app after the other, and so can be limited to some
	deploy bool
	run    func(s *Site, apps []App) []Problem
	ask    func(ctx context.Context, s *Site, alias string) []Problem // instead of run
}

const tagDatabase = "database"

// checks are those of the framework, then those of the apps.
func (s *Site) checks() []check {
	all := builtinChecks()
	for _, a := range s.apps {
		own := func(run Check, deploy bool) {
			all = append(all, check{name: nameOf(run), tags: []string{a.Name}, app: a.Name, deploy: deploy,
				run: func(s *Site, _ []App) []Problem { return run(s) }})
		}
		for _, run := range a.Checks {
			own(run, false)
		}
		for _, run := range a.DeployChecks {
			own(run, true)
		}
		for _, ask := range a.DatabaseChecks {
			all = append(all, check{name: nameOf(ask), tags: []string{a.Name, tagDatabase}, app: a.Name, ask: ask})
		}
	}
	return all
}

// builtinChecks are the checks of the framework. What they find is in
// knownProblems.
func builtinChecks() []check {
	return []check{
		{name: "security", tags: []string{"security"}, deploy: true, run: checkSecurity},
		{name: "build", tags: []string{"build"}, deploy: true, run: checkBuild},
		{name: "settings", tags: []string{"settings"}, run: checkSettings},
		{name: "streams", tags: []string{"settings"}, run: checkStreams},
		{name: "urls", tags: []string{"urls"}, run: checkURLs},
		{name: "templates", tags: []string{"templates"}, run: checkTemplates},
		{name: "files", tags: []string{"templates", "staticfiles"}, byApp: true, run: checkFiles},
		{name: "models", tags: []string{"models"}, byApp: true, run: checkModels},
		{name: "migrations", tags: []string{"migrations"}, byApp: true, run: checkMigrations},
		{name: "connections", tags: []string{tagDatabase}, ask: checkServer},
		{name: "tables", tags: []string{tagDatabase}, ask: checkTables},
	}
}

func (o CheckOptions) choose(c check) bool {
	tagged := func(tag string) bool { return slices.Contains(o.Tags, tag) }
	switch {
	case c.deploy && !o.Deploy, c.ask != nil && len(o.Databases) == 0, len(o.Tags) > 0 && !slices.ContainsFunc(c.tags, tagged):
		return false
	}
	return len(o.Apps) == 0 || c.byApp || slices.Contains(o.Apps, c.app)
}

func (s *Site) runCheck(ctx context.Context, c check, apps []App, aliases []string) (problems []Problem) {
	defer func() {
		if value := recover(); value != nil {
			problems = append(problems, known("quintet.C001", "", fmt.Sprintf("the check %s panicked: %v", c.name, value), "correct the check"))
		}
	}()
	if c.ask == nil {
		return c.run(s, apps)
	}
	for _, alias := range aliases {
		if _, ok := s.connections.Settings(alias); !ok {
			continue
		}
		err := s.connections.Run(&siteContext{ctx, s}, "check", func(ctx context.Context) error {
			problems = append(problems, c.ask(ctx, s, alias)...)
			return nil
		})
		if err != nil {
			problems = append(problems, unreachable(s, alias, err))
		}
	}
	return problems
}

// setting names a key, with the place of its value when that is known.
func (s *Site) setting(key string) string {
	return s.settings.nearestOrigin(key).of(key)
}

func (p place) of(key string) string {
	if at := p.or(""); at != "" {
		return at + ": " + key
	}
	return key
}

// sentence lists names: "a", "a and b", "a, b and c".
func sentence(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
