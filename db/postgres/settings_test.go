package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres"
)

// refused opens settings that must not open, and returns the error for a key.
func refused(t *testing.T, s db.Settings, key string) *db.SettingsError {
	t.Helper()
	_, err := postgres.Engine{}.Open("replica", s)
	if err == nil {
		t.Fatalf("%s: opened", key)
	}
	for _, one := range flatten(err) {
		if e, ok := errors.AsType[*db.SettingsError](one); ok && e.Key == key {
			if e.Alias != "replica" || e.Problem == "" {
				t.Errorf("%s: %+v", key, e)
			}
			return e
		}
	}
	t.Fatalf("%s: got %v", key, err)
	return nil
}

func flatten(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// Django: backends/postgresql/tests.py, test_database_name_empty.
func TestSettings_DatabaseNameEmpty(t *testing.T) {
	t.Parallel()
	if e := refused(t, db.Settings{}, "NAME"); !strings.Contains(e.Hint, "service") {
		t.Errorf("hint %q", e.Hint)
	}
}

// Django: backends/postgresql/tests.py, test_database_name_too_long.
func TestSettings_DatabaseNameTooLong(t *testing.T) {
	t.Parallel()
	e := refused(t, db.Settings{Name: strings.Repeat("x", 64)}, "NAME")
	if !strings.Contains(e.Problem, "63") {
		t.Errorf("problem %q", e.Problem)
	}
	open(t, db.Settings{Name: strings.Repeat("x", 63)})
}

// pgx would take what is not there for the server on this machine.
func TestSettings_AListOfHostsHasNoHoles(t *testing.T) {
	t.Parallel()
	for _, host := range []string{",", "a,", ",a", "a,,b"} {
		if e := refused(t, db.Settings{Name: "x", Host: host}, "HOST"); !strings.Contains(e.Problem, host) {
			t.Errorf("%q: %v", host, e)
		}
	}
	open(t, db.Settings{Name: "x", Host: "a,b"})
}

// Django: backends/postgresql/tests.py, test_service_name: a service is enough, and it
// brings its own database.
func TestSettings_ServiceName(t *testing.T) {
	t.Parallel()
	srv := running(t)
	file := filepath.Join(t.TempDir(), "services")
	content := fmt.Sprintf("[mine]\nhost=%s\nport=%d\nuser=%s\ndbname=template1\n", srv.Host, srv.Port, srv.User)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	options := map[string]string{"service": "mine", "servicefile": file}
	c := connect(t, open(t, db.Settings{Options: options}))
	if got := text(t, c, "SELECT current_database()"); got != "template1" {
		t.Errorf("the service's database: got %q", got)
	}
	// what the settings say wins over the service
	c = connect(t, open(t, db.Settings{Name: "postgres", Options: options}))
	if got := text(t, c, "SELECT current_database()"); got != "postgres" {
		t.Errorf("NAME: got %q", got)
	}
	e := refused(t, db.Settings{Options: map[string]string{"service": "nobody", "servicefile": file}}, "OPTIONS")
	if !strings.Contains(e.Problem, "nobody") {
		t.Errorf("problem %q", e.Problem)
	}
}

func TestSettings_EveryMistakeIsReportedAtOnceAndNoneShowsASecret(t *testing.T) {
	t.Parallel()
	s := db.Settings{
		Password: "s3cret\x00",
		Options: map[string]string{
			"connect_timeout": "s3cret", "exec_mode": "fast", "keepalives_idle": "soon", "Search_Path": "x",
			"pool": "s3cret", "client_encoding": "latin1", "standard_conforming_strings": "off", "sslcrl": "s3cret",
			"tcp_user_timeout": "-1", "keepalives": "yes", "a..b": "s3cret", "options": "s3cret\x00", "": "s3cret",
		},
	}
	_, err := postgres.Engine{}.Open("default", s)
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		"NAME: is missing", "PASSWORD: has a NUL byte", "use CONNECT_TIMEOUT", `exec_mode: "fast" is unknown; say exec`,
		`"soon" is no number`, `"Search_Path" is no name`, "use MAX_CONNECTIONS", `"latin1" cannot carry`, "quoting unsafe",
		"libpq has it", `"-1" is no number`, `"yes" is unknown; say 1 or 0`, `"a..b" is no name`, "OPTIONS.options: has a NUL byte",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s", want)
		}
	}
	if got, want := len(flatten(err)), 2+len(s.Options); got != want {
		t.Errorf("%d mistakes reported, %d made:\n%v", got, want, err)
	}
}

func TestSettings_WhatPgxRefusesDoesNotShowTheKeyFilesPassword(t *testing.T) {
	t.Parallel()
	for _, options := range []map[string]string{
		{"sslmode": "perhaps"},
		{"sslrootcert": "/none"},
		{"target_session_attrs": "fast"},
		{"channel_binding": "perhaps"},
		{"statement_cache_capacity": "many"},
	} {
		options["sslpassword"] = "s3cret 'quoted"
		e := refused(t, db.Settings{Name: "x", Host: "h", Options: options}, "OPTIONS")
		if text := e.Error(); strings.Contains(text, "s3cret") || strings.Contains(text, "quoted") || strings.Contains(text, "cannot parse `") {
			t.Errorf("%v: %s", options, text)
		}
	}
}

func TestSettings_EachRefusedOptionSaysWhatToUse(t *testing.T) {
	t.Parallel()
	for key, hint := range map[string]string{
		"connect_timeout": "CONNECT_TIMEOUT", "host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD",
		"dbname": "NAME", "database": "NAME", "isolation_level": "default_transaction_isolation", "pool": "MAX_CONNECTIONS",
		"default_query_exec_mode": "exec_mode", "server_side_binding": "exec_mode", "gssencmode": "pgx",
	} {
		e := refused(t, db.Settings{Name: "x", Options: map[string]string{key: "1"}}, "OPTIONS."+key)
		if !strings.Contains(e.Hint, hint) {
			t.Errorf("%s: hint %q", key, e.Hint)
		}
	}
}

