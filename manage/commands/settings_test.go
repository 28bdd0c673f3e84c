package commands_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/manage/commands"
)

// fromFile is a site whose settings are written in a file.
func fromFile(t *testing.T, yaml string) commands.Env {
	t.Helper()
	file := settingsFile(t, yaml)
	return commands.Env{NewSite: func() (*app.Site, error) {
		settings, err := app.LoadFile(file)
		if err != nil {
			return nil, err
		}
		return app.New(settings, app.Options{Engines: []db.Engine{postgres.Engine{}}})
	}}
}

func settingsFile(t *testing.T, yaml string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const changed = `DEBUG: true
SECRET_KEY: nobody reads this
APPEND_SLASH: false
LISTEN: 127.0.0.1:8000
MAX_BODY: null
ALLOWED_HOSTS: [polls.example, .polls.example]
TRUSTED_PROXIES: [10.0.0.0/8]
IDLE_TIMEOUT: 90s
LOG_LEVEL: warn
DATABASES:
  default:
    ENGINE: postgres
    NAME: polls
    PASSWORD: nor this
    CONN_MAX_AGE: null
    CONN_MAX_IDLE: 1.5s
    OPTIONS:
      sslmode: require
      sslpassword: and not this
`

// withoutFolder leaves the temporary folder out of what a golden file has.
func withoutFolder(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if before, after, ok := strings.Cut(line, os.TempDir()); ok {
			lines[i] = before + after[strings.LastIndex(after, "/")+1:]
		}
	}
	return strings.Join(lines, "\n")
}

// TestDiffSettings_Basic is Django's DiffSettings.test_basic: what is not the default
// is listed, what has none is marked. Ours says where it comes from, and hides
// secrets.
func TestDiffSettings_Basic(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"diffsettings.txt": {"diffsettings"}, "diffsettings_all.txt": {"diffsettings", "--all"}, "diffsettings_unified.txt": {"diffsettings", "--output", "unified"},
	} {
		r := run(t, fromFile(t, changed), args...)
		if r.status != 0 || r.errors != "" || strings.Contains(r.out, "this") {
			t.Errorf("%q: %+v", args, r)
		}
		golden(t, name, withoutFolder(r.out))
	}
}

// TestDiffSettings_CustomDefault is Django's test_custom_default and test_unified:
// the settings of another file are the ones to differ from. A secret that differs
// does so without being shown.
func TestDiffSettings_CustomDefault(t *testing.T) {
	t.Parallel()
	other := settingsFile(t, strings.NewReplacer("nobody reads", "others read", "90s", "60s", "DEBUG: true\n", "").Replace(changed))
	r := run(t, fromFile(t, changed), "diffsettings", "--default", other)
	want := "DEBUG = true  # settings.yaml:1\nIDLE_TIMEOUT = 90  # settings.yaml:8\nSECRET_KEY = [hidden]  # settings.yaml:2\n"
	if r.status != 0 || withoutFolder(r.out) != want {
		t.Errorf("hash: %+v", r)
	}
	r = run(t, fromFile(t, changed), "diffsettings", "--default="+other, "--output=unified")
	want = "- DEBUG = false\n+ DEBUG = true  # settings.yaml:1\n- IDLE_TIMEOUT = 60\n+ IDLE_TIMEOUT = 90  # settings.yaml:8\n- SECRET_KEY = [hidden]\n+ SECRET_KEY = [hidden]  # settings.yaml:2\n"
	if r.status != 0 || withoutFolder(r.out) != want {
		t.Errorf("unified: %+v", r)
	}
	r = run(t, fromFile(t, changed), "diffsettings", "--default", "nowhere.yaml")
	if r.status != 1 || r.errors != "error: nowhere.yaml: not found\nhint: name a settings file with --default\n" {
		t.Errorf("a file that is not there: %+v", r)
	}
}

// TestDiffSettings_OfSettingsMadeInGo: there is no file to name.
func TestDiffSettings_OfSettingsMadeInGo(t *testing.T) {
	t.Parallel()
	env := polls(t, func(s *app.Settings, _ *app.Options) {
		s.Databases, s.MaxStreams, s.IdleTimeout = nil, 7, 1500*time.Millisecond
	})
	want := "DEBUG = true  # Go\nIDLE_TIMEOUT = 1.5s  # Go\nLOG_LEVEL = error+1  # Go\nMAX_STREAMS = 7  # Go\n"
	if r := run(t, env, "diffsettings"); r.status != 0 || r.out != want {
		t.Errorf("diffsettings: %+v", r)
	}
}
