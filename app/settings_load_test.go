package app_test

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
)

// folder makes a folder with files, and returns its path.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// loadYAML loads one settings.yaml in an environment.
func loadYAML(t *testing.T, yaml string, environ ...string) (app.Settings, error) {
	t.Helper()
	return app.LoadIn(folder(t, map[string]string{"settings.yaml": yaml}), environ)
}

func mustLoad(t *testing.T, yaml string, environ ...string) app.Settings {
	t.Helper()
	settings, err := loadYAML(t, yaml, environ...)
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %#v, want %#v", what, got, want)
	}
}

func TestLoad_EveryKey(t *testing.T) {
	t.Parallel()
	s, err := app.LoadIn("testdata/settings", nil, "complete.yaml")
	if err != nil {
		t.Fatal(err)
	}

	equal(t, "DEBUG", s.Debug, true)
	equal(t, "SECRET_KEY, which looks like an octal number", string(s.SecretKey), "0123")
	equal(t, "ALLOWED_HOSTS", s.AllowedHosts, []string{"example.com", ".example.org"})
	equal(t, "TRUSTED_PROXIES", s.TrustedProxies, []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::1/128"),
	})
	equal(t, "LISTEN", s.Listen, "0.0.0.0:9000")
	equal(t, "APPEND_SLASH: false", s.NoAppendSlash, true)
	equal(t, "STATIC_URL", s.StaticURL, "https://static.example.com/")
	equal(t, "MAX_BODY", s.MaxBody, 10_000_000)
	equal(t, "READ_HEADER_TIMEOUT", s.ReadHeaderTimeout, 5*time.Second)
	equal(t, "IDLE_TIMEOUT", s.IdleTimeout, time.Minute)
	equal(t, "STREAM_WRITE_TIMEOUT", s.StreamWriteTimeout, 1500*time.Millisecond)
	equal(t, "STREAM_HEARTBEAT: null", s.StreamHeartbeat, app.NoLimit)
	equal(t, "STREAM_MAX_AGE", s.StreamMaxAge, time.Hour)
	equal(t, "MAX_STREAMS", s.MaxStreams, 100)
	equal(t, "PROCESSES", s.Processes, 4)
	equal(t, "SILENCED_SYSTEM_CHECKS", s.SilencedSystemChecks, []string{"security.W004", "polls.W001"})
	equal(t, "SHUTDOWN_TIMEOUT", s.ShutdownTimeout, 20*time.Second)
	equal(t, "CLEANUP_TIMEOUT", s.CleanupTimeout, 500*time.Millisecond)
	equal(t, "ADMIN_SOCKETS, from the folder of its file", s.AdminSockets, filepath.Join("testdata", "settings", "run", "blog"))
	equal(t, "LOG_LEVEL", s.LogLevel, slog.LevelDebug)
	equal(t, "CSRF_TRUSTED_ORIGINS", s.CSRFTrustedOrigins, []string{"https://shop.example.com"})
	equal(t, "SECURE_HSTS_SECONDS", s.SecureHSTSSeconds, 3600)
	equal(t, "SECURE_REFERRER_POLICY", s.SecureReferrerPolicy, "no-referrer, strict-origin")
	equal(t, "X_FRAME_OPTIONS", s.XFrameOptions, "SAMEORIGIN")

	equal(t, "DATABASES", s.Databases, map[string]db.Settings{"default": {
		Engine: "postgres", Name: "1e5", User: "blog", Password: "0755", Host: "db.example.com", Port: 5433,
		Options:    map[string]string{"sslmode": "verify-full", "myapp.setting": "1.10"},
		ConnMaxAge: time.Minute, ConnHealthChecks: true, AtomicRequests: true, ConnLease: db.LeaseTransaction,
		MaxConnections: 20, MaxWaiting: 50, AcquireTimeout: 10 * time.Second, ConnectTimeout: 2 * time.Second,
		ConnMaxIdle: 5 * time.Minute, ConnReset: db.ResetAlways,
		HoldIdleWarn: db.Forever, SlowStatement: 250 * time.Millisecond, HoldLimit: 30 * time.Second, Pooler: db.PoolerNone,
	}})
}

// A field that no file can set, or that the test above forgets, is found here.
func TestLoad_EveryFieldIsSetByTheCompleteFile(t *testing.T) {
	t.Parallel()
	s, err := app.LoadIn("testdata/settings", nil, "complete.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []reflect.Value{reflect.ValueOf(s), reflect.ValueOf(s.Databases["default"])} {
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() && v.Field(i).IsZero() {
				t.Errorf("%s.%s is not set", v.Type(), field.Name)
			}
		}
	}
	site, database := app.Keys()
	for _, key := range database {
		site = append(site, "DATABASES.default."+key)
	}
	for _, key := range site {
		if got := s.Origin(key); !strings.HasPrefix(got, "complete.yaml:") {
			t.Errorf("the origin of %s is %q", key, got)
		}
	}
}

