package sqlite_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db/pool"
)

func TestDirties_KnowsWhatLeavesSomethingBehind(t *testing.T) {
	t.Parallel()
	d := open(t, inMemory())
	for _, query := range []string{
		"PRAGMA foreign_keys = 0", "pragma foreign_keys(off)", "PRAGMA main.cache_size=1", `PRAGMA "foreign_keys" = 0`, "PRAGMA 'foreign_keys' = 0",
		"PRAGMA temp.cache_size = 1", "SELECT 1; PRAGMA foreign_keys = 0", "/* c */ PRAGMA foreign_keys = 0", "-- c\nPRAGMA foreign_keys = 0",
		"PRAGMA", "ATTACH 'x.db' AS x", "DETACH x", "CREATE TEMP TABLE t (n)", "create/**/temporary table t (n)", "CREATE TEMP VIEW v AS SELECT 1",
		"CREATE TEMP TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; END", "CREATE TABLE temp.t (n)", "CREATE TABLE IF NOT EXISTS [temp].t (n)",
		"CREATE VIRTUAL TABLE `temp`.t USING fts5(x)", "CREATE TABLE 'temp'.t (n)", "something new", "'", "SELECT 'a", `SELECT "a`, "SELECT 1\x00",
		"SELECT ''''; PRAGMA foreign_keys = 0", `SELECT "'"; PRAGMA foreign_keys = 0; SELECT "'"`, "SELECT [']; PRAGMA foreign_keys = 0; SELECT [']",
		"SELECT '/*'; PRAGMA foreign_keys = 0 --*/", "EXPLAIN PRAGMA cache_size = 7", "explain query plan PRAGMA cache_size = 7",
	} {
		if !d.Dirties(query) {
			t.Errorf("%q: thought to be clean", query)
		}
	}
	for _, query := range []string{
		"SELECT 1", "select 'PRAGMA foreign_keys = 0'", "SELECT 1; SELECT 2;", "", " ; ", "-- PRAGMA foreign_keys = 0", "SELECT 1 /* ; ATTACH 'x' AS x",
		"INSERT INTO t VALUES ('; ATTACH')", "UPDATE t SET temp = 1", "DELETE FROM t", "REPLACE INTO t VALUES (1)", "WITH x AS (SELECT 1) SELECT * FROM x",
		"CREATE TABLE temperature (n)", "CREATE UNIQUE INDEX i ON t (n)", "DROP TABLE t", "ALTER TABLE t ADD COLUMN c", "BEGIN IMMEDIATE", "COMMIT", "END",
		"SAVEPOINT s", "ROLLBACK TO s", "RELEASE s", "ANALYZE", "VACUUM", "EXPLAIN QUERY PLAN SELECT 1", "VALUES (1)",
		"PRAGMA table_info(t)", "PRAGMA main.index_list('t')", "PRAGMA foreign_keys", "PRAGMA user_version = 3", "PRAGMA wal_checkpoint(TRUNCATE)",
		"CREATE TRIGGER x AFTER INSERT ON t BEGIN UPDATE t SET n = 1; DELETE FROM t; END",
	} {
		if d.Dirties(query) {
			t.Errorf("%q: thought to leave something", query)
		}
	}
}

func TestDirties_AllocatesNothing(t *testing.T) {
	d := open(t, inMemory())
	for _, query := range []string{"SELECT a, b FROM t WHERE c = 'x'", "PRAGMA foreign_keys", "CREATE TABLE t (n)", "ATTACH 'x' AS x"} {
		if n := testing.AllocsPerRun(10, func() { d.Dirties(query) }); n != 0 {
			t.Errorf("%q: %g allocations", query, n)
		}
	}
}

