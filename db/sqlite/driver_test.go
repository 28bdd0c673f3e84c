package sqlite_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/db/sqlite"
)

// forever is a statement that somebody must stop.
const forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

func TestTraits(t *testing.T) {
	t.Parallel()
	if got := open(t, file(t)).Traits(); got != (pool.Traits{}) {
		t.Errorf("file: %+v", got)
	}
	if got := open(t, inMemory()).Traits(); got != (pool.Traits{Single: true}) {
		t.Errorf("memory: %+v", got)
	}
}

// The pool's way to cancel; a context costs a goroutine for each statement.
func TestCancel_StopsWhatRunsAndNothingAfterIt(t *testing.T) {
	t.Parallel()
	d := open(t, file(t))
	c := connect(t, d)
	if err := d.Cancel(t.Context(), c); err != nil { // nothing runs: forgotten
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- tryExec(context.Background(), c, forever) }()
	var err error
	for again := true; again; {
		if err := d.Cancel(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		select {
		case err = <-ended:
			again = false
		default:
		}
	}
	if d.Classify(err) != pool.Canceled {
		t.Errorf("got class %d of %v, want Canceled", d.Classify(err), err)
	}
	if got := text(t, c, "SELECT 1"); got != "1" {
		t.Errorf("afterwards %q", got)
	}
}

func TestTimes_ComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	type row struct {
		bun.BaseModel `bun:"table:times"`
		At            time.Time
	}
	d := open(t, file(t))
	times := bun.NewDB(sqlDB(t, d), sqlite.Engine{}.Dialect())
	if _, err := times.ExecContext(t.Context(), "CREATE TABLE times (at TIMESTAMP)"); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 29, 1, 59, 59, 123456000, time.FixedZone("", 3600))
	// once through bun's text, once as an argument of the driver
	if _, err := times.NewInsert().Model(&row{At: at}).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := times.DB.ExecContext(t.Context(), "INSERT INTO times VALUES (?)", at); err != nil {
		t.Fatal(err)
	}
	var texts []string
	if err := times.NewRaw("SELECT CAST(at AS TEXT) FROM times").Scan(t.Context(), &texts); err != nil {
		t.Fatal(err)
	}
	if len(texts) != 2 || texts[0] != texts[1] || texts[0] != "2026-03-29 00:59:59.123456+00:00" {
		t.Errorf("stored as %q", texts)
	}
	var rows []row
	if err := times.NewSelect().Model(&rows).Where("at = ?", at).Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 || !rows[0].At.Equal(at) || !rows[1].At.Equal(at) || rows[0].At.Location().String() != "UTC" {
		t.Errorf("read %v", rows)
	}
}

func TestQuotes_AreNamesNeverStrings(t *testing.T) {
	t.Parallel()
	c := connect(t, open(t, inMemory()))
	if err := tryExec(t.Context(), c, `SELECT "no such column"`); err == nil {
		t.Error("a name that is none was taken for a string")
	}
}