func TestLoad_AnEmptyFileMeansTheDefaults(t *testing.T) {
	t.Parallel()
	for name, yaml := range map[string]string{
		"empty": "", "a comment": "# nothing yet\n", "null": "~\n", "no databases": "DATABASES:\n", "an empty map": "DATABASES: {}\n",
		"empty lists": "ALLOWED_HOSTS:\nTRUSTED_PROXIES: []\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := mustLoad(t, yaml)
			want := app.Settings{}.WithDefaults()
			if got, want := slog.AnyValue(got).String(), slog.AnyValue(want).String(); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if got.Origin("LISTEN") != "default" {
				t.Errorf("the origin of LISTEN is %q", got.Origin("LISTEN"))
			}
		})
	}
}

func TestLoad_Ages(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]time.Duration{
		"": 0, "CONN_MAX_AGE: 0": 0, "CONN_MAX_AGE: 60": time.Minute, "CONN_MAX_AGE: 90s": 90 * time.Second,
		"CONN_MAX_AGE: 5m": 5 * time.Minute, "CONN_MAX_AGE: 1h30m": 90 * time.Minute, "CONN_MAX_AGE: 0.5": 500 * time.Millisecond,
		`CONN_MAX_AGE: "60"`: time.Minute, "CONN_MAX_AGE: null": db.Forever, "CONN_MAX_AGE: ~": db.Forever,
		"CONN_MAX_AGE:": db.Forever, "conn_max_age: Null": db.Forever,
	} {
		t.Run(written, func(t *testing.T) {
			t.Parallel()
			s := mustLoad(t, "DATABASES: \n  default: \n    ENGINE: sqlite\n    "+written+"\n")
			equal(t, "the age", s.Databases["default"].ConnMaxAge, want)
		})
	}
	s := mustLoad(t, "DATABASES: {default: {ENGINE: sqlite, CONN_MAX_IDLE: null}}")
	equal(t, "CONN_MAX_IDLE: null", s.Databases["default"].ConnMaxIdle, db.Forever)
}

func TestLoad_Sizes(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]int64{
		"0": 32 << 20, "1000": 1000, "10MB": 10_000_000, "32MiB": 32 << 20, "1 kB": 1000, "2kib": 2048, "1GB": 1e9, "null": app.NoLimit, "7B": 7,
	} {
		t.Run(written, func(t *testing.T) {
			t.Parallel()
			equal(t, "MAX_BODY", mustLoad(t, "MAX_BODY: "+written+"\n").MaxBody, want)
		})
	}
}

func TestLoad_Words(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]bool{
		"true": true, "yes": true, "on": true, "1": true, "True": true, "false": false, "no": false, "OFF": false, "0": false, `"false"`: false,
	} {
		t.Run(written, func(t *testing.T) {
			t.Parallel()
			equal(t, "DEBUG", mustLoad(t, "DEBUG: "+written+"\n").Debug, want)
			equal(t, "APPEND_SLASH turned round", mustLoad(t, "APPEND_SLASH: "+written+"\n").NoAppendSlash, !want)
		})
	}
	for written, want := range map[string]slog.Level{"info": slog.LevelInfo, "WARNING": slog.LevelWarn, "warn": slog.LevelWarn, "error": slog.LevelError} {
		equal(t, "LOG_LEVEL", mustLoad(t, "LOG_LEVEL: "+written+"\n").LogLevel, want)
	}
}

func TestLoad_KeysInWhateverCase(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, "debug: true\nDatabases:\n  Default:\n    engine: sqlite\n    Conn_Max_Age: 5\n")
	equal(t, "debug", s.Debug, true)
	equal(t, "the age of the alias Default", s.Databases["default"].ConnMaxAge, 5*time.Second)
	equal(t, "its origin", s.Origin("databases.DEFAULT.conn_max_age"), "settings.yaml:5")
}

