package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/migrate"
)

// checked is a site with two apps and a check of every kind.
func checked(t *testing.T, settings app.Settings) *app.Site {
	t.Helper()
	finds := func(id string) app.Check {
		return func(*app.Site) []app.Problem {
			return []app.Problem{{ID: id, Level: slog.LevelWarn, Message: "is found"}}
		}
	}
	return newSite(t, settings, app.Options{Apps: []app.App{
		{Name: "polls", Checks: []app.Check{finds("polls.W001")}, DeployChecks: []app.Check{finds("polls.W002")}},
		{Name: "votes", Checks: []app.Check{finds("votes.W001")}, DatabaseChecks: []app.DatabaseCheck{
			func(ctx context.Context, site *app.Site, alias string) []app.Problem {
				answer := ""
				if err := db.Using(ctx, alias).NewRaw("SELECT 'asked'").Scan(ctx, &answer); err != nil || app.From(ctx) != site {
					answer = fmt.Sprint(err)
				}
				return []app.Problem{{ID: "votes.W002", Level: slog.LevelWarn, Object: alias, Message: answer}}
			},
		}},
	}})
}

func ids(problems []app.Problem) string {
	var all []string
	for _, p := range problems {
		id := p.ID
		if p.Silenced {
			id = "silenced " + id
		}
		all = append(all, id)
	}
	return strings.Join(all, ", ")
}

// TestSystemCheckFramework_RegisterAndRunChecks is Django's
// SystemCheckFrameworkTests.test_register_and_run_checks: tags, those of production
// apart. An app's name is the tag of its checks.
func TestSystemCheckFramework_RegisterAndRunChecks(t *testing.T) {
	t.Parallel()
	settings := sound()
	settings.Databases = map[string]db.Settings{"default": {Engine: "sqlite", Name: ":memory:"}}
	settings.SecretKey = ""
	site := checked(t, settings)
	for _, c := range []struct {
		options app.CheckOptions
		want    string
	}{
		{app.CheckOptions{}, "polls.W001, votes.W001"},
		{app.CheckOptions{Deploy: true}, "security.W009, polls.W001, polls.W002, votes.W001"},
		{app.CheckOptions{Apps: []string{"votes"}, Deploy: true}, "votes.W001"},
		{app.CheckOptions{Tags: []string{"polls"}}, "polls.W001"},
		{app.CheckOptions{Tags: []string{"polls", "security"}, Deploy: true}, "security.W009, polls.W001, polls.W002"},
		{app.CheckOptions{Tags: []string{"security"}}, ""},
		{app.CheckOptions{Tags: []string{"database"}}, ""},
		{app.CheckOptions{Tags: []string{"database"}, Databases: []string{"default"}}, "votes.W002"},
		{app.CheckOptions{Apps: []string{"polls"}, Tags: []string{"votes"}}, ""},
		{app.CheckOptions{Apps: []string{"nobody"}, Tags: []string{"nothing"}, Databases: []string{"nowhere"}}, ""},
	} {
		if got := ids(site.CheckWith(t.Context(), c.options)); got != c.want {
			t.Errorf("%+v finds %q, want %q", c.options, got, c.want)
		}
	}
	equal(t, "the tags", strings.Join(site.CheckTags(false), " "), "database migrations models polls settings staticfiles templates urls votes")
	equal(t, "the tags in production", strings.Join(site.CheckTags(true), " "), "build database migrations models polls security settings staticfiles templates urls votes")
}

// TestDatabaseCheck_DatabaseChecksCalled is Django's
// DatabaseCheckTests.test_database_checks_called: only databases that are named are
// asked, each in a scope.
func TestDatabaseCheck_DatabaseChecksCalled(t *testing.T) {
	t.Parallel()
	settings := sound()
	settings.Databases = map[string]db.Settings{"default": {Engine: "sqlite", Name: ":memory:"}, "other": {Engine: "sqlite", Name: ":memory:"}}
	site := checked(t, settings)
	site.Check()
	equal(t, "connections opened by Check", site.Connections().Stats("default").Opened, 0)
	problems := site.CheckWith(t.Context(), app.CheckOptions{Databases: []string{"other"}, Tags: []string{"database"}})
	if len(problems) != 1 || problems[0].Object != "other" || problems[0].Message != "asked" {
		t.Errorf("found are %v", problems)
	}
	equal(t, "connections opened for another", site.Connections().Stats("default").Opened, 0)
	equal(t, "connections kept", site.Connections().Stats("other").InUse, 0)
}

// TestSilencingCheck_SilencedError is Django's SilencingCheckTests
// test_silenced_error: what is silenced is found, and marked.
func TestSilencingCheck_SilencedError(t *testing.T) {
	t.Parallel()
	settings := sound()
	settings.SilencedSystemChecks = []string{"polls.W001"}
	equal(t, "found", ids(checked(t, settings).Check()), "silenced polls.W001, votes.W001")
}

