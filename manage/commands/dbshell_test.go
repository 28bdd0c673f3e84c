package commands_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/manage/commands"
)

// onDatabase is a site with these settings, and programs in a PATH of its own: each
// a shell script.
func onDatabase(t *testing.T, database db.Settings, programs map[string]string) commands.Env {
	t.Helper()
	path := t.TempDir()
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(path, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	env := polls(t, func(s *app.Settings, _ *app.Options) { s.Databases["other"] = database })
	env.Getenv = func(key string) string {
		if key == "PATH" {
			return path
		}
		return ""
	}
	return env
}

func postgresSettings() db.Settings {
	return db.Settings{
		Engine: "postgres", Name: "polls", User: "ada", Password: "her secret", Host: "db.example", Port: 5433,
		Options: map[string]string{"sslmode": "require", "application_name": "polls"},
	}
}

const tell = `printf '%s\n' "$@"; env | grep '^PG' | sort`

// TestPostgreSqlDbshellCommand_Basic is Django's PostgreSqlDbshellCommandTestCase
// test_basic, test_ssl_certificate and test_parameters: the password and what
// concerns TLS are in the environment, and not in the arguments.
func TestPostgreSqlDbshellCommand_Basic(t *testing.T) {
	for _, variable := range os.Environ() {
		if name, value, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "PG") {
			t.Setenv(name, value) // puts it back
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := run(t, onDatabase(t, postgresSettings(), map[string]string{"psql": tell}), "dbshell", "--database=other", "--", "-c", "SELECT 1")
	want := "-U\nada\n-h\ndb.example\n-p\n5433\n-d\npolls\n-c\nSELECT 1\nPGAPPNAME=polls\nPGPASSWORD=her secret\nPGSSLMODE=require\n"
	if r.status != 0 || r.out != want {
		t.Errorf("dbshell: %+v", r)
	}
}

// TestPostgreSqlDbshellCommand_CrashPasswordDoesNotLeak is Django's
// test_crash_password_does_not_leak.
func TestPostgreSqlDbshellCommand_CrashPasswordDoesNotLeak(t *testing.T) {
	t.Parallel()
	r := run(t, onDatabase(t, postgresSettings(), map[string]string{"psql": "echo no server >&2; exit 2"}), "dbshell", "--database=other", "--traceback")
	want := "no server\nerror: psql ended with the status 2\nhint: its own words are above\n"
	if r.status != 1 || !strings.HasPrefix(r.errors, want) || strings.Contains(r.errors, "her secret") {
		t.Errorf("dbshell: %+v", r)
	}
}

func TestDbshellWithoutAClient(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"dbshell":                  "error: sqlite3 is not installed, or not in PATH\nhint: install it: apt-get install sqlite3\n",
		"dbshell --database other": "error: psql is not installed, or not in PATH\nhint: install it: apt-get install postgresql-client\n",
	} {
		if r := run(t, onDatabase(t, postgresSettings(), nil), strings.Fields(args)...); r.status != 1 || r.errors != want {
			t.Errorf("%s: %+v", args, r)
		}
	}
	r := run(t, onDatabase(t, db.Settings{Engine: "sqlite", Name: ":memory:"}, nil), "dbshell", "--database=other")
	if want := "error: the database \"other\" is in memory: no other program can see it\nhint: name a file in DATABASES.other.NAME\n"; r.status != 1 || r.errors != want {
		t.Errorf("in memory: %+v", r)
	}
}

// TestDbshellIsTheRealThing types a query into the real clients.
func TestDbshellIsTheRealThing(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			client := map[string]string{"sqlite": "sqlite3", "postgres": "psql"}[engine]
			if _, err := exec.LookPath(client); err != nil {
				t.Skipf("%s is not installed", client)
			}
			database := dbtest.Database(t, engine)
			env := polls(t, func(s *app.Settings, _ *app.Options) { s.Databases["default"] = database })
			var out, errs bytes.Buffer
			env.Args, env.Stdin, env.Stdout, env.Stderr = []string{"dbshell"}, strings.NewReader("SELECT 6 * 7;\n"), &out, &errs
			if status := commands.Run(t.Context(), env); status != 0 || !strings.Contains(out.String(), "42") {
				t.Errorf("it ends with %d and says\n%s%s", status, out.String(), errs.String())
			}
		})
	}
}
