package app_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
)

// Each mistake says where it is, which key, which value, what is wrong, and what
// to do now.
func TestLoad_Mistakes(t *testing.T) {
	t.Parallel()
	const aliases = "DATABASES:\n  default:\n    ENGINE: sqlite\n"
	for _, test := range []struct {
		name    string
		yaml    string // settings.yaml
		local   string // local.yaml, when it is not empty
		environ string // one variable a line
		want    string
	}{
		// Keys.
		{
			name: "an unknown key", yaml: "DEBUG: true\nLISTN: :80\n",
			want: "settings.yaml:2: LISTN: is unknown; did you mean LISTEN?",
		},
		{
			name: "an unknown key of an alias", yaml: aliases + "    NAM: x\n",
			want: "settings.yaml:4: DATABASES.default.NAM: is unknown; did you mean NAME?",
		},
		{
			name: "an unknown key hides its value and is not reported as missing, too", yaml: "DATABASES:\n  default:\n    ENGIN: sqlite\n    PASWORD: hunter2\n",
			want: "settings.yaml:3: DATABASES.default.ENGIN: is unknown; did you mean ENGINE?\n" +
				"settings.yaml:4: DATABASES.default.PASWORD: is unknown; did you mean PASSWORD?",
		},
		{
			name: "a key that is near no other", yaml: aliases + "    BANANA: x\n",
			want: "settings.yaml:4: DATABASES.default.BANANA: is unknown; known here are ENGINE, NAME, USER, PASSWORD, HOST, PORT, OPTIONS, " +
				"CONN_MAX_AGE, CONN_HEALTH_CHECKS, ATOMIC_REQUESTS, CONN_LEASE, MAX_CONNECTIONS, MAX_WAITING, ACQUIRE_TIMEOUT, CONNECT_TIMEOUT, CONN_MAX_IDLE, CONN_RESET, HOLD_IDLE_WARN, SLOW_STATEMENT, HOLD_LIMIT, POOLER",
		},
		{
			name: "an unexported field is no key", yaml: "origins: 1\n",
			want: "settings.yaml:1: ORIGINS: is unknown; known here are DEBUG, SECRET_KEY,…",
		},
		{
			name: "Django's keys that are Go here", yaml: "INSTALLED_APPS: []\nMIDDLEWARE: []\nROOT_URLCONF: x\nDATA_UPLOAD_MAX_MEMORY_SIZE: 1\nUSE_TZ: true\n",
			want: "settings.yaml:1: INSTALLED_APPS: is unknown; apps are Go: list them in app.Options.Apps\n" +
				"settings.yaml:2: MIDDLEWARE: is unknown; middleware is Go: list it in app.Options.Middleware\n" +
				"settings.yaml:3: ROOT_URLCONF: is unknown; routes are Go: give them to app.Options.Routes\n" +
				"settings.yaml:4: DATA_UPLOAD_MAX_MEMORY_SIZE: is unknown; say MAX_BODY\n" +
				"settings.yaml:5: USE_TZ: is unknown; databases speak UTC",
		},
		{
			name: "a key one floor too high", yaml: "CONN_MAX_AGE: 60\n",
			want: "settings.yaml:1: CONN_MAX_AGE: is unknown; it belongs to an alias: DATABASES.default.CONN_MAX_AGE",
		},
		{
			name: "an alias left out", yaml: "DATABASES:\n  ENGINE: sqlite\n",
			want: `settings.yaml:2: DATABASES.engine: "sqlite": stands among the aliases; write it below one: DATABASES.default.ENGINE`,
		},
		{
			name: "a key with viper's delimiter", yaml: "databases::default: 1\n",
			want: "settings.yaml:1: has a key that is no name; write it in letters",
		},
		{
			name: "a key that is a list", yaml: "? [a]\n: b\n",
			want: "settings.yaml:1: has a key that is no name; write it in letters",
		},
		{
			name: "a duplicate key", yaml: "DEBUG: true\n\nDEBUG: false\n",
			want: "settings.yaml:3: DEBUG: is given twice, first in settings.yaml:1; keep one of them",
		},
		{
			name: "a duplicate key in another case", yaml: "DEBUG: true\ndebug: false\n",
			want: `settings.yaml:2: DEBUG: "debug": is DEBUG of settings.yaml:1 in another spelling; keep one of them: case does not count`,
		},
		{
			name: "two spellings of one alias", yaml: aliases + "  DEFAULT:\n    NAME: x\n",
			want: `settings.yaml:4: DATABASES.default: "DEFAULT": is default of settings.yaml:2 in another spelling; keep one of them: case does not count`,
		},
		{
			name: "a duplicate option", yaml: aliases + "    OPTIONS:\n      sslmode: a\n      SslMode: b\n",
			want: `settings.yaml:6: DATABASES.default.OPTIONS.sslmode: "SslMode": is sslmode of settings.yaml:5 in another spelling; keep one of them: case does not count`,
		},

		// Aliases.
		{
			name: "no default alias", yaml: "DATABASES:\n  primary: {ENGINE: sqlite}\n  replica: {ENGINE: sqlite}\n",
			want: "settings.yaml:1: DATABASES.default: is missing; add it, or rename one of primary, replica",
		},
		{
			name: "an alias without anything", yaml: "DATABASES:\n  default:\n",
			want: "settings.yaml:2: DATABASES.default.ENGINE: is missing; say sqlite or postgres",
		},
		{
			name: "an alias with a dot", yaml: aliases + "  a.b: {ENGINE: sqlite}\n",
			want: "settings.yaml:4: DATABASES.a.b: is no alias; use lower-case letters, digits, - and single _ between them",
		},
		{
			name: "an alias that no variable could name", yaml: aliases + "  a__b: {ENGINE: sqlite}\n",
			want: "settings.yaml:4: DATABASES.a__b: is no alias; use lower-case letters, digits, - and single _ between them",
		},

		// Shapes.
		{
			name: "a scalar over a map", yaml: aliases, local: "DEBUG: true\nDATABASES: none\n",
			want: `local.yaml:2: DATABASES: "none": is one value, but settings.yaml:1 has keys there; write the aliases below it, default first`,
		},
		{
			name: "a scalar over an alias", yaml: aliases, local: "DATABASES:\n  default: sqlite\n",
			want: `local.yaml:2: DATABASES.default: "sqlite": is one value, but settings.yaml:2 has keys there; write ENGINE and NAME below it`,
		},
		{
			name: "a map over a scalar", yaml: "\nLISTEN: :80\n", local: "LISTEN:\n  PORT: 80\n",
			want: "local.yaml:1: LISTEN: has keys below it, but settings.yaml:2 has one value there; write one value",
		},
		{
			name: "a map over a scalar that was the mistake", yaml: "DATABASES: none\n", local: aliases,
			want: `settings.yaml:1: DATABASES: "none": is one value, but local.yaml:1 has keys there; write the aliases below it, default first`,
		},
		{
			name: "a list in the place of a map", yaml: "DATABASES:\n  - default\n",
			want: "settings.yaml:1: DATABASES: is a list; write the aliases below it, default first",
		},
		{
			name: "null over a map", yaml: aliases, local: "DATABASES:\n",
			want: "local.yaml:1: DATABASES: is empty, but settings.yaml:1 has keys there; leave it out: files are merged key by key",
		},
		{
			name: "an empty map over a map", yaml: aliases + "    OPTIONS: {a: b}\n", local: "DATABASES: {default: {OPTIONS: {}}}\n",
			want: "local.yaml:1: DATABASES.default.OPTIONS: is empty, but settings.yaml:4 has keys there; leave it out: files are merged key by key",
		},
		{
			name: "a map for a list", yaml: "ALLOWED_HOSTS:\n  a: b\n",
			want: "settings.yaml:1: ALLOWED_HOSTS: has keys below it; write a list, [a, b]",
		},
		{
			name: "a map for an option", yaml: aliases + "    OPTIONS:\n      a: {b: c}\n",
			want: "settings.yaml:5: DATABASES.default.OPTIONS.a: has keys below it; write one value",
		},
		{
			name: "a list for a value", yaml: "LISTEN: [a]\n",
			want: `settings.yaml:1: LISTEN: "a": is a list; write one value`,
		},
		{
			name: "a value for a list", yaml: "ALLOWED_HOSTS: example.com\n",
			want: `settings.yaml:1: ALLOWED_HOSTS: "example.com": is not a list; write [example.com]`,
		},
		{
			name: "a list in a list", yaml: "ALLOWED_HOSTS:\n  - a\n  - [b]\n",
			want: "settings.yaml:3: ALLOWED_HOSTS: has an element that is not one value; write each as plain text",
		},
		{
			name: "merging what is no map", yaml: "LISTEN: &a :80\n<<: *a\n",
			want: "settings.yaml:2: <<: merges what is no map; refer to a map with *name",
		},
		{
			name: "a map that merges itself", yaml: "DATABASES:\n  default: &self\n    ENGINE: sqlite\n    <<: *self\n",
			want: "settings.yaml:4: DATABASES.default.<<: merges what is no map; refer to a map with *name",
		},

		// Values.
		{
			name: "no truth", yaml: "DEBUG: maybe\n",
			want: `settings.yaml:1: DEBUG: "maybe": is neither true nor false; say true or false`,
		},
		{
			name: "no number", yaml: aliases + "    PORT: 5432.5\n",
			want: `settings.yaml:4: DATABASES.default.PORT: "5432.5": is not a whole number; write digits`,
		},
		{
			name: "no port", yaml: aliases + "    PORT: 70000\n",
			want: "settings.yaml:4: DATABASES.default.PORT: 70000 is no port; leave it out for the engine's own",
		},
		{
			name: "a negative age", yaml: aliases + "    CONN_MAX_AGE: -5\n",
			want: `settings.yaml:4: DATABASES.default.CONN_MAX_AGE: "-5": is negative; use 0 to close after each request, or null to keep the connection`,
		},
		{
			name: "an age that happens to be Forever", yaml: aliases + "    CONN_MAX_AGE: -1ns\n",
			want: `settings.yaml:4: DATABASES.default.CONN_MAX_AGE: "-1ns": is negative; use 0 to close after each request, or null to keep the connection`,
		},
		{
			name: "a negative idle time", yaml: aliases + "    CONN_MAX_IDLE: -1\n",
			want: `settings.yaml:4: DATABASES.default.CONN_MAX_IDLE: "-1": is negative; use null to keep idle connections`,
		},
		{
			name: "a negative warning", yaml: aliases + "    HOLD_IDLE_WARN: -1\n",
			want: `settings.yaml:4: DATABASES.default.HOLD_IDLE_WARN: "-1": is negative; use null to log nothing`,
		},
		{
			name: "a slowness that is none", yaml: aliases + "    SLOW_STATEMENT: never\n",
			want: `settings.yaml:4: DATABASES.default.SLOW_STATEMENT: "never": is no duration; write seconds as a number, a duration such as 500ms or 5s, or null to log nothing`,
		},
		{
			name: "a slow statement that is misspelt", yaml: aliases + "    SLOW_STATEMENTS: 2s\n",
			want: `settings.yaml:4: DATABASES.default.SLOW_STATEMENTS: is unknown; did you mean SLOW_STATEMENT?`,
		},
		{
			name: "a slow statement one floor too high", yaml: "SLOW_STATEMENT: 2s\n",
			want: `settings.yaml:1: SLOW_STATEMENT: is unknown; it belongs to an alias: DATABASES.default.SLOW_STATEMENT`,
		},
		{
			name: "a negative timeout", yaml: "IDLE_TIMEOUT: -1s\n",
			want: `settings.yaml:1: IDLE_TIMEOUT: "-1s": is negative; leave it out for the default`,
		},
		{
			name: "a word for an age", yaml: aliases + "    CONN_MAX_AGE: forever\n",
			want: `settings.yaml:4: DATABASES.default.CONN_MAX_AGE: "forever": is no duration; write seconds as a number, a duration such as 90s or 5m, or null to keep the connection`,
		},
		{
			name: "an age half with a unit", yaml: aliases + "    CONN_MAX_AGE: 1h30\n",
			want: `settings.yaml:4: DATABASES.default.CONN_MAX_AGE: "1h30": is no duration; write…`,
		},
		{
			name: "null where it means nothing", yaml: "IDLE_TIMEOUT: null\nDEBUG:\nLISTEN: ~\n",
			want: `settings.yaml:1: IDLE_TIMEOUT: "null": is null; leave it out for the default` + "\n" +
				"settings.yaml:2: DEBUG: is null; leave it out for the default\n" +
				`settings.yaml:3: LISTEN: "~": is null; leave it out, or write "" for an empty text`,
		},
		{
			name: "an empty text where it means nothing", yaml: `DEBUG: ""` + "\n",
			want: "settings.yaml:1: DEBUG: is empty; give it a value, or take it away for the default",
		},
		{
			name: "no size", yaml: "MAX_BODY: 10 bananas\n",
			want: `settings.yaml:1: MAX_BODY: "10 bananas": is no size; write bytes as a number, a size such as 10MB or 32MiB, or null for no limit`,
		},
		{
			name: "a negative size", yaml: "MAX_BODY: -1\n",
			want: `settings.yaml:1: MAX_BODY: "-1": is negative; use null for no limit`,
		},
		{
			name: "no network", yaml: "TRUSTED_PROXIES:\n  - 10.0.0.0/8\n  - localhost\n",
			want: `settings.yaml:3: TRUSTED_PROXIES: "localhost": is no network; write an address, a network such as 10.0.0.0/8, or "unix" for unix sockets`,
		},
		{
			name: "no level", yaml: "LOG_LEVEL: loud\n",
			want: `settings.yaml:1: LOG_LEVEL: "loud": is no level; say debug, info, warn or error`,
		},
		{
			name: "no address", yaml: "LISTEN: localhost\n",
			want: `settings.yaml:1: LISTEN: "localhost": is no address; write host:port, such as 127.0.0.1:8000`,
		},
		{
			name: "no host", yaml: "ALLOWED_HOSTS: [a.example, 'https://b.example', '']\n",
			want: `settings.yaml:1: ALLOWED_HOSTS: "https://b.example": is no host; write a name without scheme and port, such as example.com, .example.com, or *` + "\n" +
				"settings.yaml:1: ALLOWED_HOSTS: is no host; write a name without…",
		},
		{
			name: "no origin", yaml: "CSRF_TRUSTED_ORIGINS: [shop.example.com, 'https://*.example.com']\n",
			want: `settings.yaml:1: CSRF_TRUSTED_ORIGINS: "shop.example.com": is no origin; write scheme and host, such as https://shop.example.com` + "\n" +
				`settings.yaml:1: CSRF_TRUSTED_ORIGINS: "https://*.example.com": is no origin; write…`,
		},
		{
			name: "no place for static files", yaml: "STATIC_URL: /static\n",
			want: `settings.yaml:1: STATIC_URL: "/static": is no place for static files; begin and end it with a slash, such as /static/, or write https://static.example.com/`,
		},
		{
			name: "unknown headers", yaml: "X_FRAME_OPTIONS: ALLOW\nSECURE_REFERRER_POLICY: origin, none\n",
			want: `settings.yaml:1: X_FRAME_OPTIONS: "ALLOW": is unknown; say DENY or SAMEORIGIN` + "\n" +
				`settings.yaml:2: SECURE_REFERRER_POLICY: "origin, none": has the unknown policy "none"; say one of no-referrer,…`,
		},
		{
			name: "heartbeats that cannot be", yaml: "STREAM_HEARTBEAT: -1\n",
			want: `settings.yaml:1: STREAM_HEARTBEAT: "-1": is negative; use null to send none`,
		},
		{
			name: "a heartbeat that is no time", yaml: "STREAM_HEARTBEAT: often\n",
			want: `settings.yaml:1: STREAM_HEARTBEAT: "often": is no duration; write seconds as a number, a duration such as 500ms or 15s, or null to send none`,
		},
		{
			name: "negative numbers", yaml: "MAX_STREAMS: -1\n" + aliases + "    MAX_CONNECTIONS: -2\n",
			want: `settings.yaml:1: MAX_STREAMS: "-1": is negative; use 0 for none` + "\n" +
				"settings.yaml:5: DATABASES.default.MAX_CONNECTIONS: -2 is negative; leave it out for the default",
		},
		{
			name: "what db says about an alias", yaml: aliases + "    CONN_LEASE: forever\n",
			want: `settings.yaml:4: DATABASES.default.CONN_LEASE: "forever" is unknown; say request or transaction`,
		},
		{
			name: "a value that is too long to print", yaml: "DEBUG: " + strings.Repeat("é", 100) + "\n",
			want: `settings.yaml:1: DEBUG: "` + strings.Repeat("é", 60) + `...": is neither…`,
		},

		// Files.
		{
			name: "no YAML", yaml: "DATABASES:\n  default:\n    ENGINE: sqlite\n   NAME: x\n",
			want: "settings.yaml:4: is no YAML: did not find expected key; check colons and indentation, and put quotes around values with special characters",
		},
		{
			name: "an unfinished text", yaml: "DEBUG: true\nLISTEN: \":80\n\n\n",
			want: "settings.yaml:2: is no YAML: found unexpected end of stream; check…",
		},
		{
			name: "a tab", yaml: "DATABASES:\n\tdefault:\n",
			want: "settings.yaml:2: is no YAML: found character that cannot start any token; check…",
		},
		{
			name: "two documents", yaml: "DEBUG: true\n---\nDEBUG: false\n",
			want: "settings.yaml:2: a second document begins (---); give Load a second file instead",
		},
		{
			name: "no map", yaml: "- DEBUG\n",
			want: "settings.yaml:1: has no keys; write settings such as DEBUG: true",
		},
		{
			name: "a tag", yaml: "DEBUG: !!binary eA==\n",
			want: "settings.yaml:1: DEBUG: begins with a tag (!); put quotes around it",
		},

		// The environment.
		{
			name: "an unknown variable", environ: "QUINTET_LISTN=:80",
			want: "environment QUINTET_LISTN: LISTN: is unknown; did you mean QUINTET_LISTEN?",
		},
		{
			name: "an unknown variable of an alias", yaml: aliases, environ: "QUINTET_DATABASES__DEFAULT__PORTT=1",
			want: "environment QUINTET_DATABASES__DEFAULT__PORTT: DATABASES.default.PORTT: is unknown; did you mean QUINTET_DATABASES__DEFAULT__PORT?",
		},
		{
			name: "a level too many", yaml: aliases, environ: "QUINTET_DATABASES__DEFAULT__NAME__X=1",
			want: "environment QUINTET_DATABASES__DEFAULT__NAME__X: DATABASES.default.NAME.X: is unknown; DATABASES.default.NAME is one value",
		},
		{
			name: "an empty level", yaml: aliases, environ: "QUINTET_DATABASES____NAME=1",
			want: "environment QUINTET_DATABASES____NAME: DATABASES: has a level without a proper name; write QUINTET_DATABASES__DEFAULT__NAME",
		},
		{
			name: "a wrong value", yaml: aliases, environ: "QUINTET_DATABASES__DEFAULT__PORT=x\nQUINTET_DEBUG=",
			want: "environment QUINTET_DATABASES__DEFAULT__PORT: DATABASES.default.PORT: \"x\": is not a whole number; write digits\n" +
				"environment QUINTET_DEBUG: DEBUG: is empty; give it a value, or take it away for the default",
		},
		{
			name: "two spellings of one variable", environ: "QUINTET_DEBUG=1\nQUINTET_debug=0",
			want: "environment QUINTET_debug: DEBUG: is given by QUINTET_DEBUG, too; unset one of them",
		},
		{
			name: "a variable for a map", yaml: aliases, environ: "QUINTET_DATABASES=none",
			want: `environment QUINTET_DATABASES: DATABASES: "none": is one value, but settings.yaml:1 has keys there; name a key below it: QUINTET_DATABASES__...`,
		},
		{
			name: "a secret and its file", environ: "QUINTET_SECRET_KEY=a\nQUINTET_SECRET_KEY_FILE=settings.yaml", yaml: "DEBUG: true\n",
			want: "environment QUINTET_SECRET_KEY_FILE: SECRET_KEY: is given by QUINTET_SECRET_KEY, too; unset one of them",
		},
		{
			name: "a secret's file that is not there", environ: "QUINTET_SECRET_KEY_FILE=nowhere",
			want: `environment QUINTET_SECRET_KEY_FILE: SECRET_KEY: "nowhere": cannot be read: no such file or directory; write it, or name another one`,
		},
		{
			name: "a secret's file that is a folder", environ: "QUINTET_SECRET_KEY_FILE=.",
			want: `environment QUINTET_SECRET_KEY_FILE: SECRET_KEY: ".": cannot be read: is a directory; name a readable file`,
		},
		{
			name: "a secret's file that is empty", environ: "QUINTET_SECRET_KEY_FILE=empty.txt",
			want: `environment QUINTET_SECRET_KEY_FILE: SECRET_KEY: "empty.txt": the file is empty; write the secret into it, or unset the variable`,
		},
		{
			name: "a file for what is no secret", environ: "QUINTET_LISTEN_FILE=x",
			want: "environment QUINTET_LISTEN_FILE: LISTEN_FILE: is unknown;…",
		},
		{
			name: "a database of another kind", environ: "DATABASE_URL=mysql://u:hunter2@h/n",
			want: `environment DATABASE_URL: DATABASES.default: "[hidden]": is not understood; write postgresql://user:password@host:5432/name, or sqlite:///site.db`,
		},

		// All at once.
		{
			name:    "several mistakes, in the order of their places",
			yaml:    "DEBG: true\nALLOWED_HOSTS: x\nDATABASES:\n  default:\n    ENGINE: sqlite\n    CONN_MAX_AGE: -5\n    PORT: 70000\n",
			local:   "LISTEN: x\nMAX_BODY: y\n",
			environ: "QUINTET_DEBUG=z",
			want: "settings.yaml:1: DEBG: is unknown; did you mean DEBUG?\n" +
				`settings.yaml:2: ALLOWED_HOSTS: "x": is not a list; write [x]` + "\n" +
				`settings.yaml:6: DATABASES.default.CONN_MAX_AGE: "-5": is negative; use 0 to close after each request, or null to keep the connection` + "\n" +
				"settings.yaml:7: DATABASES.default.PORT: 70000 is no port; leave it out for the engine's own\n" +
				`local.yaml:1: LISTEN: "x": is no address; write host:port, such as 127.0.0.1:8000` + "\n" +
				`local.yaml:2: MAX_BODY: "y": is no size; write bytes as a number, a size such as 10MB or 32MiB, or null for no limit` + "\n" +
				`environment QUINTET_DEBUG: DEBUG: "z": is neither true nor false; say true or false`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			files, paths := map[string]string{"settings.yaml": test.yaml, "empty.txt": "\n"}, []string{"settings.yaml"}
			if test.local != "" {
				files["local.yaml"], paths = test.local, append(paths, "local.yaml")
			}
			settings, err := app.LoadIn(folder(t, files), strings.Split(test.environ, "\n"), paths...)
			if err == nil {
				t.Fatal("no error")
			}
			matches(t, err.Error(), test.want)
			if settings.Listen != "" || settings.Databases != nil {
				t.Errorf("there are settings beside the error: %+v", settings)
			}
			for _, mistake := range configErrors(t, err) {
				if mistake.File == "" || mistake.Problem == "" || mistake.Hint == "" {
					t.Errorf("%#v does not say where, what and what now", mistake)
				}
				if strings.HasSuffix(mistake.File, ".yaml") && mistake.Line == 0 {
					t.Errorf("%#v has no line", mistake)
				}
			}
		})
	}
}