// TestMessage_Printing is Django's MessageTests: object, text, hint on a line of its
// own, and the ID.
func TestMessage_Printing(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]app.Problem{
		"polls.Poll: (polls.E001) is odd\n\thint: even it out": {ID: "polls.E001", Object: "polls.Poll", Message: "is odd", Hint: "even it out"},
		"(polls.E001) is odd": {ID: "polls.E001", Message: "is odd"},
		"is odd":              {Message: "is odd"},
	} {
		equal(t, "the text", p.String(), want)
	}
}

// TestCheck_ConnectionsAgainstTheServersLimit asks a real server: more than it can
// give is an error, more than others leave a warning. Aliases of one server count
// together, and what this site holds already does not count against it.
func TestCheck_ConnectionsAgainstTheServersLimit(t *testing.T) {
	t.Parallel()
	database := dbtest.Database(t, "postgres")
	ask := func(t *testing.T, most, processes int, change ...func(*app.Settings)) []app.Problem {
		t.Helper()
		settings := sound()
		database := database
		database.MaxConnections = most
		settings.Databases, settings.Processes = map[string]db.Settings{"default": database}, processes
		for _, c := range change {
			c(&settings)
		}
		return newSite(t, settings, app.Options{}).CheckWith(t.Context(), app.CheckOptions{Databases: []string{"default"}})
	}
	var total, reserved int
	conns := dbtest.Open(t, database)
	err := conns.Run(t.Context(), "limits", func(ctx context.Context) error {
		return db.From(ctx).NewRaw("SELECT current_setting('max_connections')::int, current_setting('superuser_reserved_connections')::int"+
			" + coalesce(current_setting('reserved_connections', true), '0')::int").Scan(ctx, &total, &reserved)
	})
	if err != nil {
		t.Fatal(err)
	}
	limit := total - reserved

	if problems := ask(t, 1, 1); len(problems) != 0 {
		t.Errorf("one connection: %v", problems)
	}
	problems := ask(t, limit/2, 3)
	want := fmt.Sprintf("%d × PROCESSES 3 are %d connections, and the server gives %d (max_connections %d, %d of them reserved)", limit/2, limit/2*3, limit, total, reserved)
	if ids(problems) != "quintet.E007" || problems[0].Message != want || problems[0].Object != "DATABASES.default.MAX_CONNECTIONS" ||
		!strings.Contains(problems[0].Hint, fmt.Sprintf("have %d,", limit/3)) {
		t.Errorf("three times half of the limit: %v, want %s", problems, want)
	}
	problems = ask(t, limit, 1, func(s *app.Settings) { s.Databases["other"] = s.Databases["default"] })
	if ids(problems) != "quintet.E007" || !strings.Contains(problems[0].Message, "(default and other together)") {
		t.Errorf("two aliases of one server: %v", problems)
	}

	other := database
	other.Options = map[string]string{"application_name": "somebody else"}
	held := dbtest.Open(t, other)
	err = held.Run(t.Context(), "others", func(ctx context.Context) error {
		if err := db.From(ctx).EnsureConnection(ctx); err != nil {
			return err
		}
		if problems := ask(t, limit, 1); ids(problems) != "quintet.W003" || !strings.Contains(problems[0].Message, " left: others hold ") {
			t.Errorf("while others hold one: %v", problems)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	problems = ask(t, 1, 1, func(s *app.Settings) {
		gone := s.Databases["default"]
		gone.Host, gone.Port, gone.AcquireTimeout, gone.ConnectTimeout = "127.0.0.1", 1, time.Second/4, time.Second/4
		s.Databases["default"] = gone
	})
	if ids(problems) != "quintet.E006" || !strings.Contains(problems[0].Message, "cannot be asked: ") {
		t.Errorf("without a server: %v", problems)
	}
}

// TestCheck_TablesAgainstMigrationsAndModels: what is not applied is said, and only
// then what the tables lack.
func TestCheck_TablesAgainstMigrationsAndModels(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		settings := sound()
		settings.Databases = map[string]db.Settings{"default": database}
		site := newSite(t, settings, app.Options{Apps: []app.App{{
			Name: "polls", Models: []any{(*poll)(nil), (*twice)(nil)},
			Migrations: fstest.MapFS{"0001_initial.sql": {Data: []byte("-- +goose Up\nCREATE TABLE polls (id integer PRIMARY KEY);\nCREATE TABLE twices (id integer PRIMARY KEY);\n")}},
		}}})
		ask := func() []app.Problem {
			return site.CheckWith(t.Context(), app.CheckOptions{Databases: []string{"default"}, Tags: []string{"database"}})
		}
		if problems := ask(); ids(problems) != "quintet.W015" || problems[0].Message != "has not seen the migrations polls.0001_initial" {
			t.Errorf("before migrate: %v", problems)
		}
		sqldb := site.Connections().SQLDB("default")
		defer sqldb.Close()
		migrator, err := migrate.New(sqldb, database.Engine, []migrate.Source{{App: "polls", FS: site.Apps()[0].Migrations}}, migrate.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := migrator.Up(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if problems := ask(); ids(problems) != "quintet.E008" || problems[0].Object != "polls.twice" || !strings.Contains(problems[0].Message, "name") {
			t.Errorf("after migrate: %v", problems)
		}
	})
}