func TestSession_HasTheDefaultsAndTheOptions(t *testing.T) {
	t.Parallel()
	s := settings(t, running(t))
	delete(s.Options, "application_name")
	plain := connect(t, open(t, s))
	for parameter, want := range map[string]string{
		"TimeZone": "UTC", "standard_conforming_strings": "on", "application_name": "quintet", "client_encoding": "UTF8",
	} {
		if got := text(t, plain, "SHOW "+parameter); got != want {
			t.Errorf("%s: got %q, want %q", parameter, got, want)
		}
	}

	s.Options = map[string]string{
		"application_name": "billing", "search_path": `"$user", billing`, "statement_timeout": "7s", "timezone": "Europe/Vienna",
		"app.tenant": `o'brien \ "x"`, "options": "-c work_mem=5MB", "default_transaction_isolation": "serializable",
		"client_encoding": "UTF8", "standard_conforming_strings": "on",
	}
	tuned := connect(t, open(t, s))
	for parameter, want := range map[string]string{
		"application_name": "billing", "search_path": `"$user", billing`, "statement_timeout": "7s", "TimeZone": "Europe/Vienna",
		"app.tenant": `o'brien \ "x"`, "work_mem": "5MB", "transaction_isolation": "serializable",
	} {
		if got := text(t, tuned, "SHOW "+parameter); got != want {
			t.Errorf("%s: got %q, want %q", parameter, got, want)
		}
	}
}

// Django: backends/postgresql/tests.py, test_connect_role.
func TestSession_AssumesTheRoleOfTheOptionsAlsoAfterAReset(t *testing.T) {
	t.Parallel()
	srv := running(t)
	if err := srv.Exec(t.Context(), "postgres", "CREATE ROLE clerk"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Exec(context.Background(), "postgres", "DROP ROLE clerk"); err != nil {
			t.Error(err)
		}
	})
	s := settings(t, srv)
	s.Options["assume_role"] = "clerk"
	d := open(t, s)
	c := connect(t, d)
	exec(t, c, "SET ROLE postgres")
	if err := d.Reset(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := text(t, c, "SELECT current_user"); got != "clerk" {
		t.Errorf("got %q", got)
	}
}

func TestSettings_WinOverTheEnvironment(t *testing.T) {
	srv := running(t)
	for key, value := range map[string]string{
		"PGHOST": "no.such.host.invalid", "PGPORT": "1", "PGUSER": "nobody", "PGDATABASE": "none", "PGCONNECT_TIMEOUT": "nonsense",
		"PGTZ": "Asia/Tokyo", "PGAPPNAME": "environment", "PGPASSWORD": "wrong", "PGSSLMODE": "disable",
	} {
		t.Setenv(key, value)
	}
	s := settings(t, srv)
	c := connect(t, open(t, s))
	if got := text(t, c, "SELECT current_user || current_database() || current_setting('timezone') || current_setting('application_name')"); got != "postgrespostgresUTC"+s.Options["application_name"] {
		t.Errorf("got %q", got)
	}
	// and the environment fills what they leave empty
	delete(s.Options, "application_name")
	if got := text(t, connect(t, open(t, s)), "SHOW application_name"); got != "environment" {
		t.Errorf("got %q", got)
	}
	t.Setenv("PGHOST", srv.Host)
	t.Setenv("PGPORT", fmt.Sprint(srv.Port))
	t.Setenv("PGUSER", srv.User)
	s.Host, s.Port, s.User = "", 0, ""
	if got := text(t, connect(t, open(t, s)), "SELECT current_user"); got != "postgres" {
		t.Errorf("got %q", got)
	}
}

func TestPassword_StaysOutOfErrors(t *testing.T) {
	t.Parallel()
	srv := running(t)
	for _, host := range []string{srv.Host, "127.0.0.1:1", "/none"} {
		s := settings(t, srv)
		s.Host, s.Name, s.Password = host, "no such database", "s3cret"
		_, err := open(t, s).Connect(t.Context())
		if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.HasPrefix(err.Error(), "postgres: ") {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// Whatever the values are, they arrive as they are: no value reaches into another.
func FuzzSettings(f *testing.F) {
	f.Add("name", "user", "value")
	f.Add("a b' host=evil", `\`, `'`)
	f.Add(`x\' password='y`, "postgres://u:p@h/d", "a=b c=d")
	srv, missingErr := shared, missing
	f.Fuzz(func(t *testing.T, name, user, value string) {
		if missingErr != nil {
			t.Skip(missingErr)
		}
		d, err := postgres.Engine{}.Open("default", db.Settings{
			Name: name, User: user, Host: srv.Host, Port: srv.Port,
			Options: map[string]string{"app.fuzz": value, "sslkey": value, "sslcertmode": "disable", "sslmode": "disable"},
		})
		bad := name == "" || len(name) > 63 || strings.ContainsRune(name+user+value, 0)
		if (err != nil) != bad {
			t.Fatalf("Open(%q, %q, %q): %v", name, user, value, err)
		}
		if bad || !utf8.ValidString(name+user+value) {
			return
		}
		// The server repeats which user or database it does not have.
		c, err := d.Connect(t.Context())
		if err == nil {
			closed(t, d, c)
			return
		}
		if user == "" {
			return // the name of whoever runs this
		}
		asked := user
		if user == srv.User {
			asked = name
		}
		if len(asked) <= 63 && !strings.Contains(err.Error(), asked) {
			t.Fatalf("Connect(%q, %q): %v", name, user, err)
		}
	})
}