func TestBeginTx_IsImmediateUnlessItReadsOnly(t *testing.T) {
	t.Parallel()
	s := file(t)
	s.Options["timeout"] = "0"
	d := open(t, s)
	a, b := connect(t, d), connect(t, d)
	begin := func(c driver.Conn, o driver.TxOptions) (driver.Tx, error) {
		return c.(driver.ConnBeginTx).BeginTx(t.Context(), o)
	}
	tx, err := begin(a, driver.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := begin(b, driver.TxOptions{}); err == nil || d.Classify(err) != pool.Harmless {
		t.Errorf("two writers: %v", err)
	}
	reader, err := begin(b, driver.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatalf("a reader beside a writer: %v", err)
	}
	if err := errors.Join(reader.Commit(), tx.Rollback()); err != nil {
		t.Error(err)
	}
	s.Options["transaction_mode"] = "deferred"
	d = open(t, s)
	for range 2 {
		tx, err := begin(connect(t, d), driver.TxOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
	}
}

func TestInTransaction_IsWhatSQLiteSays(t *testing.T) {
	t.Parallel()
	d := open(t, file(t))
	c := connect(t, d)
	check := func(want bool) {
		t.Helper()
		if in, known := d.InTransaction(c); in != want || !known {
			t.Errorf("in %v, known %v; want %v", in, known, want)
		}
	}
	check(false)
	exec(t, c, "/* hidden */ begin")
	check(true)
	exec(t, c, "CREATE TABLE t (n INTEGER PRIMARY KEY ON CONFLICT ROLLBACK)")
	exec(t, c, "COMMIT; SAVEPOINT s")
	check(true)
	exec(t, c, "INSERT INTO t VALUES (1)")
	if err := tryExec(t.Context(), c, "INSERT INTO t VALUES (1)"); err == nil {
		t.Fatal("no error")
	}
	check(false) // SQLite has rolled back by itself
}

func TestPeek_FindsAFileThatWasReplacedOrRemoved(t *testing.T) {
	t.Parallel()
	s := file(t)
	d := open(t, s)
	a, b := connect(t, d), connect(t, d)
	if err := d.Peek(a); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.Name, s.Name+".old"); err != nil {
		t.Fatal(err)
	}
	if err := d.Peek(a); err == nil || d.Classify(err) != pool.Lost {
		t.Errorf("removed: %v", err)
	}
	connect(t, d) // makes a new one
	if err := d.Peek(b); err == nil {
		t.Error("replaced: nothing found")
	}
	memory := open(t, inMemory())
	if err := memory.Peek(connect(t, memory)); err != nil {
		t.Errorf("memory: %v", err)
	}
}

func TestPing_ReadsTheFileAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	d := open(t, file(t))
	c, err := d.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Ping(t.Context(), c); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Ping(ended, c); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	for range 2 {
		if err := d.Close(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Ping(t.Context(), c); err == nil || d.Peek(c) == nil {
		t.Errorf("a closed connection answers: %v", err)
	}
	d.Kill(c)
	if _, known := d.InTransaction(c); known {
		t.Error("a closed connection knows about transactions")
	}
}

func TestContext_StopsAStatementAndKeepsTheConnection(t *testing.T) {
	t.Parallel()
	d := open(t, file(t))
	c := connect(t, d)
	exec(t, c, "CREATE TABLE t (n); INSERT INTO t VALUES (1)")
	for name, run := range map[string]func(ctx context.Context) error{
		"exec": func(ctx context.Context) error { return tryExec(ctx, c, forever) },
		"query": func(ctx context.Context) error {
			_, err := c.(driver.QueryerContext).QueryContext(ctx, forever, nil)
			return err
		},
		// The first row comes at once, the second never.
		"rows": func(ctx context.Context) error {
			rows, err := c.(driver.QueryerContext).QueryContext(ctx, "SELECT 1 UNION ALL SELECT * FROM ("+forever+")", nil)
			return drain(rows, err)
		},
		"prepared rows": func(ctx context.Context) error {
			stmt, err := c.(driver.ConnPrepareContext).PrepareContext(ctx, "SELECT 1 UNION ALL SELECT * FROM ("+forever+")")
			if err != nil {
				return err
			}
			defer stmt.Close()
			rows, err := stmt.(driver.StmtQueryContext).QueryContext(ctx, nil)
			return drain(rows, err)
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		if err := run(ctx); d.Classify(err) != pool.Canceled {
			t.Errorf("%s: class %d of %v, want Canceled", name, d.Classify(err), err)
		}
		cancel()
		if got := text(t, c, "SELECT n FROM t"); got != "1" {
			t.Errorf("%s: afterwards %q", name, got)
		}
		if v, ok := c.(driver.Validator); ok && !v.IsValid() {
			t.Errorf("%s: the connection is given up", name)
		}
	}
}

func drain(rows driver.Rows, err error) error {
	if err != nil {
		return err
	}
	values := make([]driver.Value, len(rows.Columns()))
	for err == nil {
		err = rows.Next(values)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, rows.Close())
}

func TestContext_EndsTheWaitForALock(t *testing.T) {
	t.Parallel()
	s := file(t)
	s.Options["timeout"] = "1h"
	d := open(t, s)
	writer, waiter := connect(t, d), connect(t, d)
	exec(t, writer, "BEGIN IMMEDIATE")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := tryExec(ctx, waiter, "CREATE TABLE t (n)"); d.Classify(err) != pool.Canceled {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	exec(t, writer, "ROLLBACK")
	exec(t, waiter, "CREATE TABLE t (n)")
}

// An interrupt that comes when the rows are just closed does not hit what follows.
func TestContext_NeverHitsAStatementSentAfterwards(t *testing.T) {
	t.Parallel()
	d := open(t, inMemory())
	c := connect(t, d)
	for i := range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		rows, err := c.(driver.QueryerContext).QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2", nil)
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		group.Go(cancel)
		if err := rows.Close(); err != nil && d.Classify(err) != pool.Canceled {
			t.Fatal(err)
		}
		if err := tryExec(t.Context(), c, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT count(*) FROM n"); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		group.Wait()
	}
}

func TestKill_EndsTheCallThatAnotherGoroutineIsIn(t *testing.T) {
	t.Parallel()
	d := open(t, file(t))
	c, err := d.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := c.(driver.QueryerContext).QueryContext(t.Context(), "SELECT 1 UNION ALL SELECT * FROM ("+forever+")", nil)
	if err != nil {
		t.Fatal(err)
	}
	values := make([]driver.Value, 1)
	if err := rows.Next(values); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- rows.Next(values) }()
	// An interrupt before the statement runs again would be forgotten only if nothing
	// were open: these rows are.
	d.Kill(c)
	if err := <-ended; d.Classify(err) != pool.Canceled {
		t.Errorf("class %d of %v", d.Classify(err), err)
	}
	if d.Peek(c) == nil || c.(driver.Validator).IsValid() {
		t.Error("a killed connection looks well")
	}
	if err := errors.Join(rows.Close(), d.Close(c)); err != nil && d.Classify(err) != pool.Canceled {
		t.Error(err)
	}
}

func TestRows_KeepWhatTheDriverCanTell(t *testing.T) {
	t.Parallel()
	c := connect(t, open(t, inMemory()))
	exec(t, c, "CREATE TABLE t (n DECIMAL(10, 2) NOT NULL)")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rows, err := c.(driver.QueryerContext).QueryContext(ctx, "SELECT n FROM t", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if name := rows.(driver.RowsColumnTypeDatabaseTypeName).ColumnTypeDatabaseTypeName(0); !strings.HasPrefix(name, "DECIMAL") {
		t.Errorf("type %q", name)
	}
	if _, ok := rows.(driver.RowsColumnTypeScanType); !ok {
		t.Error("no scan type")
	}
}

func TestUnwrap_ReachesTheDriversOwnConnection(t *testing.T) {
	t.Parallel()
	c := connect(t, open(t, inMemory()))
	inner := c.(interface{ Unwrap() driver.Conn }).Unwrap()
	if _, ok := inner.(interface{ Serialize() ([]byte, error) }); !ok {
		t.Errorf("%T", inner)
	}
}

func TestWriters_WaitForEachOther(t *testing.T) {
	t.Parallel()
	d := open(t, file(t))
	exec(t, connect(t, d), "CREATE TABLE t (n); INSERT INTO t VALUES (0)")
	db := sqlDB(t, d)
	db.SetMaxOpenConns(8)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 25 {
				tx, err := db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				var n int
				err = tx.QueryRowContext(t.Context(), "SELECT n FROM t").Scan(&n)
				_, failed := tx.ExecContext(t.Context(), "UPDATE t SET n = ?", n+1)
				if err := errors.Join(err, failed, tx.Commit()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if got := text(t, connect(t, d), "SELECT n FROM t"); got != "200" {
		t.Errorf("counted to %s", got)
	}
}

func TestDriver_RefusesConnectionsOfOthers(t *testing.T) {
	t.Parallel()
	d := open(t, inMemory())
	var c driver.Conn = foreign{}
	d.Kill(c)
	for what, err := range map[string]error{"Peek": d.Peek(c), "Ping": d.Ping(t.Context(), c), "Reset": d.Reset(t.Context(), c)} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if _, known := d.InTransaction(c); known {
		t.Error("InTransaction knows")
	}
}

type foreign struct{ driver.Conn }

func BenchmarkPeek(b *testing.B) {
	d := open(b, file(b))
	c := connect(b, d)
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Peek(c); err != nil {
			b.Fatal(err)
		}
	}
}
