package commands_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/manage/commands"
)

func noop(context.Context, *app.Site, []string) error { return nil }

// TestOwnCommand: it runs in a scope of its name, knows its site, and gets its
// arguments without the options of every command.
func TestOwnCommand(t *testing.T) {
	t.Parallel()
	env := polls(t, func(_ *app.Settings, o *app.Options) {
		o.Apps[0].Commands[0].Run = func(ctx context.Context, site *app.Site, args []string) error {
			var one int
			if err := db.From(ctx).NewRaw("SELECT 1").Scan(ctx, &one); err != nil {
				return err
			}
			if app.From(ctx) != site {
				return errors.New("the context does not know the site")
			}
			holder := "nobody"
			for _, h := range site.Connections().Holders() {
				holder = h.Name
			}
			return say(ctx, holder, " closes ", strings.Join(args, " "))
		}
	})
	for _, args := range [][]string{
		{"close-polls", "--all", "7"},
		{"--no-color", "close-polls", "--all", "7"},
		{"close-polls", "--all", "--no-color", "7"},
	} {
		if r := run(t, env, args...); r.status != 0 || r.out != "close-polls closes --all 7\n" {
			t.Errorf("%q: %+v", args, r)
		}
	}
	if r := run(t, env, "close-polls", "--", "--no-color"); r.out != "close-polls closes -- --no-color\n" {
		t.Errorf("after --: %+v", r)
	}
}

func TestAnErrorOfAnOwnCommandIsShown(t *testing.T) {
	t.Parallel()
	env := polls(t, func(_ *app.Settings, o *app.Options) {
		o.Apps[0].Commands[0].Run = func(context.Context, *app.Site, []string) error { return errors.New("polls: no poll is open") }
	})
	if r := run(t, env, "close-polls"); r.status != 1 || r.errors != "error: polls: no poll is open\n" {
		t.Errorf("close-polls: %+v", r)
	}
}

// TestACommandTakesThePlaceOfOurs: as in Django those of apps go before the
// framework's, those of the first app before those of others; the program's own go
// before all.
func TestACommandTakesThePlaceOfOurs(t *testing.T) {
	t.Parallel()
	says := func(word string) app.Command {
		return app.Command{Name: "migrate", Run: func(ctx context.Context, site *app.Site, args []string) error {
			if err := say(ctx, word); err != nil {
				return err
			}
			return commands.Call(ctx, site, "migrate", args...)
		}}
	}
	env := polls(t, func(_ *app.Settings, o *app.Options) {
		o.Apps[0].Commands = []app.Command{says("first app")}
		o.Apps[1].Commands = []app.Command{says("second app")}
	})
	if r := run(t, env, "migrate", "polls", "0001"); r.status != 0 || !strings.HasPrefix(r.out, "first app\nOperations to perform:") || strings.Contains(r.out, "0002") {
		t.Errorf("with two apps: %+v", r)
	}
	env.Commands = []app.Command{says("program")}
	if r := run(t, env, "migrate"); r.status != 0 || !strings.HasPrefix(r.out, "program\nOperations to perform:") {
		t.Errorf("with a program: %+v", r)
	}
}

// TestCallCommand is Django's call_command: an unknown command and an unknown option
// are errors (user_commands CommandTests.test_explode, test_call_command_unrecognized_option),
// and the connections stay open.
func TestCallCommand(t *testing.T) {
	t.Parallel()
	env := polls(t)
	site, err := env.NewSite()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := site.Close(); err != nil {
			t.Error(err)
		}
	}()
	var usage *commands.Error
	if err := commands.Call(t.Context(), site, "explode"); !errors.As(err, &usage) || usage.Problem != `unknown command "explode"` {
		t.Errorf("an unknown command: %v", err)
	}
	if err := commands.Call(t.Context(), site, "showmigrations", "--unrecognized"); !errors.As(err, &usage) || usage.Problem != "showmigrations has no option --unrecognized" {
		t.Errorf("an unknown option: %v", err)
	}
	for range 2 {
		err := site.Connections().Run(t.Context(), "still open", func(ctx context.Context) error {
			_, err := db.From(ctx).ExecContext(ctx, "SELECT 1")
			return err
		})
		if err != nil {
			t.Errorf("after a call: %v", err)
		}
	}
}
