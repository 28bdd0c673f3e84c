package commands_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/sqlite"
	"github.com/goquintet/quintet/manage/commands"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

var update = flag.Bool("update", false, "write the golden files")

// golden compares what people read with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s has changed (go test -update writes it). Got:\n%s\nwant:\n%s", path, got, want)
	}
}

// result is how a command ended and what it said.
type result struct {
	status      int
	out, errors string
}

func run(t *testing.T, env commands.Env, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	env.Args, env.Stdout, env.Stderr = args, &out, &errs
	if env.Setenv == nil { // the process has other tests
		env.Setenv = func(string, string) error { return nil }
	}
	status := commands.Run(t.Context(), env)
	return result{status, out.String(), errs.String()}
}

// polls is a site with one app, on a database that is not there yet.
func polls(t *testing.T, change ...func(*app.Settings, *app.Options)) commands.Env {
	t.Helper()
	settings := app.Settings{
		Debug: true, LogLevel: slog.LevelError + 1,
		Databases: map[string]db.Settings{db.DefaultAlias: {Engine: "sqlite", Name: filepath.Join(t.TempDir(), "polls.db")}},
	}
	options := app.Options{
		Engines: []db.Engine{sqlite.Engine{}, postgres.Engine{}},
		Apps: []app.App{{
			Name: "polls",
			Migrations: fstest.MapFS{
				"0001_initial.sql": {Data: []byte("-- +goose Up\nCREATE TABLE poll (id integer PRIMARY KEY);\n-- +goose Down\nDROP TABLE poll;\n")},
				"0002_votes.sql":   {Data: []byte("-- +goose Up\nALTER TABLE poll ADD COLUMN votes integer;\n-- +goose Down\nALTER TABLE poll DROP COLUMN votes;\n")},
			},
			Commands: []app.Command{{
				Name: "close-polls", Short: "Close what has ended",
				Run: func(ctx context.Context, site *app.Site, args []string) error {
					return say(ctx, "closing ", strings.Join(args, " "))
				},
			}},
		}, {Name: "static"}},
	}
	for _, change := range change {
		change(&settings, &options)
	}
	return commands.Env{NewSite: func() (*app.Site, error) { return app.New(settings, options) }}
}

func say(ctx context.Context, words ...string) error {
	_, err := commands.Stdout(ctx).Write([]byte(strings.Join(words, "") + "\n"))
	return err
}

// broken is a site whose settings are wrong.
func broken() commands.Env {
	return commands.Env{NewSite: func() (*app.Site, error) {
		return nil, errors.Join(
			&app.ConfigError{File: "settings.yaml", Line: 3, Key: "DEBG", Problem: "is unknown", Hint: "did you mean DEBUG?"},
			&app.ConfigError{File: "settings.yaml", Line: 7, Key: "LISTEN", Value: "here", Problem: "is no address", Hint: "write host:port"},
		)
	}}
}

// TestHelp is Django's CommandTypes.test_help: the commands, grouped.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"help"}, {}, {"--help"}, {"-h"}} {
		r := run(t, polls(t), args...)
		if r.status != 0 || r.errors != "" {
			t.Errorf("%q ends with %d: %s", args, r.status, r.errors)
		}
		golden(t, "help.txt", r.out)
	}
}

// TestSpecificHelp is Django's CommandTypes.test_specific_help and
// test_help_default_options_with_custom_arguments: the command's own options come
// before those of every command.
func TestSpecificHelp(t *testing.T) {
	t.Parallel()
	for _, command := range []string{
		"runserver", "serve", "check", "diffsettings", "listurls", "test", "migrate", "makemigrations", "showmigrations", "sqlmigrate", "dbshell",
		"dbstatus", "completion", "startproject", "startapp", "close-polls",
	} {
		first, second := run(t, polls(t), "help", command), run(t, polls(t), command, "--help")
		if first.status != 0 || first != second {
			t.Errorf("help %s and %s --help differ: %+v, %+v", command, command, first, second)
		}
		golden(t, "help_"+command+".txt", first.out)
	}
}

// TestHelpCommands is Django's CommandTypes.test_help_commands: bare names.
func TestHelpCommands(t *testing.T) {
	t.Parallel()
	if r := run(t, polls(t), "help", "--commands"); r.status != 0 || !slices.IsSorted(strings.Fields(r.out)) ||
		!strings.HasPrefix(r.out, "check\nclose-polls\n") || !strings.HasSuffix(r.out, "\ntest\nversion\n") || strings.Contains(r.out, " ") {
		t.Errorf("help --commands: %+v", r)
	}
}