func TestLoad_AnchorsAndMergeKeys(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, `
DATABASES:
  default: &primary
    ENGINE: postgres
    NAME: blog
    HOST: &host one.example.com
    PASSWORD: hunter2
  replica:
    <<: *primary
    HOST: two.example.com
  copy:
    <<: [{NAME: copy}, *primary]
    OPTIONS: {fallback: *host}
`)
	replica, copied := s.Databases["replica"], s.Databases["copy"]
	equal(t, "what replica merges in", replica.Name, "blog")
	equal(t, "what replica says itself", replica.Host, "two.example.com")
	equal(t, "the nearer of two", copied.Name, "copy")
	equal(t, "the farther of two", string(copied.Password), "hunter2")
	equal(t, "an alias for one value", copied.Options["fallback"], "one.example.com")
	equal(t, "the origin of what was merged in", s.Origin("DATABASES.replica.NAME"), "settings.yaml:5")
}

func TestLoad_LaterFilesOverrideKeyByKey(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"settings.yaml": "DEBUG: true\nALLOWED_HOSTS: [a, b]\nDATABASES:\n  default:\n    ENGINE: postgres\n    NAME: blog\n    CONN_MAX_AGE: 60\n    OPTIONS: {sslmode: require, a: b}\n",
		"local.yaml":    "ALLOWED_HOSTS: [c]\ndatabases:\n  DEFAULT:\n    conn_max_age: null\n    OPTIONS: {SSLMODE: disable}\n  replica: {ENGINE: sqlite}\n",
	})
	s, err := app.LoadIn(dir, []string{"QUINTET_DATABASES__DEFAULT__NAME=tests"}, "settings.yaml", "local.yaml")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "what only the first file says", s.Debug, true)
	equal(t, "a list, which is replaced as a whole", s.AllowedHosts, []string{"c"})
	equal(t, "null over a number", s.Databases["default"].ConnMaxAge, db.Forever)
	equal(t, "options, merged by key", s.Databases["default"].Options, map[string]string{"sslmode": "disable", "a": "b"})
	equal(t, "an alias of the second file", s.Databases["replica"].Engine, "sqlite")
	equal(t, "the environment over both", s.Databases["default"].Name, "tests")

	for key, want := range map[string]string{
		"DEBUG":                           "settings.yaml:1",
		"ALLOWED_HOSTS":                   "local.yaml:1",
		"DATABASES.default.CONN_MAX_AGE":  "local.yaml:4",
		"DATABASES.default.NAME":          "environment QUINTET_DATABASES__DEFAULT__NAME",
		"DATABASES.default.OPTIONS.a":     "settings.yaml:8",
		"DATABASES.default.OPTIONS":       "settings.yaml:8",
		"DATABASES.replica":               "local.yaml:6",
		"DATABASES.default.CONN_MAX_IDLE": "default",
	} {
		equal(t, "the origin of "+key, s.Origin(key), want)
	}
}

func TestLoad_RelativeNamesAreMeantFromTheFileThatSaysThem(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"etc/settings.yaml": `
DATABASES:
  default: {ENGINE: SQLite, NAME: data/site.db}
  memory: {ENGINE: sqlite, NAME: ":memory:"}
  address: {ENGINE: sqlite, NAME: "file:x.db?mode=ro"}
  absolute: {ENGINE: sqlite, NAME: /var/lib/x.db}
  postgres: {ENGINE: postgres, NAME: blog}
  nameless: {ENGINE: sqlite}
  later: {NAME: later.db}
`,
		"local.yaml": "DATABASES: {later: {ENGINE: sqlite}}\n",
	})
	s, err := app.LoadIn(dir, []string{"QUINTET_DATABASES__ENV__ENGINE=sqlite", "QUINTET_DATABASES__ENV__NAME=env.db"}, "etc/settings.yaml", "local.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for alias, want := range map[string]string{
		"default": filepath.Join(dir, "etc/data/site.db"), "memory": ":memory:", "address": "file:x.db?mode=ro",
		"absolute": "/var/lib/x.db", "postgres": "blog", "nameless": "", "later": filepath.Join(dir, "etc/later.db"),
		"env": "env.db", // from the working directory, as any path a shell passes
	} {
		equal(t, "NAME of "+alias, s.Databases[alias].Name, want)
	}
}

func TestLoad_LooksUpwardToTheModule(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"settings.yaml":                "DEBUG: yes\n",
		"blog/go.mod":                  "module blog\n",
		"blog/settings.yaml":           "LISTEN: :1\n",
		"blog/polls/views/x.go":        "",
		"blog/polls/settings.yaml":     "LISTEN: :2\n",
		"blog/inner/go.mod":            "module inner\n",
		"loose/deep/settings.yaml.bak": "",
	})
	load := func(from string, paths ...string) (app.Settings, error) {
		return app.LoadIn(filepath.Join(dir, from), nil, paths...)
	}

	s, err := load("blog/polls/views")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the nearest one", s.Listen, ":2")
	equal(t, "as seen from the working directory", s.Origin("LISTEN"), "../settings.yaml:1")
	if _, err := load("blog/inner"); err == nil {
		t.Error("went beyond the folder with go.mod")
	}
	if _, err := load("loose/deep"); err == nil {
		t.Error("went upward without any module")
	}
	if _, err := load("blog/polls", filepath.Join(dir, "settings.yaml")); err != nil {
		t.Errorf("an absolute path: %v", err)
	}
}

