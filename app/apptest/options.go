package apptest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// Option is what a test wants of its site.
type Option interface{ apply(*plan) }

// plan is what New makes a site from.
type plan struct {
	settings []func(*app.Settings)
	aliases  []string // nil is the default one
	fixtures []*fixture
	commits  bool
}

type option func(*plan)

func (o option) apply(p *plan) { o(p) }

// Settings changes the settings of the site under test, before it is made: Django's
// override_settings. Names and addresses of databases are the test's own, whatever
// it says; an ENGINE that it says is used.
func Settings(change func(*app.Settings)) Option {
	return option(func(p *plan) { p.settings = append(p.settings, change) })
}

// AllDatabases is every alias of the site: Django's "__all__".
const AllDatabases = "__all__"

// Databases names the aliases that the test uses, when that is not "default" alone;
// without any it uses none, as Django's SimpleTestCase. A statement on another fails
// with [dbtest.ErrFenced]. Django's databases.
func Databases(aliases ...string) Option {
	return option(func(p *plan) { p.aliases = append([]string{}, aliases...) })
}

// Engine has the alias "default" use another ENGINE than the site's settings say.
// OPTIONS, which belong to an engine, are left out then.
func Engine(name string) Option {
	return Settings(func(s *app.Settings) {
		database := s.Databases[db.DefaultAlias]
		if !strings.EqualFold(database.Engine, name) {
			database.Engine, database.Options = name, nil
			database.Name = "test" // the test has one of its own
		}
		if s.Databases == nil {
			s.Databases = make(map[string]db.Settings)
		}
		s.Databases[db.DefaultAlias] = database
	})
}

// Engines runs a subtest for each engine, parallel to others, with a site that has it.
// The site must have both in its Options.
func Engines(t *testing.T, newSite func() (*app.Site, error), run func(t *testing.T, site *Site), options ...Option) {
	t.Helper()
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			run(t, New(t, newSite, append([]Option{Engine(engine)}, options...)...))
		})
	}
}

// RealCommits gives the test databases of its own, copied from the migrated ones,
// instead of one transaction: for what [dbtest.Atomic] cannot do. It costs some
// milliseconds on SQLite and some tens of them on PostgreSQL. Django's
// TransactionTestCase.
func RealCommits() Option { return option(func(p *plan) { p.commits = true }) }

// allows reports whether the test has asked for the alias.
func (p *plan) allows(alias string) bool {
	if p.aliases == nil {
		return alias == db.DefaultAlias
	}
	return slices.Contains(p.aliases, alias) || slices.Contains(p.aliases, AllDatabases)
}

// check looks for aliases that the site does not have.
func (p *plan) check(have map[string]db.Settings) error {
	for _, alias := range p.aliases {
		if _, ok := have[alias]; !ok && alias != AllDatabases {
			return fmt.Errorf("Databases names the alias %q, and the site has %s", alias, strings.Join(slices.Sorted(maps.Keys(have)), ", "))
		}
	}
	return nil
}

// fixture is what fills the database of a template.
type fixture struct {
	fill func(ctx context.Context) error
}

func (f *fixture) apply(p *plan) { p.fixtures = append(p.fixtures, f) }

// Fixture is data that is there when a test begins. It is written once, into the
// migrated database that those of the tests are copied from, and each test sees it
// as it was. Keep the option in a variable of the package: tests that are given the
// same share the copy.
//
//	var samples = apptest.Fixture(func(ctx context.Context) error { return sales.Seed(ctx) })
//
// The context is in a scope of a site; db.From and app.From work. It fills the
// alias "default". Django's setUpTestData.
func Fixture(fill func(ctx context.Context) error) Option { return &fixture{fill} }
