package app_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/views"
)

// sound are settings that no check complains of, in production either.
func sound() app.Settings {
	return app.Settings{
		SecretKey: "a key that is long enough to be a secret, more or less", AllowedHosts: []string{"polls.example"},
		SecureHSTSSeconds: 3600, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, LogLevel: slog.LevelError + 1,
	}
}

// files makes a folder of empty files, or of one with text.
func files(names ...string) fstest.MapFS {
	folder := fstest.MapFS{}
	for _, name := range names {
		folder[name] = &fstest.MapFile{}
	}
	return folder
}

type (
	poll struct {
		ID int64 `bun:",pk"`
	}
	ballot struct {
		bun.BaseModel `bun:"table:polls"`
		ID            int64 `bun:",pk"`
	}
	twice struct {
		ID    int64 `bun:",pk"`
		Name  string
		Title string `bun:"name"`
	}
	keyless struct{ Name string }
	lost    struct {
		Key  int64 `bun:",pk"`
		Poll *poll `bun:"rel:belongs-to"`
	}
)

func streaming(*views.Request) (views.Response, error) {
	return views.StreamingResponse{ContentType: "text/plain"}, nil
}

// flaw is a site that has one problem.
type flaw struct {
	id     string
	object string // of the problem
	says   string // in its message
	hint   string // in its hint
	ask    app.CheckOptions
	change func(*app.Settings, *app.Options)
}

func oneDatabase(database db.Settings) func(*app.Settings, *app.Options) {
	return func(s *app.Settings, _ *app.Options) { s.Databases = map[string]db.Settings{"default": database} }
}

func models(models ...any) func(*app.Settings, *app.Options) {
	return func(s *app.Settings, o *app.Options) {
		oneDatabase(db.Settings{Engine: "sqlite", Name: ":memory:"})(s, o)
		o.Apps = []app.App{{Name: "polls", Models: models}}
	}
}