// matches compares line by line. A wanted line that ends in … is a beginning.
func matches(t *testing.T, got, want string) {
	t.Helper()
	gots, wants := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i, want := range wants {
		want, beginning := strings.CutSuffix(want, "…")
		switch {
		case i >= len(gots):
			t.Errorf("line %d is missing, want %s", i+1, want)
		case beginning && strings.HasPrefix(gots[i], want):
		case gots[i] != want:
			t.Errorf("line %d\ngot  %s\nwant %s", i+1, gots[i], want)
		}
	}
	if len(gots) > len(wants) {
		t.Errorf("unexpected: %s", strings.Join(gots[len(wants):], "\n"))
	}
}

// configErrors are the joined mistakes; every one must be of that type.
func configErrors(t *testing.T, err error) []*app.ConfigError {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%T is not joined", err)
	}
	var all []*app.ConfigError
	for _, err := range joined.Unwrap() {
		var mistake *app.ConfigError
		if !errors.As(err, &mistake) || mistake.Error() != err.Error() {
			t.Fatalf("%T is no *app.ConfigError: %v", err, err)
		}
		all = append(all, mistake)
	}
	return all
}

func TestLoad_AMistakeHasItsParts(t *testing.T) {
	t.Parallel()
	_, err := loadYAML(t, "DATABASES:\n  default:\n    ENGINE: sqlite\n    CONN_LEASE: maybe\n")
	var mistake *app.ConfigError
	if !errors.As(err, &mistake) {
		t.Fatalf("no *app.ConfigError in %v", err)
	}
	equal(t, "File", mistake.File, "settings.yaml")
	equal(t, "Line", mistake.Line, 4)
	equal(t, "Key", mistake.Key, "DATABASES.default.CONN_LEASE")
	equal(t, "Value", mistake.Value, "maybe")
	equal(t, "Problem", mistake.Problem, `"maybe" is unknown`)
	equal(t, "Hint", mistake.Hint, "say request or transaction")
	var found *db.SettingsError
	if !errors.As(err, &found) || found.Key != "CONN_LEASE" {
		t.Errorf("what package db found is not in the chain of %v", err)
	}
}

