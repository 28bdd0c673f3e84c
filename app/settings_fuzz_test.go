package app_test

import (
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
)

func FuzzParseDuration(f *testing.F) {
	for _, text := range []string{"60", "90s", "5m", "1h30m", "-5", "0", "0.5", ".", "", "1e3", "null", "1h30", "9223372036", "9223372037", "0.0000000001", "+1", "１"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := app.ParseDuration(text)
		if err != nil {
			if d != 0 {
				t.Errorf("%q: %s beside the error %v", text, d, err)
			}
			return
		}
		if again, err := app.ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("%q is %s, which is %s, %v", text, d, again, err)
		}
		if d == 0 && strings.ContainsAny(text, "123456789") {
			t.Errorf("%q is nothing", text)
		}
		if strings.Trim(text, "0123456789") == "" && d%time.Second != 0 {
			t.Errorf("%q, a bare number, is %s", text, d)
		}
	})
}

func FuzzParseSize(f *testing.F) {
	for _, text := range []string{"0", "1000", "10MB", "32MiB", "1 kB", "-1", "", "MB", "1 M", "9223372036854775807", "8388608TiB", "8388607TiB", "1.5MB", "1Kb b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := app.ParseSize(text)
		if err != nil {
			if n != 0 {
				t.Errorf("%q: %d beside the error %v", text, n, err)
			}
			return
		}
		if negative := strings.HasPrefix(text, "-"); n < 0 != negative && n != 0 {
			t.Errorf("%q is %d", text, n)
		}
	})
}

func FuzzSplitVariable(f *testing.F) {
	for _, name := range []string{
		"QUINTET_DEBUG", "QUINTET_DATABASES__DEFAULT__PASSWORD", "QUINTET_DATABASES__REPLICA_1__HOST", "QUINTET_", "QUINTET___",
		"QUINTET_SETTINGS", "QUINTET_TEST_POSTGRES", "QUINTET_REQUIRE", "PATH", "", "QUINTET_A___B",
	} {
		f.Add(name, "1")
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, name, value string) {
		path, ok := app.SplitVariable(name)
		if ok && "QUINTET_"+strings.Join(path, "__") != name {
			t.Errorf("%q became %q", name, path)
		}
		if !ok && path != nil {
			t.Errorf("%q is no setting, but %q", name, path)
		}
		if ok && !strings.Contains(name, "=") {
			// Whatever the variable says, it is read or refused in words.
			_, err := app.LoadIn(dir, []string{"QUINTET_SETTINGS=/dev/null", name + "=" + value})
			if err != nil && !strings.Contains(err.Error(), "environment "+name) {
				t.Errorf("%q=%q: %v", name, value, err)
			}
		}
	})
}

func FuzzLoad(f *testing.F) {
	for _, yaml := range []string{
		"", "DEBUG: true\n", "DATABASES:\n  default: &a\n    ENGINE: sqlite\n    <<: *a\n", "? [a]\n: b\n", "- a\n", "a: b: c\n",
		"DATABASES: {default: {OPTIONS: {a: b}, <<: [{NAME: x}, {NAME: y}]}}\n", "DEBUG: !!binary x\n", "a: &x [*x]\n", "---\n...\n---\n", "\xff\xfe",
	} {
		f.Add(yaml)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, yaml string) {
		if err := os.WriteFile(filepath.Join(dir, "settings.yaml"), []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := app.LoadIn(dir, nil); err != nil {
			for _, mistake := range configErrors(t, err) {
				if mistake.File != "settings.yaml" || mistake.Line == 0 {
					t.Errorf("%q: %v has no place", yaml, mistake)
				}
			}
		}
	})
}