func flaws() []flaw {
	deploy := app.CheckOptions{Deploy: true}
	return []flaw{
		{id: "models.E007", object: "polls.twice", says: `Name and Title have one column, "name"`, hint: "another column", change: models((*twice)(nil))},
		{id: "models.E028", object: "polls.ballot", says: `the table "polls" is that of polls.poll, too`, hint: "another table", change: models((*poll)(nil), (*ballot)(nil))},
		{id: "quintet.W014", object: "polls.keyless", says: "has no primary key", hint: `bun:",pk"`, change: models((*keyless)(nil))},
		{id: "quintet.E001", object: "polls.lost", says: "cannot be mapped: Lost belongs-to Poll", hint: "tags", change: models((*lost)(nil))},
		{id: "quintet.E001", object: "polls.Models[0]", says: "is a app_test.poll, not a pointer to a struct", hint: "(*Poll)(nil)", change: models(poll{})},

		{id: "security.W004", object: "SECURE_HSTS_SECONDS", says: "is not set", hint: "say 3600", ask: deploy,
			change: func(s *app.Settings, _ *app.Options) { s.SecureHSTSSeconds = 0 }},
		{id: "security.W009", object: "SECRET_KEY", says: "is not set", hint: "openssl rand", ask: deploy,
			change: func(s *app.Settings, _ *app.Options) { s.SecretKey = "" }},
		{id: "security.W009", object: "SECRET_KEY", says: "less than 50 characters", hint: "openssl rand", ask: deploy,
			change: func(s *app.Settings, _ *app.Options) { s.SecretKey = "abcdefghijk" }},
		{id: "security.W009", object: "SECRET_KEY", says: "less than 5 different characters", hint: "openssl rand", ask: deploy,
			change: func(s *app.Settings, _ *app.Options) { s.SecretKey = app.Secret(strings.Repeat("abcd", 20)) }},
		{id: "security.W009", object: "SECRET_KEY", says: "the one that the project was created with", hint: "openssl rand", ask: deploy,
			change: func(s *app.Settings, _ *app.Options) {
				s.SecretKey = "quintet-insecure-" + app.Secret(strings.Repeat("abcdefgh", 8))
			}},
		{id: "security.W018", object: "DEBUG", says: "is true", hint: "say false", ask: deploy,
			change: func(s *app.Settings, _ *app.Options) { s.Debug = true }},
		{id: "security.W019", object: "X_FRAME_OPTIONS", says: "is not DENY", hint: "say DENY", ask: deploy,
			change: func(s *app.Settings, _ *app.Options) { s.XFrameOptions = "sameorigin" }},
		{id: "security.W020", object: "ALLOWED_HOSTS", says: "is empty", hint: "list the hosts", ask: deploy,
			change: func(s *app.Settings, _ *app.Options) { s.AllowedHosts = nil }},
		{id: "quintet.W005", object: "TRUSTED_PROXIES", says: "believes everybody", hint: "your proxies", ask: deploy,
			change: func(s *app.Settings, _ *app.Options) {
				s.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("::/0")}
			}},
		{id: "quintet.W009", object: "DATABASES.default.HOST", says: "db.example may be unencrypted: sslmode is prefer", hint: "verify-full", ask: deploy,
			change: oneDatabase(db.Settings{Engine: "postgres", Name: "polls", Host: "db.example"})},

		{id: "quintet.W001", object: "DATABASES.default.CONN_MAX_AGE", says: "app_test.streaming streams (app/checks_test.go:", hint: "CONN_MAX_AGE: 60",
			change: func(s *app.Settings, o *app.Options) {
				oneDatabase(db.Settings{Engine: "sqlite", Name: "polls.db"})(s, o)
				o.Routes = oneRoute(streaming)
			}},
		{id: "quintet.W001", object: "DATABASES.default.CONN_MAX_AGE", says: "MAX_STREAMS is 9", hint: "CONN_MAX_AGE: 60",
			change: func(s *app.Settings, o *app.Options) {
				oneDatabase(db.Settings{Engine: "sqlite", Name: "polls.db"})(s, o)
				s.MaxStreams = 9
			}},
		{id: "quintet.E005", object: "DATABASES.default.NAME", says: "PROCESSES is 2", hint: "name a file",
			change: func(s *app.Settings, o *app.Options) {
				oneDatabase(db.Settings{Engine: "sqlite", Name: ":memory:"})(s, o)
				s.Processes = 2
			}},
		{id: "quintet.W004", object: "SECURE_HSTS_SECONDS", says: "no proxy is believed", hint: "TRUSTED_PROXIES",
			change: func(s *app.Settings, _ *app.Options) { s.TrustedProxies = nil }},
		{id: "quintet.W006", object: "ALLOWED_HOSTS", says: `has "*"`, hint: "remove",
			change: func(s *app.Settings, _ *app.Options) { s.AllowedHosts = []string{"a.example", "*"} }},
		{id: "quintet.W007", object: "LISTEN", says: "0.0.0.0:8000", hint: "DEBUG: false",
			change: func(s *app.Settings, _ *app.Options) { s.Debug, s.Listen = true, "0.0.0.0:8000" }},
		{id: "quintet.W008", object: "DATABASES.default.CONN_MAX_IDLE", says: "no connection is kept", hint: "leave it out",
			change: oneDatabase(db.Settings{Engine: "sqlite", Name: "polls.db", ConnMaxIdle: time.Minute})},
		{id: "quintet.W010", object: "SILENCED_SYSTEM_CHECKS", says: `no "quintet.W099"`, hint: "did you mean",
			change: func(s *app.Settings, _ *app.Options) {
				s.SilencedSystemChecks = []string{"quintet.W099", "security.W004", "polls.W001"}
			}},

		{id: "quintet.W011", object: "app/checks_test.go:", says: `another page than "GET /polls/"`, hint: "APPEND_SLASH",
			change: func(_ *app.Settings, o *app.Options) {
				o.Routes = func(s *app.Site) {
					s.GET("/polls", text(""))
					s.GET("/polls/", text(""))
					s.POST("/polls", text(""))
				}
			}},
		{id: "quintet.W012", object: "app/checks_test.go:", says: "below STATIC_URL /static/", hint: "move the route",
			change: func(s *app.Settings, o *app.Options) {
				s.Debug = true
				o.Static = files("polls.css")
				o.Routes = func(s *app.Site) { s.GET("/static/mine.css", text("")) }
			}},

		{id: "quintet.E002", says: "polls/list.html:1", hint: "correct the template",
			change: func(s *app.Settings, o *app.Options) {
				s.Debug = true // which leaves templates to their first use
				o.Apps = []app.App{{Name: "polls", Templates: fstest.MapFS{"polls/list.html": {Data: []byte("{{if}}")}}}}
			}},
		{id: "quintet.E003", object: "polls/list.html:2:", says: `no route has the name "pol"`, hint: `did you mean "poll"?`,
			change: func(_ *app.Settings, o *app.Options) {
				o.Routes = func(s *app.Site) { s.GET("/{id}", text(""), app.Name("poll")) }
				o.Templates = fstest.MapFS{
					"polls/list.html": {Data: []byte("{{range .}}{{if .}}{{url \"poll\" .ID}}{{end}}\n{{with $u := url \"pol\" .ID}}{{$u}}{{end}}{{end}}")},
				}
			}},
		{id: "quintet.W013", object: "votes", says: `template "list.html" is never used: that of the app polls`, hint: `"votes/list.html"`,
			change: func(_ *app.Settings, o *app.Options) {
				o.Templates = files("list.html") // the site's own, which may
				o.Apps = []app.App{{Name: "polls", Templates: files("list.html")}, {Name: "votes", Templates: files("list.html")}}
			}},
		{id: "quintet.E004", object: "polls", says: "polls/0001_initial.sql: there is no Up section", hint: "-- +goose Up",
			change: func(s *app.Settings, o *app.Options) {
				oneDatabase(db.Settings{Engine: "sqlite", Name: "polls.db"})(s, o)
				o.Apps = []app.App{{Name: "polls", Migrations: files("0001_initial.sql")}}
			}},
		{id: "quintet.C001", says: "panicked: no ballot box", hint: "correct the check",
			change: func(_ *app.Settings, o *app.Options) {
				o.Apps = []app.App{{Name: "polls", Checks: []app.Check{func(*app.Site) []app.Problem { panic("no ballot box") }}}}
			}},
		{id: "quintet.E006", object: "DATABASES.default", says: "cannot be asked", hint: "start it", ask: app.CheckOptions{Databases: []string{"default"}},
			change: oneDatabase(db.Settings{Engine: "sqlite", Name: "/dev/null/polls.db"})},
	}
}