func TestLoad_SettingsVariableReplacesTheFirstPath(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"etc/blog.yaml": "LISTEN: :1\n",
		"local.yaml":    "DEBUG: true\n",
	})
	for _, named := range []string{"etc/blog.yaml", filepath.Join(dir, "etc/blog.yaml")} {
		s, err := app.LoadIn(dir, []string{"QUINTET_SETTINGS=" + named}, "settings.yaml", "local.yaml")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "LISTEN", s.Origin("LISTEN"), named+":1")
		equal(t, "DEBUG of the second path", s.Origin("DEBUG"), "local.yaml:1")
	}
}

func TestLoad_ReadsTheProcess(t *testing.T) { // not parallel: it has one working directory and one environment
	t.Chdir(folder(t, map[string]string{"settings.yaml": "LISTEN: :1\nDEBUG: true\n"}))
	t.Setenv("QUINTET_LISTEN", ":2")
	s, err := app.Load()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "LISTEN", s.Listen, ":2")
	equal(t, "DEBUG", s.Debug, true)
}

func TestLoad_TwoSitesInOneProcessDoNotMeet(t *testing.T) {
	t.Parallel()
	one := mustLoad(t, "LISTEN: :1\nDATABASES: {default: {ENGINE: sqlite, OPTIONS: {a: b}}}\n")
	two := mustLoad(t, "DATABASES: {default: {ENGINE: sqlite}}\n")
	equal(t, "LISTEN of the second", two.Listen, "127.0.0.1:8000")
	equal(t, "its options", len(two.Databases["default"].Options), 0)
	changed := one.WithDefaults()
	changed.Databases["other"] = db.Settings{}
	equal(t, "the aliases of the first", len(one.Databases), 1)
}

func TestKeys_AreTheFieldsInUpperCase(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]string{
		"Debug": "DEBUG", "SecretKey": "SECRET_KEY", "StaticURL": "STATIC_URL", "CSRFTrustedOrigins": "CSRF_TRUSTED_ORIGINS",
		"SecureHSTSSeconds": "SECURE_HSTS_SECONDS", "XFrameOptions": "X_FRAME_OPTIONS", "ConnMaxAge": "CONN_MAX_AGE",
	} {
		equal(t, "the key of "+field, app.UpperSnake(field), want)
	}
	site, database := app.Keys()
	for _, key := range []string{"DEBUG", "APPEND_SLASH", "DATABASES", "MAX_BODY"} {
		if !slices.Contains(site, key) {
			t.Errorf("%s is not among %v", key, site)
		}
	}
	if !slices.Contains(database, "CONN_HEALTH_CHECKS") {
		t.Errorf("CONN_HEALTH_CHECKS is not among %v", database)
	}
}

// A warning is switched off by null, and by 0, which in a file cannot mean "at once" nor
// the default: that is what leaving it out means.
func TestLoad_AWarningIsSwitchedOff(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"null": db.Forever, "0": db.Forever, "0s": db.Forever, "1ms": time.Millisecond, "2": 2 * time.Second} {
		dir := t.TempDir()
		yaml := "DATABASES:\n  default:\n    ENGINE: sqlite\n    NAME: a.db\n    HOLD_IDLE_WARN: " + text + "\n    SLOW_STATEMENT: " + text + "\n"
		if err := os.WriteFile(filepath.Join(dir, "settings.yaml"), []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		settings, err := app.LoadIn(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "HOLD_IDLE_WARN: "+text, settings.Databases["default"].HoldIdleWarn, want)
		equal(t, "SLOW_STATEMENT: "+text, settings.Databases["default"].SlowStatement, want)
	}
	settings, err := app.LoadIn(t.TempDir(), []string{"QUINTET_SETTINGS=/dev/null", "QUINTET_DATABASES__DEFAULT__ENGINE=sqlite", "QUINTET_DATABASES__DEFAULT__SLOW_STATEMENT=250ms"})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "by a variable", settings.Databases["default"].SlowStatement, 250*time.Millisecond)
	equal(t, "left out", settings.Databases["default"].HoldIdleWarn, time.Second)
}