// Whatever comes before, a PRAGMA that SQLite would see is seen.
func FuzzDirties(f *testing.F) {
	for _, query := range []string{"SELECT 'a'';b'", "SELECT [a]", "/* x */ SELECT 1", "-- x", `"'"`, "`", "PRAGMA x", "CREATE TABLE t"} {
		f.Add(query)
	}
	d := open(f, inMemory())
	f.Fuzz(func(t *testing.T, query string) {
		// SQLite takes a comment without an end for one that ends with the text
		if !strings.Contains(query, "/*") && !d.Dirties(query+"\n; PRAGMA foreign_keys = 0") {
			t.Errorf("%q hides a PRAGMA", query)
		}
	})
}

func TestReset_OfAFileSaysThatItMustBeClosed(t *testing.T) {
	t.Parallel()
	d := open(t, file(t))
	if err := d.Reset(t.Context(), connect(t, d)); err == nil || !strings.Contains(err.Error(), "opened anew") {
		t.Errorf("got %v", err)
	}
}

func TestReset_OfMemoryKeepsTheData(t *testing.T) {
	t.Parallel()
	d := open(t, inMemory())
	c := connect(t, d)
	exec(t, c, "CREATE TABLE kept (n); INSERT INTO kept VALUES (1)")
	for _, query := range []string{
		"PRAGMA foreign_keys = 0", "PRAGMA synchronous = OFF", `ATTACH ':memory:' AS "other one"`,
		`CREATE TEMP TABLE "a ""b""" (n)`, `CREATE INDEX temp.i ON "a ""b""" (n)`, "CREATE TEMP VIEW v AS SELECT 1",
		"CREATE TEMP TRIGGER tr AFTER INSERT ON main.kept BEGIN SELECT 1; END", "CREATE TABLE temp.auto (n INTEGER PRIMARY KEY AUTOINCREMENT)",
		"BEGIN", "INSERT INTO kept VALUES (2)",
	} {
		exec(t, c, query)
	}
	if err := d.Reset(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"SELECT n FROM kept":  "1",
		"PRAGMA foreign_keys": "1",
		"PRAGMA synchronous":  "1",
		"SELECT name FROM temp.sqlite_master WHERE name NOT LIKE 'sqlite%'":        "",
		"SELECT name FROM pragma_database_list WHERE name NOT IN ('main', 'temp')": "",
	} {
		if got := text(t, c, query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if in, _ := d.InTransaction(c); in {
		t.Error("still in the transaction")
	}
	if d.Traits() != (pool.Traits{Single: true}) {
		t.Error("traits")
	}
}

// SQLite is the judge: of everything that it accepts, whatever the quotes and comments
// in it, nothing changes the session unseen.
func TestDirties_IsNotFooledByQuoting(t *testing.T) {
	t.Parallel()
	d := open(t, inMemory())
	c := connect(t, d)
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	junk := func() string {
		var b strings.Builder
		for range random.IntN(4) {
			b.WriteString(pick("'", "''", `"`, `\`, `\'`, "`", "[", "]", "--", "\n", "/*", "*/", ";", " PRAGMA foreign_keys = 0", "x", " "))
		}
		return b.String()
	}
	token := func() string {
		return pick("1 ", "'"+junk()+"'", "1 AS `"+junk()+"`", `1 AS "`+junk()+`"`, "1 AS ["+junk()+"]", "/*"+junk()+"*/ 1 ", "--"+junk()+"\n 1 ", "x'00'")
	}
	accepted, changed := 0, 0
	for range 4000 {
		query := "SELECT " + token() + pick(", ", "; SELECT ", "; PRAGMA foreign_keys = 0; SELECT ") + token() + pick("", ", "+token(), "--"+junk(), "/*"+junk(), "; PRAGMA foreign_keys = 0")
		if tryExec(t.Context(), c, query) == nil {
			accepted++
		}
		// statements before a mistake have run all the same
		if text(t, c, "PRAGMA foreign_keys") == "1" {
			continue
		}
		changed++
		if !d.Dirties(query) {
			t.Errorf("not seen: %s", query)
		}
		exec(t, c, "PRAGMA foreign_keys = 1")
	}
	if accepted < 1000 || changed < 300 || changed > accepted*9/10 {
		t.Errorf("of 4000, %d were accepted and %d changed something: too few to prove it", accepted, changed)
	}
}