// Django's MG-023: a settings file that does not exist is reported.
func TestLoad_AMissingFileTellsWhereItLooked(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"go.mod": "module x\n", "polls/x.go": ""})
	here := filepath.Join(dir, "polls")
	load := func(environ []string, paths ...string) error {
		_, err := app.LoadIn(here, environ, paths...)
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v is no fs.ErrNotExist", err)
		}
		return err
	}

	matches(t, load(nil).Error(), "settings.yaml: not found; looked at "+here+"/settings.yaml, "+dir+"/settings.yaml; write it, or name another one in QUINTET_SETTINGS")
	matches(t, load(nil, "a.yaml", "/nowhere/b.yaml").Error(),
		"a.yaml: not found; looked at "+here+"/a.yaml, "+dir+"/a.yaml; write it, or name another one in QUINTET_SETTINGS\n"+
			"/nowhere/b.yaml: not found; looked at /nowhere/b.yaml; write it, or leave it out of Load")
	matches(t, load([]string{"QUINTET_SETTINGS=x.yaml"}).Error(), "x.yaml: not found; looked at "+here+"/x.yaml; QUINTET_SETTINGS names it")
}

func TestLoad_AnUnreadableFile(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"settings.yaml/x": "", "locked.yaml": "DEBUG: true\n"})

	// With it, nothing is known to be missing; what is wrong elsewhere is said all the same.
	_, err := app.LoadIn(dir, []string{"QUINTET_LISTN=x", "QUINTET_DATABASES__REPLICA__NAME=x"})
	matches(t, err.Error(), "settings.yaml: cannot be read: is a directory; name a readable file\n"+
		"environment QUINTET_LISTN: LISTN: is unknown; did you mean QUINTET_LISTEN?")

	if os.Geteuid() == 0 {
		t.Skip("root may read every file")
	}
	if err := os.Chmod(filepath.Join(dir, "locked.yaml"), 0); err != nil {
		t.Fatal(err)
	}
	_, err = app.LoadIn(dir, nil, "locked.yaml")
	matches(t, err.Error(), "locked.yaml: cannot be read: permission denied; let the user that runs the site read it")
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v is no fs.ErrPermission", err)
	}
}