func (c flaw) site(t *testing.T) *app.Site {
	t.Helper()
	settings, options := sound(), app.Options{}
	c.change(&settings, &options)
	return newSite(t, settings, options)
}

// TestCheck_EachProblemIsFoundAndNothingElse has a site for each line of CHECKS.md.
// CheckSecretKeyTest and CheckDebugTest of Django's check_framework are among them.
func TestCheck_EachProblemIsFoundAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, c := range flaws() {
		t.Run(c.id+" "+c.says, func(t *testing.T) {
			t.Parallel()
			problems := c.site(t).CheckWith(t.Context(), c.ask)
			if len(problems) != 1 {
				t.Fatalf("found are\n%v", problems)
			}
			p := problems[0]
			if p.ID != c.id || !strings.HasPrefix(p.Object, c.object) || !strings.Contains(p.Message, c.says) || !strings.Contains(p.Hint, c.hint) {
				t.Errorf("found is\n%v\nwant %s: (%s) %s; %s", p, c.object, c.id, c.says, c.hint)
			}
		})
	}
}

// TestCheck_WhatIsForProductionIsNotSaidBefore is Django's deploy=True.
func TestCheck_WhatIsForProductionIsNotSaidBefore(t *testing.T) {
	t.Parallel()
	for _, c := range flaws() {
		if !c.ask.Deploy {
			continue
		}
		if problems := c.site(t).Check(); len(problems) != 0 {
			t.Errorf("%s is found without Deploy: %v", c.id, problems)
		}
	}
}

