package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/sqlite"
)

func TestSettings_EveryMistakeIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := sqlite.Engine{}.Open("files", db.Settings{
		Host: "h", Port: 1, User: "u", Password: "s3cret",
		Options: map[string]string{
			"timeout": "soon", "journal_mode": "wall", "synchronous": "sometimes", "foreign_keys": "perhaps", "cache_size": "big",
			"transaction_mode": "late", "mode": "rwx", "query_only": "2", "Timeout": "5", "check_same_thread": "1",
		},
	})
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		"files.NAME: is missing", "HOST: means nothing", "PORT: means nothing", "USER: means nothing", "PASSWORD: means nothing",
		`timeout: "soon" is no time`, `journal_mode: "wall" is unknown; say wal, delete`, "synchronous", "foreign_keys", `"big" is none`,
		`transaction_mode: "late" is unknown; say deferred, immediate, exclusive`, `mode: "rwx"`, "query_only",
		"Timeout: is unknown; say one of auto_vacuum, cache_size", "check_same_thread: is unknown",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in\n%v", want, err)
		}
	}
	if e, ok := errors.AsType[*db.SettingsError](err); !ok || e.Alias != "files" {
		t.Errorf("got %T", err)
	}
}

func TestSettings_BadNamesAndTimes(t *testing.T) {
	t.Parallel()
	for _, s := range []db.Settings{
		{Name: "a\x00b"}, {Name: "file:app.db?mode=memory"},
		{Name: "a", Options: map[string]string{"timeout": "-1"}},
		{Name: "a", Options: map[string]string{"timeout": "-1s"}},
		{Name: "a", Options: map[string]string{"timeout": "NaN"}},
		{Name: "a", Options: map[string]string{"timeout": "Inf"}},
		{Name: "a", Options: map[string]string{"timeout": "25h"}},
	} {
		if _, err := (sqlite.Engine{}).Open("default", s); err == nil {
			t.Errorf("%+v: no error", s)
		}
	}
	for text, want := range map[string]string{"": "5000", "20": "20000", "0.25": "250", "0": "0", "300ms": "300", "1m": "60000"} {
		s := inMemory()
		s.Options["timeout"] = text
		if got := textOf(t, s, "PRAGMA busy_timeout"); got != want {
			t.Errorf("timeout %q: %s ms, want %s", text, got, want)
		}
	}
}

func textOf(t *testing.T, s db.Settings, query string) string {
	t.Helper()
	return text(t, connect(t, open(t, s)), query)
}

func TestSession_HasTheDefaultsAndTheOptions(t *testing.T) {
	t.Parallel()
	s := file(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "1", "foreign_keys": "1", "busy_timeout": "5000"} {
		if got := textOf(t, s, "PRAGMA "+pragma); got != want {
			t.Errorf("%s: %s, want %s", pragma, got, want)
		}
	}
	s = file(t)
	s.Options = map[string]string{
		"journal_mode": "DELETE", "synchronous": "Full", "foreign_keys": "no", "auto_vacuum": "incremental", "cache_size": "-4000",
		"temp_store": "memory", "mmap_size": "65536", "init_command": "PRAGMA recursive_triggers = 1; CREATE TABLE IF NOT EXISTS made (n)",
	}
	for pragma, want := range map[string]string{
		"journal_mode": "delete", "synchronous": "2", "foreign_keys": "0", "auto_vacuum": "2", "cache_size": "-4000",
		"temp_store": "2", "mmap_size": "65536", "recursive_triggers": "1",
	} {
		if got := textOf(t, s, "PRAGMA "+pragma); got != want {
			t.Errorf("%s: %s, want %s", pragma, got, want)
		}
	}
	if got := textOf(t, s, "SELECT count(*) FROM made"); got != "0" {
		t.Errorf("init_command: %s", got)
	}
}

func TestSession_ReadOnlyAndExistingFiles(t *testing.T) {
	t.Parallel()
	s := file(t)
	for _, mode := range []string{"ro", "rw"} {
		s.Options["mode"] = mode
		_, err := open(t, s).Connect(t.Context())
		if err == nil || !strings.Contains(err.Error(), s.Name) || !strings.Contains(err.Error(), "does not exist") {
			t.Errorf("%s, no file: %v", mode, err)
		}
	}
	delete(s.Options, "mode")
	writer := connect(t, open(t, s))
	exec(t, writer, "CREATE TABLE t (n)")
	s.Options["mode"] = "ro"
	reader := connect(t, open(t, s))
	if err := tryExec(t.Context(), reader, "INSERT INTO t VALUES (1)"); err == nil || !strings.Contains(err.Error(), "readonly") {
		t.Errorf("ro: %v", err)
	}
	delete(s.Options, "mode")
	s.Options["query_only"] = "on"
	if err := tryExec(t.Context(), connect(t, open(t, s)), "INSERT INTO t VALUES (1)"); err == nil || !strings.Contains(err.Error(), "readonly") {
		t.Errorf("query_only: %v", err)
	}
}

func TestConnect_MakesTheFoldersAndNamesThePath(t *testing.T) {
	t.Parallel()
	s := file(t)
	s.Name = filepath.Join(filepath.Dir(s.Name), "a", "b c", "app.db")
	d := open(t, s)
	if _, err := os.Stat(filepath.Dir(s.Name)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open made something: %v", err)
	}
	connect(t, d)
	if _, err := os.Stat(s.Name); err != nil {
		t.Error(err)
	}

	s.Name = filepath.Dir(s.Name)
	if _, err := open(t, s).Connect(t.Context()); err == nil || !strings.Contains(err.Error(), s.Name+" is a folder") {
		t.Errorf("a folder: %v", err)
	}
	s.Name = filepath.Join(s.Name, "app.db", "below a file.db")
	if _, err := open(t, s).Connect(t.Context()); err == nil || !strings.Contains(err.Error(), s.Name) {
		t.Errorf("below a file: %v", err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database. ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Name = text
	if _, err := open(t, s).Connect(t.Context()); err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), "not a database") {
		t.Errorf("another file: %v", err)
	}
	s = file(t)
	s.Options["init_command"] = "nonsense"
	if _, err := open(t, s).Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "init_command") {
		t.Errorf("init_command: %v", err)
	}
}

func TestConnect_ARelativeNameStaysWhereItWas(t *testing.T) {
	t.Chdir(t.TempDir())
	d := open(t, db.Settings{Name: "app.db"})
	here, err := filepath.Abs("app.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	connect(t, d)
	if _, err := os.Stat(here); err != nil {
		t.Error(err)
	}
}

// Whatever the name has in it, the file has it too, and no option is smuggled in.
func FuzzName(f *testing.F) {
	for _, name := range []string{"a.db", "a?mode=memory&x=1", "100%25#%41 b", "ä+&;=", "..", "a\\b", "_txlock=none"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" || name == "." || name == ".." || len(name) > 200 || strings.ContainsAny(name, "/\x00") || !utf8.ValidString(name) {
			return
		}
		path := filepath.Join(t.TempDir(), name)
		d, err := sqlite.Engine{}.Open("default", db.Settings{Name: path})
		if err != nil {
			t.Fatal(err)
		}
		c, err := d.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := tryExec(t.Context(), c, "CREATE TABLE t (n)"); err != nil {
			t.Error(err)
		}
		if err := d.Close(c); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("%q: %v", path, err)
		}
	})
}
