package sqlite_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/goquintet/quintet/db/pool"
)

func TestClassify_WhatSQLiteSays(t *testing.T) {
	t.Parallel()
	d := open(t, file(t))
	c := connect(t, d)
	exec(t, c, "CREATE TABLE parent (id INTEGER PRIMARY KEY CHECK (id < 100), t TEXT NOT NULL UNIQUE) STRICT")
	exec(t, c, "CREATE TABLE child (parent INTEGER REFERENCES parent (id))")
	exec(t, c, "INSERT INTO parent VALUES (1, 'a')")
	for query, want := range map[string]pool.Class{
		"INSERT INTO parent VALUES (1, 'b')":   pool.Harmless,
		"INSERT INTO parent VALUES (2, 'a')":   pool.Harmless,
		"INSERT INTO parent VALUES (2, NULL)":  pool.Harmless,
		"INSERT INTO parent VALUES (100, 'b')": pool.Harmless,
		"INSERT INTO parent VALUES ('x', 'b')": pool.Harmless,
		"INSERT INTO child VALUES (7)":         pool.Harmless,
		"SELECT zeroblob(2000000000)":          pool.Harmless,
		"nonsense":                             pool.Doubtful,
		"SELECT * FROM none":                   pool.Doubtful,
	} {
		err := tryExec(t.Context(), c, query)
		if got := d.Classify(err); err == nil || got != want {
			t.Errorf("%s: class %d of %v, want %d", query, got, err, want)
		}
		if got := d.Classify(fmt.Errorf("view: %w", err)); got != want {
			t.Errorf("%s, wrapped: class %d", query, got)
		}
		if d.Transient(err) {
			t.Errorf("%s: transient", query)
		}
	}
}

func TestClassify_WhatOthersSay(t *testing.T) {
	t.Parallel()
	d := open(t, inMemory())
	for err, want := range map[error]pool.Class{
		sql.ErrNoRows:            pool.Foreign,
		errors.New("scan"):       pool.Foreign,
		driver.ErrBadConn:        pool.Lost,
		context.Canceled:         pool.Canceled,
		context.DeadlineExceeded: pool.Canceled,
	} {
		if got := d.Classify(err); got != want {
			t.Errorf("class %d of %v, want %d", got, err, want)
		}
	}
	if d.Classify(nil) != pool.Foreign || d.Transient(nil) {
		t.Error("nil means something")
	}
}

func TestClassify_ALockIsHarmlessAndTransient(t *testing.T) {
	t.Parallel()
	s := file(t)
	s.Options["timeout"] = "0"
	d := open(t, s)
	a, b := connect(t, d), connect(t, d)
	exec(t, a, "CREATE TABLE t (n)")
	exec(t, a, "BEGIN IMMEDIATE")
	if err := tryExec(t.Context(), b, "INSERT INTO t VALUES (1)"); d.Classify(err) != pool.Harmless || !d.Transient(err) {
		t.Errorf("busy: %v", err)
	}
	exec(t, a, "ROLLBACK")
	// a reader that wants to write after somebody else has
	exec(t, b, "BEGIN")
	text(t, b, "SELECT * FROM t")
	exec(t, a, "INSERT INTO t VALUES (1)")
	if err := tryExec(t.Context(), b, "INSERT INTO t VALUES (2)"); d.Classify(err) != pool.Harmless {
		t.Errorf("snapshot: %v", err)
	}
}

func TestClassify_ABrokenFileCostsTheConnection(t *testing.T) {
	t.Parallel()
	s := file(t)
	s.Options["journal_mode"] = "delete"
	d := open(t, s)
	c := connect(t, d)
	exec(t, c, "CREATE TABLE t (n); INSERT INTO t VALUES (1)")
	if err := os.Truncate(s.Name, 100); err != nil {
		t.Fatal(err)
	}
	err := tryExec(t.Context(), c, "SELECT * FROM t")
	if d.Classify(err) != pool.Lost {
		t.Errorf("class %d of %v", d.Classify(err), err)
	}
}