func TestHelpAndVersionWorkWithoutASite(t *testing.T) {
	t.Parallel()
	r := run(t, broken(), "help")
	if r.status != 0 || !strings.Contains(r.out, "migrate") ||
		!strings.Contains(r.out, "Commands of apps are not listed, because the site cannot be made: settings.yaml:3: DEBG: is unknown\n") {
		t.Errorf("help: %+v", r)
	}
	if r := run(t, broken(), "help", "migrate"); r.status != 0 || !strings.Contains(r.out, "--database ALIAS") {
		t.Errorf("help migrate: %+v", r)
	}
	if r := run(t, commands.Env{}, "version"); r.status != 0 || !strings.HasPrefix(r.out, "Quintet ") {
		t.Errorf("version without a constructor: %+v", r)
	}
}

// TestVersion is Django's CommandTypes.test_version.
func TestVersion(t *testing.T) {
	t.Parallel()
	r := run(t, commands.Env{NewSite: func() (*app.Site, error) {
		t.Error("version has made a site")
		return nil, errors.New("no")
	}}, "version")
	if r.status != 0 || !strings.HasPrefix(r.out, "Quintet ") || !strings.Contains(r.out, ", go1.") {
		t.Errorf("version: %+v", r)
	}
}

// TestColours: --no-color, --force-color and NO_COLOR are Django's.
func TestColours(t *testing.T) {
	t.Parallel()
	if r := run(t, polls(t), "help", "--force-color"); !strings.Contains(r.out, "\x1b[1mUsage:\x1b[0m") {
		t.Errorf("--force-color writes %q", r.out)
	}
	if r := run(t, polls(t), "nope", "--force-color"); !strings.Contains(r.errors, "\x1b[31merror:\x1b[0m") {
		t.Errorf("--force-color writes %q", r.errors)
	}
	for _, args := range [][]string{{"help"}, {"help", "--no-color"}} {
		if r := run(t, polls(t), args...); strings.Contains(r.out, "\x1b") {
			t.Errorf("%q writes %q", args, r.out)
		}
	}
}

func TestSettingsNamesAFile(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--settings", "other.yaml", "showmigrations"}, {"showmigrations", "--settings=other.yaml"}} {
		env := polls(t)
		set := ""
		env.Setenv = func(key, value string) error {
			set = key + "=" + value
			return nil
		}
		make := env.NewSite
		env.NewSite = func() (*app.Site, error) {
			if set == "" {
				t.Errorf("%q makes the site before it has said where the settings are", args)
			}
			return make()
		}
		if r := run(t, env, args...); r.status != 0 || set != "QUINTET_SETTINGS=other.yaml" {
			t.Errorf("%q sets %q and ends with %+v", args, set, r)
		}
	}
}

// TestTraceback: one line without it, the errors that an error is made of with it.
func TestTraceback(t *testing.T) {
	t.Parallel()
	env := polls(t, func(_ *app.Settings, o *app.Options) {
		o.Apps[0].Commands[0].Run = func(context.Context, *app.Site, []string) error {
			return &commands.Error{Problem: "the polls are open", Hint: "wait", Status: 3, Err: os.ErrDeadlineExceeded}
		}
	})
	want := "error: the polls are open\nhint: wait\n"
	if r := run(t, env, "close-polls"); r.status != 3 || r.errors != want {
		t.Errorf("without --traceback: %+v", r)
	}
	want += "  *commands.Error: the polls are open; wait\n    *poll.DeadlineExceededError: i/o timeout\n"
	for _, args := range [][]string{{"--traceback", "close-polls"}, {"close-polls", "--traceback"}} {
		if r := run(t, env, args...); r.status != 3 || r.errors != want {
			t.Errorf("%q: %+v", args, r)
		}
	}
}

// TestRunFromArgvClosesConnections is Django's CommandTypes
// test_run_from_argv_closes_connections.
func TestRunFromArgvClosesConnections(t *testing.T) {
	t.Parallel()
	var site *app.Site
	env := polls(t)
	make := env.NewSite
	env.NewSite = func() (_ *app.Site, err error) {
		site, err = make()
		return site, err
	}
	if r := run(t, env, "migrate"); r.status != 0 {
		t.Fatalf("migrate: %+v", r)
	}
	if stats := site.Connections().Stats(db.DefaultAlias); stats.Open != 0 || stats.Opened == 0 {
		t.Errorf("after the command %d of %d connections are open", stats.Open, stats.Opened)
	}
}

func TestAnInterruptedCommandSaysSo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	env := polls(t, func(_ *app.Settings, o *app.Options) {
		o.Apps[0].Commands[0].Run = func(ctx context.Context, _ *app.Site, _ []string) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}
	})
	var errs bytes.Buffer
	env.Args, env.Stderr = []string{"close-polls"}, &errs
	if status := commands.Run(ctx, env); status != 1 || errs.String() != "error: interrupted\n" {
		t.Errorf("ends with %d: %s", status, errs.String())
	}
}
