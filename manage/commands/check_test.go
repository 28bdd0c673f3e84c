package commands_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/manage/commands"
)

// finds is a check that always finds this.
func finds(problems ...app.Problem) app.Check {
	return func(*app.Site) []app.Problem { return problems }
}

// troubled is the site of polls with a problem of every level.
func troubled(t *testing.T, change ...func(*app.Settings, *app.Options)) commands.Env {
	t.Helper()
	return polls(t, append([]func(*app.Settings, *app.Options){func(s *app.Settings, o *app.Options) {
		s.SilencedSystemChecks = []string{"polls.E009"}
		o.Apps[0].Checks = []app.Check{finds(
			app.Problem{ID: "polls.W001", Level: slog.LevelWarn, Object: "polls.Poll", Message: "no poll is open", Hint: "open one"},
			app.Problem{ID: "polls.D001", Level: slog.LevelDebug, Message: "polls are counted at noon"},
			app.Problem{ID: "polls.E001", Level: slog.LevelError, Object: "polls.Box", Message: "there are two ballot boxes", Hint: "remove one"},
			app.Problem{ID: "polls.E009", Level: slog.LevelError, Message: "this is accepted"},
		)}
		o.Apps[0].DeployChecks = []app.Check{finds(app.Problem{ID: "polls.W002", Level: slog.LevelWarn, Message: "the door is open"})}
		o.Apps[1].Checks = []app.Check{finds(
			app.Problem{ID: "static.C001", Level: app.LevelCritical, Message: "the house burns", Hint: "leave it"},
			app.Problem{ID: "static.W001", Level: slog.LevelWarn, Message: "a window is open"},
			app.Problem{ID: "static.I001", Level: slog.LevelInfo, Message: "there are windows"},
		)}
		o.Apps[1].DatabaseChecks = []app.DatabaseCheck{func(_ context.Context, _ *app.Site, alias string) []app.Problem {
			return []app.Problem{{ID: "static.W002", Level: slog.LevelWarn, Object: alias, Message: "is asked"}}
		}}
	}}, change...)...)
}

// TestManageCheck_OutputFormat is Django's ManageCheck.test_output_format: problems
// grouped by level and sorted, with hints and a count, on the standard error.
func TestManageCheck_OutputFormat(t *testing.T) {
	t.Parallel()
	r := run(t, troubled(t), "check")
	if r.status != 1 || r.out != "" {
		t.Errorf("it ends with %d and writes %q", r.status, r.out)
	}
	golden(t, "check.txt", r.errors)

	r = run(t, polls(t), "check")
	if r.status != 0 || r.errors != "" {
		t.Errorf("a sound site: %+v", r)
	}
	golden(t, "check_sound.txt", r.out)
}

// TestManageCheck_DeployOutput is what a project in development hears of production.
func TestManageCheck_DeployOutput(t *testing.T) {
	t.Parallel()
	r := run(t, polls(t), "check", "--deploy")
	if r.status != 0 {
		t.Errorf("it ends with %d", r.status)
	}
	golden(t, "check_deploy.txt", r.errors)
}

