package sqlite_test

import (
	"testing"

	"github.com/goquintet/quintet/db/pool"
)

// Not parallel: it counts what the process allocates.
func TestWrites_KnowsWhatNeedsTheLock(t *testing.T) {
	d, ok := open(t, file(t)).(pool.Writer)
	if !ok {
		t.Fatal("the engine does not say what writes")
	}
	for _, query := range []string{
		"INSERT INTO t VALUES (1)", "insert into t values (1)", "-- c\n UPDATE t SET n = 1", "/* c */ DELETE FROM t", "REPLACE INTO t VALUES (1)",
		"CREATE TABLE t (n)", "DROP TABLE t", "ALTER TABLE t ADD COLUMN c", "REINDEX", "ANALYZE", "VACUUM", "BEGIN IMMEDIATE", "begin exclusive transaction",
		"SELECT 1; INSERT INTO t VALUES (1)", "SELECT ';'; DELETE FROM t", "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", ";;UPDATE t SET n = 1",
		"BEGIN; SELECT 1; UPDATE t SET n = 1",
	} {
		if !d.Writes(query) {
			t.Errorf("%q: thought to read", query)
		}
	}
	for _, query := range []string{
		"", ";", "SELECT 1", "SELECT 'a;b'", "SELECT 1 -- ; DELETE FROM t", "WITH a AS (SELECT 1) SELECT replace(x, 'a', 'b') FROM a", "VALUES (1)", "EXPLAIN DELETE FROM t",
		"BEGIN", "BEGIN DEFERRED", "COMMIT", "ROLLBACK", "SAVEPOINT s", "PRAGMA foreign_keys", "SELECT n AS immediate FROM t", "SELECT 1; SELECT 2;",
	} {
		if d.Writes(query) {
			t.Errorf("%q: thought to write", query)
		}
		if n := testing.AllocsPerRun(10, func() { d.Writes(query) }); n != 0 {
			t.Errorf("%q: %g allocations", query, n)
		}
	}
}