// The ages and times of an alias are what the file says, or a mistake that names its
// place, its key and what is written there.
func FuzzLoad_Ages(f *testing.F) {
	for _, text := range []string{"60", "null", "~", "90s", "-1", "1e3", "0x10", "1_000", "0o17", "+5", ".5", "5m", "0", "on", "'60'", `"60"`, "2001-01-01", "1:30", "NaN", ".inf", "!!str 60", "*x", "60 # s"} {
		for key := range ages(db.Settings{}) {
			f.Add(key, text)
		}
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, key, text string) {
		if _, ok := ages(db.Settings{})[key]; !ok || strings.ContainsAny(text, "\r\n\u0085\u2028\u2029") {
			return
		}
		yaml := "DATABASES:\n  default:\n    ENGINE: sqlite\n    NAME: a.db\n    " + key + ": " + text + "\n"
		if err := os.WriteFile(filepath.Join(dir, "settings.yaml"), []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		settings, err := app.LoadIn(dir, nil)
		if err != nil {
			for _, mistake := range configErrors(t, err) {
				if mistake.File != "settings.yaml" || mistake.Line == 0 {
					t.Errorf("%q: %v has no place", text, mistake)
				}
				if mistake.Line == 5 && mistake.Key != "" && !strings.HasSuffix(mistake.Key, "default."+key) && !strings.HasSuffix(mistake.Key, "default") && mistake.Key != "DATABASES" {
					t.Errorf("%q: %v names another key", text, mistake)
				}
			}
			return
		}
		got := ages(settings.Databases["default"])[key]
		if got < 0 && got != db.Forever {
			t.Errorf("%q is %s", text, got)
		}
		plain := strings.Trim(text, " \t")
		if d, err := app.ParseDuration(plain); err == nil && d == 0 && key != "CONN_MAX_AGE" && key != "HOLD_LIMIT" {
			return // nothing is the default
		}
		if n, err := strconv.ParseInt(plain, 10, 32); err == nil && plain[0] != '+' && got != time.Duration(n)*time.Second {
			t.Errorf("%q is %s, want so many seconds", text, got)
		}
		if d, err := time.ParseDuration(plain); err == nil && strings.ContainsAny(plain, "smhnuµ") && got != d {
			t.Errorf("%q is %s, want %s", text, got, d)
		}
		// What was read is read again.
		written := strconv.Quote(got.String())
		if got == db.Forever {
			written = "null"
		}
		yaml = "DATABASES:\n  default:\n    ENGINE: sqlite\n    NAME: a.db\n    " + key + ": " + written + "\n"
		if err := os.WriteFile(filepath.Join(dir, "settings.yaml"), []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := app.LoadIn(dir, nil)
		if err != nil || ages(again.Databases["default"])[key] != got {
			t.Errorf("%q is %s, and %s is %s, %v", text, got, written, ages(again.Databases["default"])[key], err)
		}
	})
}

// ages are the durations of an alias, by their keys.
func ages(s db.Settings) map[string]time.Duration {
	return map[string]time.Duration{
		"CONN_MAX_AGE": s.ConnMaxAge, "CONN_MAX_IDLE": s.ConnMaxIdle, "ACQUIRE_TIMEOUT": s.AcquireTimeout,
		"CONNECT_TIMEOUT": s.ConnectTimeout, "HOLD_IDLE_WARN": s.HoldIdleWarn, "HOLD_LIMIT": s.HoldLimit,
		"SLOW_STATEMENT": s.SlowStatement,
	}
}

// What is written into a DATABASE_URL as RFC 3986 wants it comes out as it was.
func FuzzDatabaseURL(f *testing.F) {
	f.Add("app", "s3cret", "db.example.org", 5432, "shop", "sslmode", "require")
	f.Add("o'brien", "p@ss:w/rd#?%25", "::1", 0, "it's", "options", "-c a=b&c=d")
	f.Add("é", " ", "10.0.0.1", 1, "a/b", "application_name", "é +%")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, user, password, host string, port int, name, key, value string) {
		host, key = "h"+hex.EncodeToString([]byte(host)), "o"+hex.EncodeToString([]byte(key)) // names of hosts and options have an alphabet
		if port < 0 || port > 65535 || !utf8.ValidString(user+password+name+value) || strings.ContainsRune(user+password+name+value, 0) {
			return // an environment has no NUL
		}
		u := url.URL{Scheme: "postgresql", User: url.UserPassword(user, password), Host: host, Path: "/" + name, RawQuery: url.Values{key: {value}}.Encode()}
		if port > 0 {
			u.Host += ":" + strconv.Itoa(port)
		}
		settings, err := app.LoadIn(dir, []string{"QUINTET_SETTINGS=/dev/null", "DATABASE_URL=" + u.String()})
		if err != nil {
			if password != "" && len(password) > 4 && strings.Contains(err.Error(), password) && !strings.Contains(user+host+name+key+value, password) {
				t.Errorf("%v has the password", err)
			}
			if name != "" && value != "" {
				t.Errorf("%s: %v", u.String(), err)
			}
			return
		}
		s := settings.Databases["default"]
		want := db.Settings{Engine: "postgres", User: user, Password: db.Secret(password), Host: host, Port: port, Name: name}
		if s.User != want.User || s.Password != want.Password || s.Host != want.Host || s.Port != want.Port || s.Name != want.Name || s.Options[key] != value {
			t.Errorf("%s is %q %q %q %d %q %q", u.String(), s.User, string(s.Password), s.Host, s.Port, s.Name, s.Options)
		}
	})
}

func TestVariable_IsSplitBackIntoItsKey(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"DEBUG": "DEBUG", "DATABASES.default.CONN_MAX_AGE": "DATABASES DEFAULT CONN_MAX_AGE", "DATABASES.replica-1.HOST": "DATABASES REPLICA_1 HOST",
	} {
		path, ok := app.SplitVariable(app.Variable(key))
		if !ok || strings.Join(path, " ") != want {
			t.Errorf("%s became %q", key, path)
		}
	}
}