// TestCheck_TheTableIsTrue holds CHECKS.md against the code, and the flaws above
// against both.
func TestCheck_TheTableIsTrue(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("CHECKS.md")
	if err != nil {
		t.Fatal(err)
	}
	deploy := make(map[string]bool)
	tested := []string{"quintet.W002", "quintet.W003", "quintet.W015", "quintet.E007", "quintet.E008"} // by tests of their own
	for _, c := range flaws() {
		tested = append(tested, c.id)
		deploy[c.id] = c.ask.Deploy
	}
	level := map[slog.Level]string{slog.LevelWarn: "warning", slog.LevelError: "error", app.LevelCritical: "critical"}
	letter := map[slog.Level]string{slog.LevelWarn: "W", slog.LevelError: "E", app.LevelCritical: "C"}
	rows := regexp.MustCompile(`(?m)^\| \w+\.[A-Z]\d{3} \|.*\|$`).FindAllString(strings.Split(string(text), "\n## ")[0], -1)
	var want []string
	for _, k := range app.KnownProblems() {
		when := "always"
		switch {
		case deploy[k.ID] || k.ID == "quintet.W002":
			when = "`--deploy`"
		case k.Tag == "database":
			when = "`--database`"
		}
		want = append(want, fmt.Sprintf("| %s | %s | %s | %s | %s |", k.ID, level[k.Level], k.Tag, k.Title, when))
		if !slices.Contains(tested, k.ID) {
			t.Errorf("no test provokes %s", k.ID)
		}
		if _, code, _ := strings.Cut(k.ID, "."); !strings.HasPrefix(code, letter[k.Level]) {
			t.Errorf("%s is of level %s", k.ID, level[k.Level])
		}
	}
	if !slices.Equal(rows, want) {
		t.Errorf("CHECKS.md should have\n%s\nbut has\n%s", strings.Join(want, "\n"), strings.Join(rows, "\n"))
	}
}

// TestCheck_ASoundSiteHasNoProblems: so that every flaw above has one only.
func TestCheck_ASoundSiteHasNoProblems(t *testing.T) {
	t.Parallel()
	c := flaw{change: oneDatabase(db.Settings{Engine: "sqlite", Name: filepath.Join(t.TempDir(), "polls.db")})}
	if problems := c.site(t).CheckWith(t.Context(), app.CheckOptions{Deploy: true, Databases: []string{"default"}}); len(problems) != 0 {
		t.Errorf("found are\n%v", problems)
	}
}

// TestCheck_TellsWhereASettingIsWritten: file and line, or the variable.
func TestCheck_TellsWhereASettingIsWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "settings.yaml"), []byte("DEBUG: true\nLISTEN: :8000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	settings, err := app.LoadIn(dir, []string{"QUINTET_X_FRAME_OPTIONS=SAMEORIGIN"})
	if err != nil {
		t.Fatal(err)
	}
	var objects []string
	for _, p := range newSite(t, settings, app.Options{}).CheckWith(t.Context(), app.CheckOptions{Deploy: true}) {
		objects = append(objects, p.Object)
	}
	equal(t, "the objects", objects, []string{
		"SECURE_HSTS_SECONDS", "SECRET_KEY", "settings.yaml:1: DEBUG", "environment QUINTET_X_FRAME_OPTIONS: X_FRAME_OPTIONS",
		"ALLOWED_HOSTS", "settings.yaml:2: LISTEN",
	})
}

// TestCheck_TheFrameworkFromAWorkingCopy: a released version is what others can
// build; the binary of a replaced one is in manage's tests.
func TestCheck_TheFrameworkFromAWorkingCopy(t *testing.T) {
	t.Parallel()
	dep := func(version string, replace *debug.Module) *debug.BuildInfo {
		return &debug.BuildInfo{Deps: []*debug.Module{{Path: "example.com/other", Replace: &debug.Module{Path: "x"}},
			{Path: "github.com/goquintet/quintet", Version: version, Replace: replace}}}
	}
	if problems := app.InspectBuild(dep("v1.0.0", nil)); len(problems) != 0 {
		t.Errorf("a released version: %v", problems)
	}
	for object, info := range map[string]*debug.BuildInfo{
		"go.mod": dep("v0.0.0", &debug.Module{Path: "../quintet"}), "go.work": dep("(devel)", nil),
	} {
		problems := app.InspectBuild(info)
		if len(problems) != 1 || problems[0].ID != "quintet.W002" || problems[0].Object != object || problems[0].Level != slog.LevelWarn || problems[0].Hint == "" {
			t.Errorf("%s: %v", object, problems)
		}
	}
}
