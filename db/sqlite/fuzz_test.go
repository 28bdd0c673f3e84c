package sqlite_test

import (
	"context"
	"database/sql/driver"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/db/sqlite"
)

// seeds are statements of all kinds that SQLite accepts.
func seeds() []string {
	return []string{
		"PRAGMA foreign_keys = 0", "PRAGMA main . cache_size = 7", "PRAGMA temp . cache_size = 7", "PRAGMA case_sensitive_like ( 1 )", "PRAGMA recursive_triggers ( on )",
		"PRAGMA query_only = 1", "PRAGMA table_info ( t )", "PRAGMA user_version = 3", "PRAGMA optimize", "PRAGMA schema_version", "PRAGMA wal_checkpoint ( TRUNCATE )",
		"ATTACH ':memory:' AS other", "DETACH other", "CREATE TEMP TABLE x ( n )", "CREATE TABLE temp . x ( n )", "CREATE TABLE IF NOT EXISTS t2 ( n )",
		"CREATE TEMP VIEW v AS SELECT 1", "CREATE TEMP TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1 ; END", "CREATE TRIGGER IF NOT EXISTS tr2 AFTER INSERT ON t BEGIN SELECT 1 ; END",
		"SELECT 1", "SELECT n FROM t WHERE n = 'x'", "WITH a AS ( SELECT 1 ) SELECT * FROM a", "INSERT INTO t VALUES ( 1 ) RETURNING n", "REPLACE INTO t VALUES ( 1 )",
		"UPDATE t SET n = 2", "DELETE FROM t", "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK", "SAVEPOINT s", "RELEASE s", "ANALYZE", "REINDEX t", "VALUES ( 1 )",
		"EXPLAIN QUERY PLAN SELECT 1", "EXPLAIN PRAGMA cache_size = 7", "SELECT * FROM pragma_table_info ( 't' )", "CREATE VIRTUAL TABLE temp . f USING fts5 ( x )",
		"ALTER TABLE t ADD COLUMN c", "DROP TABLE IF EXISTS t2", "CREATE INDEX IF NOT EXISTS i ON t ( n )",
	}
}

// pragmas are what a session may have changed, those of SQLite's that can be read.
func pragmas() []string {
	return []string{
		"foreign_keys", "cache_size", "synchronous", "recursive_triggers", "query_only", "busy_timeout", "temp_store", "writable_schema",
		"reverse_unordered_selects", "ignore_check_constraints", "legacy_alter_table", "trusted_schema", "cell_size_check", "checkpoint_fullfsync", "fullfsync",
		"locking_mode", "mmap_size", "journal_size_limit", "threads", "secure_delete", "automatic_index", "analysis_limit", "wal_autocheckpoint",
		"cache_spill", "read_uncommitted", "full_column_names", "short_column_names", "empty_result_callbacks", "count_changes", "defer_foreign_keys",
	}
}

// statement makes a statement of a recipe: each three bytes change a word of a seed.
func statement(recipe []byte) string {
	all := seeds()
	if len(recipe) == 0 {
		return ""
	}
	words := strings.Fields(all[int(recipe[0])%len(all)])
	odd := append([]string{
		"PRAGMA", "EXPLAIN", "QUERY", "PLAN", "=", "(", ")", ".", ";", "1", "0", "'on'", "on", "TEMP", "temp", `"temp"`, "[temp]", "'temp'", "`temp`", "temporary",
		"main", "CREATE", "TABLE", "VIEW", "AS", "SELECT 1", "IF NOT EXISTS", "--", "/*", "*/", "'", `"`, "\n", "BEGIN", "END", ":memory:", "WITH", "ATTACH",
		"case_sensitive_like", "optimize", "encoding", "data_version", "incremental_vacuum", "page_count", "quick_check", "INTO", "FROM", "RENAME TO", "x",
	}, pragmas()...)
	for recipe = recipe[1:]; len(recipe) >= 3; recipe = recipe[3:] {
		at, word := 0, odd[int(recipe[2])%len(odd)]
		if len(words) > 0 {
			at = int(recipe[1]) % len(words)
		}
		switch change := recipe[0] % 7; {
		case change == 0 || len(words) == 0:
			words = slices.Insert(words, at, word)
		case change == 1:
			words[at] = word
		case change == 2:
			words = slices.Delete(words, at, at+1)
		case change == 3:
			words[at] = strings.ToLower(words[at])
		case change == 4:
			words[at] = `"` + words[at] + `"`
		case change == 5:
			words = append(words, ";", all[int(recipe[2])%len(all)])
		case change == 6:
			words = append(strings.Fields(all[int(recipe[2])%len(all)]+" ;"), words...)
		}
	}
	return strings.Join(words, " ")
}

