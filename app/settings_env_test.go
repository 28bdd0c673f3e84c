package app_test

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
)

func TestLoad_TheEnvironmentSetsKeysThatNoFileHas(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, "DEBUG: true\n",
		"QUINTET_DEBUG=off",
		"QUINTET_SECRET_KEY=null", // a word here: nothing else could say it
		"QUINTET_ALLOWED_HOSTS= a.example , b.example,",
		"QUINTET_TRUSTED_PROXIES=10.0.0.0/8,::1",
		"QUINTET_CSRF_TRUSTED_ORIGINS=",
		"QUINTET_MAX_BODY=null",
		"QUINTET_DATABASES__DEFAULT__ENGINE=postgres",
		"QUINTET_DATABASES__default__CONN_MAX_AGE=null",
		"QUINTET_DATABASES__DEFAULT__PASSWORD=",
		"QUINTET_DATABASES__DEFAULT__ACQUIRE_TIMEOUT=7",
		"QUINTET_DATABASES__DEFAULT__OPTIONS__SSLMODE=require",
		"QUINTET_DATABASES__DEFAULT__OPTIONS__a__b=c",
		"PATH=/bin", "QUINTETX_Y=1", "rubbish",
	)
	equal(t, "over the file", s.Debug, false)
	equal(t, "the word null", string(s.SecretKey), "null")
	equal(t, "a list", s.AllowedHosts, []string{"a.example", "b.example"})
	equal(t, "networks", s.TrustedProxies, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")})
	equal(t, "an empty list", len(s.CSRFTrustedOrigins), 0)
	equal(t, "no limit", s.MaxBody, app.NoLimit)
	database := s.Databases["default"]
	equal(t, "an age", database.ConnMaxAge, db.Forever)
	equal(t, "seconds", database.AcquireTimeout, 7*time.Second)
	equal(t, "options", database.Options, map[string]string{"sslmode": "require", "a__b": "c"})
	equal(t, "the origin", s.Origin("DATABASES.default.OPTIONS.sslmode"), "environment QUINTET_DATABASES__DEFAULT__OPTIONS__SSLMODE")
}

func TestLoad_VariablesOfTestsAreNoSettings(t *testing.T) {
	t.Parallel()
	mustLoad(t, "", "QUINTET_REQUIRE=postgres", "QUINTET_TEST_POSTGRES=x")
}

func TestLoad_AliasesWithHyphens(t *testing.T) {
	t.Parallel()
	const yaml = "DATABASES:\n  default: {ENGINE: sqlite}\n  replica-1: {ENGINE: sqlite}\n"
	s := mustLoad(t, yaml, "QUINTET_DATABASES__REPLICA_1__HOST=a")
	equal(t, "the alias with a hyphen", s.Databases["replica-1"].Host, "a")
	equal(t, "aliases", len(s.Databases), 2)

	s = mustLoad(t, yaml+"  replica_1: {ENGINE: sqlite}\n", "QUINTET_DATABASES__REPLICA_1__HOST=a")
	equal(t, "the alias with a hyphen beside one without", s.Databases["replica-1"].Host, "")
	equal(t, "the alias without", s.Databases["replica_1"].Host, "a")

	s = mustLoad(t, yaml, "QUINTET_DATABASES__REPLICA_2__ENGINE=sqlite", "QUINTET_DATABASES__replica-3__ENGINE=sqlite")
	for _, alias := range []string{"replica_2", "replica-3"} {
		if _, ok := s.Databases[alias]; !ok {
			t.Errorf("%s is missing in %v", alias, s.Databases)
		}
	}
}

func TestLoad_SecretsFromFiles(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"settings.yaml": "DATABASES: {default: {ENGINE: postgres, PASSWORD: of-the-file}}\n",
		"one":           "hunter2\n", "two": " hunter3 \n\r\n",
	})
	s, err := app.LoadIn(dir, []string{
		"QUINTET_SECRET_KEY_FILE=one", // from the working directory
		"QUINTET_DATABASES__DEFAULT__PASSWORD_FILE=" + filepath.Join(dir, "two"),
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "without its line end", string(s.SecretKey), "hunter2")
	equal(t, "without its last line end only", string(s.Databases["default"].Password), " hunter3 \n")
	equal(t, "the origin", s.Origin("SECRET_KEY"), "environment QUINTET_SECRET_KEY_FILE")
}