// TestManageCheck_WarningDoesNotHalt is Django's test_warning_does_not_halt.
func TestManageCheck_WarningDoesNotHalt(t *testing.T) {
	t.Parallel()
	env := polls(t, func(_ *app.Settings, o *app.Options) {
		o.Apps[0].Checks = []app.Check{finds(app.Problem{ID: "polls.W001", Level: slog.LevelWarn, Message: "no poll is open"})}
	})
	for args, status := range map[string]int{
		"check": 0, "check --fail-level error": 0, "check --fail-level CRITICAL": 0, "check --fail-level warning": 1, "check --fail-level=debug": 1,
	} {
		if r := run(t, env, strings.Fields(args)...); r.status != status || r.out != "" || !strings.Contains(r.errors, "(polls.W001) no poll is open") {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

// TestCheckCommand holds what Django's CheckCommandTests hold: given_app, given_tag,
// list_tags, list_deployment_check_omitted and _included,
// tags_deployment_check_omitted and _included, database_system_checks.
func TestCheckCommand(t *testing.T) {
	t.Parallel()
	env := troubled(t)
	for _, c := range []struct {
		args       string
		status     int
		has, hasNo string
	}{
		{"check", 1, "polls.E001 static.C001", "polls.W002 static.W002"},
		{"check polls", 1, "polls.E001 polls.W001", "static.C001"},
		{"check static", 1, "static.C001", "polls.E001"},
		{"check polls static", 1, "polls.E001 static.C001", ""},
		{"check --tag polls", 1, "polls.E001", "static.C001"},
		{"check -t polls -t static", 1, "polls.E001 static.C001", ""},
		{"check --tag polls,static", 1, "polls.E001 static.C001", ""},
		{"check --tag urls", 0, "no problems (0 silenced)", "polls.E001"},
		{"check --tag polls --deploy", 1, "polls.E001 polls.W002", ""},
		{"check --tag security --deploy", 0, "security.W018", "polls.W002"},
		{"check --tag database", 0, "no problems", "static.W002"},
		{"check --tag database --database default", 0, "default: (static.W002) is asked", "polls.E001"},
		{"check --fail-level critical --tag polls", 0, "polls.E001", ""},
	} {
		r := run(t, env, strings.Fields(c.args)...)
		said := r.out + r.errors
		if r.status != c.status {
			t.Errorf("%s ends with %d:\n%s", c.args, r.status, said)
		}
		for _, id := range strings.Fields(c.has) {
			if !strings.Contains(said, id) {
				t.Errorf("%s has no %s:\n%s", c.args, id, said)
			}
		}
		for _, id := range strings.Fields(c.hasNo) {
			if strings.Contains(said, id) {
				t.Errorf("%s has %s:\n%s", c.args, id, said)
			}
		}
	}
	want := "database\nmigrations\nmodels\npolls\nsettings\nstatic\nstaticfiles\ntemplates\nurls\n"
	if r := run(t, env, "check", "--list-tags"); r.status != 0 || r.out != want || r.errors != "" {
		t.Errorf("--list-tags: %+v", r)
	}
	want = "build\ndatabase\nmigrations\nmodels\npolls\nsecurity\nsettings\nstatic\nstaticfiles\ntemplates\nurls\n"
	if r := run(t, env, "check", "--list-tags", "--deploy"); r.status != 0 || r.out != want {
		t.Errorf("--list-tags --deploy: %+v", r)
	}
}

// TestSilencingCheck_SilencedErrorDoesNotFail is Django's SilencingCheckTests: it is
// counted, not shown, and fails nothing.
func TestSilencingCheck_SilencedErrorDoesNotFail(t *testing.T) {
	t.Parallel()
	env := polls(t, func(s *app.Settings, o *app.Options) {
		s.SilencedSystemChecks = []string{"polls.E001"}
		o.Apps[0].Checks = []app.Check{finds(app.Problem{ID: "polls.E001", Level: slog.LevelError, Message: "there are two ballot boxes"})}
	})
	if r := run(t, env, "check"); r.status != 0 || r.out != "System checks found no problems (1 silenced).\n" || r.errors != "" {
		t.Errorf("check: %+v", r)
	}
	s := serve(t, env, "127.0.0.1:0")
	if status := s.end(); status != 0 || strings.Contains(s.errors.String(), "ballot") {
		t.Errorf("runserver ends with %d and says\n%s", status, s.errors)
	}
}

// TestCheckAsksADatabaseThatCannotBeReached: one that can be and one that
// cannot are told apart.
func TestCheckAsksADatabaseThatCannotBeReached(t *testing.T) {
	t.Parallel()
	env := polls(t, func(s *app.Settings, _ *app.Options) {
		s.Databases["gone"] = db.Settings{Engine: "sqlite", Name: filepath.Join("/dev/null", "polls.db")}
	})
	r := run(t, env, "check", "--database", "default", "--database", "gone")
	if r.status != 1 || strings.Count(r.errors, "quintet.E006") != 1 || !strings.Contains(r.errors, "DATABASES.gone: (quintet.E006) cannot be asked: ") {
		t.Errorf("check: %+v", r)
	}
}

// TestABrokenTemplateKeepsNoSiteInDebugFromBeingServed: the browser shows it, where it
// is being written. check fails for it.
func TestABrokenTemplateKeepsNoSiteInDebugFromBeingServed(t *testing.T) {
	t.Parallel()
	env := polls(t, func(_ *app.Settings, o *app.Options) {
		o.Templates = fstest.MapFS{"home.html": {Data: []byte("{{if}}")}}
	})
	if r := run(t, env, "check"); r.status != 1 || !strings.Contains(r.errors, "(quintet.E002) template: home.html:1: ") {
		t.Errorf("check: %+v", r)
	}
	s := serve(t, env, "127.0.0.1:0")
	if status := s.end(); status != 0 || !strings.Contains(s.errors.String(), "quintet.E002") {
		t.Errorf("runserver ends with %d and says\n%s", status, s.errors)
	}
}