// state is everything that SQLite tells about what a session keeps.
func state(tb testing.TB, c driver.Conn) string {
	tb.Helper()
	queries := []string{
		"SELECT 'a' LIKE 'A'", "SELECT coalesce(group_concat(name), '') FROM temp.sqlite_master", "SELECT group_concat(name) FROM pragma_database_list WHERE name <> 'temp'",
	}
	for _, name := range pragmas() {
		queries = append(queries, "PRAGMA "+name)
	}
	var b strings.Builder
	for _, query := range queries {
		b.WriteString(query + ": " + text(tb, c, query) + "\n")
	}
	return b.String()
}

// SQLite is the judge: what changes the session is never called clean.
func FuzzDirties_SQLiteIsTheJudge(f *testing.F) {
	for i := range seeds() {
		f.Add([]byte{byte(i)})
	}
	d := open(f, file(f))
	connect := func(tb testing.TB) driver.Conn {
		c, err := d.Connect(context.Background())
		if err != nil {
			tb.Fatal(err)
		}
		exec(tb, c, "CREATE TABLE IF NOT EXISTS t (n)")
		return c
	}
	c := connect(f)
	f.Cleanup(func() {
		if err := d.Close(c); err != nil {
			f.Error(err)
		}
	})
	fresh := state(f, c)
	f.Fuzz(func(t *testing.T, recipe []byte) {
		query := statement(recipe)
		low := strings.ToLower(query)
		if strings.Contains(low, "vacuum") && strings.Contains(low, "into") {
			return // it would write a file
		}
		accepted := tryExec(t.Context(), c, query) == nil
		if in, _ := d.InTransaction(c); in {
			if err := tryExec(t.Context(), c, "COMMIT"); err != nil {
				exec(t, c, "ROLLBACK")
			}
		}
		clean := !d.Dirties(query)
		after := state(t, c)
		if after != fresh && clean {
			t.Errorf("%q is called clean (accepted: %t); the session was\n%s\nand is\n%s", query, accepted, fresh, after)
		}
		if after != fresh || !clean {
			if err := d.Close(c); err != nil {
				t.Fatal(err)
			}
			c = connect(t)
		}
	})
}

// The file that is opened is the one that the settings name, whatever is in its name.
func FuzzSettings_NameTheFile(f *testing.F) {
	for _, name := range []string{"app.db", "a b", "100%", "%41", "a?mode=memory", "a#b", "é", "'", `"`, `a\b`, "a&b=c", "\n", ":memory:x", "~", " ", "-wal", "//"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if strings.ContainsAny(name, "/\x00") || name == "" || name == "." || name == ".." || len(name) > 200 || !utf8.ValidString(name) {
			return // no name of a file, or one that a YAML file cannot have
		}
		folder := t.TempDir()
		d, err := sqlite.Engine{}.Open("default", db.Settings{Engine: "sqlite", Name: filepath.Join(folder, name)})
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		opened(t, d)
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != 1 || entries[0].Name() != name {
			t.Errorf("%q has made %v", name, entries)
		}
	})
}

// opened writes something and closes the file again.
func opened(t *testing.T, d pool.Driver) {
	t.Helper()
	c, err := d.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exec(t, c, "CREATE TABLE t (n)")
	if err := d.Close(c); err != nil {
		t.Error(err)
	}
}
