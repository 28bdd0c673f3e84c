package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
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