func TestLoad_DatabaseURL(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]db.Settings{
		"postgresql://u:p%40%2F@db.example.com:5433/blog?sslmode=require&Application_Name=x": {
			Engine: "postgres", Name: "blog", User: "u", Password: "p@/", Host: "db.example.com", Port: 5433,
			Options: map[string]string{"sslmode": "require", "application_name": "x"},
		},
		"postgres://h/n":       {Engine: "postgres", Host: "h", Name: "n"},
		"POSTGRES://[::1]:1/n": {Engine: "postgres", Host: "::1", Port: 1, Name: "n"},
		"postgresql:///n?host=/run/pg&user=u&password=p&port=2": {Engine: "postgres", Host: "/run/pg", User: "u", Password: "p", Port: 2, Name: "n"},
		"postgresql://h?dbname=n":                               {Engine: "postgres", Host: "h", Name: "n"},
		"sqlite:///site.db":                                     {Engine: "sqlite", Name: "site.db"},
		"sqlite:////var/lib/a%20b.db?x=y":                       {Engine: "sqlite", Name: "/var/lib/a b.db", Options: map[string]string{"x": "y"}},
		"sqlite://:memory:":                                     {Engine: "sqlite", Name: ":memory:"},
		"sqlite:///:memory:":                                    {Engine: "sqlite", Name: ":memory:"},
	} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			s := mustLoad(t, "", "DATABASE_URL="+address)
			equal(t, "the alias default", s.Databases, map[string]db.Settings{"default": want.WithDefaults()})
			equal(t, "the origin", s.Origin("DATABASES.default.NAME"), "environment DATABASE_URL")
		})
	}
}

func TestLoad_DatabaseURLGivesWay(t *testing.T) {
	t.Parallel()
	const address = "DATABASE_URL=postgresql://h/n"
	s := mustLoad(t, "DATABASES: {default: {ENGINE: sqlite}}\n", address)
	equal(t, "ENGINE beside a file's default", s.Databases["default"].Engine, "sqlite")
	s = mustLoad(t, "", address, "QUINTET_DATABASES__DEFAULT__ENGINE=sqlite")
	equal(t, "ENGINE beside a variable's default", s.Databases["default"].Engine, "sqlite")
	equal(t, "HOST, of which nothing is mixed in", s.Databases["default"].Host, "")
	s = mustLoad(t, "DATABASES: {replica: {ENGINE: sqlite}}\n", address)
	equal(t, "ENGINE beside another alias", s.Databases["default"].Engine, "postgres")
	s = mustLoad(t, "", "DATABASE_URL=")
	equal(t, "databases of an empty address", len(s.Databases), 0)
	mustLoad(t, "DATABASES: {default: {ENGINE: sqlite}}\n", "DATABASE_URL=somebody's else") // not ours to judge
}

func TestLoad_DatabaseURLMistakes(t *testing.T) {
	t.Parallel()
	const sqlite = "; write sqlite:///site.db for a relative path, sqlite:////var/lib/site.db for an absolute one"
	const postgres = "; write postgresql://user:password@host:5432/name"
	for address, want := range map[string]string{
		"hunter2":                              "is not understood" + postgres + ", or sqlite:///site.db",
		"postgresql://u:hun#ter2@h/n":          "is not understood" + postgres + ", with # / ? @ and % in the password as %23 %2F %3F %40 and %25",
		"postgresql://u:hun/ter2@h/n":          "is not understood…",
		"postgresql://u:hunter2%@h/n":          "is not understood…",
		"postgresql://h/n?a=%zz":               "is not understood after its ?" + postgres + "?sslmode=require",
		"postgresql://h/n?host=b":              "says host twice; keep one of them",
		"postgresql://h/n?sslmode=a&SSLMODE=b": "says sslmode twice; keep one of them",
		"postgresql://h/n?a::b=c":              "has an option without a proper name after its ?…",
		"sqlite://site.db":                     "is not understood" + sqlite,
		"sqlite://":                            "is not understood" + sqlite,
		"sqlite:///%zz":                        "is not understood" + sqlite,
	} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			_, err := loadYAML(t, "", "DATABASE_URL="+address)
			if err == nil {
				t.Fatal("no error")
			}
			matches(t, err.Error(), `environment DATABASE_URL: DATABASES.default: "[hidden]": `+want)
		})
	}
	_, err := loadYAML(t, "", "DATABASE_URL=postgresql://h:99999/n")
	matches(t, err.Error(), "environment DATABASE_URL: DATABASES.default.PORT: 99999 is no port; leave it out for the engine's own")
}
