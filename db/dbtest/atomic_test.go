package dbtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// fruits is a database with one table and one row.
func fruits() *dbtest.Template {
	return dbtest.NewTemplate(func(ctx context.Context, _ *db.Connections) error {
		for _, query := range []string{"CREATE TABLE fruit (name text PRIMARY KEY)", "INSERT INTO fruit VALUES ('apple')"} {
			if _, err := db.From(ctx).ExecContext(ctx, query); err != nil {
				return err
			}
		}
		return nil
	})
}

// wrapped runs a test in one transaction, on each engine.
func wrapped(t *testing.T, test func(t *testing.T, ctx context.Context, conns *db.Connections), change ...func(*db.Settings)) {
	t.Parallel()
	template := fruits()
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			settings := template.Database(t, engine)
			for _, c := range change {
				c(&settings)
			}
			dbtest.Goroutines(t)
			conns := dbtest.Open(t, settings)
			test(t, dbtest.Atomic(t, conns), conns)
		})
	}
}

func add(ctx context.Context, name string) error {
	_, err := db.From(ctx).ExecContext(ctx, "INSERT INTO fruit VALUES (?)", name)
	return err
}

func names(ctx context.Context, t *testing.T) string {
	t.Helper()
	var all []string
	if err := db.From(ctx).NewRaw("SELECT name FROM fruit ORDER BY name").Scan(ctx, &all); err != nil {
		t.Error(err)
	}
	return strings.Join(all, " ")
}

func TestAtomic_WhatEveryScopeDoesIsSeenAndGoneAfterwards(t *testing.T) {
	t.Parallel()
	template := fruits()
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			settings := template.Database(t, engine)
			conns := dbtest.Open(t, settings)
			t.Run("a test", func(t *testing.T) {
				ctx := dbtest.Atomic(t, conns)
				if err := add(ctx, "pear"); err != nil {
					t.Fatal(err)
				}
				for i, run := range []func() error{
					func() error {
						return conns.Run(t.Context(), "task", func(ctx context.Context) error { return add(ctx, "plum") })
					},
					func() error {
						return db.Run(ctx, "task", func(ctx context.Context) error {
							return db.Atomic(ctx, func(ctx context.Context) error { return add(ctx, "quince") })
						})
					},
				} {
					if err := run(); err != nil {
						t.Errorf("%d: %v", i, err)
					}
				}
				if got := names(ctx, t); got != "apple pear plum quince" {
					t.Errorf("%q", got)
				}
			})
			t.Run("the next test", func(t *testing.T) {
				if got := names(dbtest.Atomic(t, conns), t); got != "apple" {
					t.Errorf("%q", got)
				}
			})
			if err := conns.Run(t.Context(), "look", func(ctx context.Context) error {
				if got := names(ctx, t); got != "apple" {
					t.Errorf("in the database is %q", got)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
}

// The seed question: closing inside of a wrapped test is what it is in production.
func TestAtomic_GiveBackIsWhatItIsInProductionAndTheTransactionStays(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		closes := map[string]func() error{
			"CloseOldConnections": func() error { return db.CloseOldConnections(ctx) },
			"Release":             func() error { return db.Release(ctx) },
			"Close":               func() error { return db.From(ctx).Close() },
		}
		opened := int64(0)
		for name, c := range closes {
			if err := add(ctx, name); err != nil {
				t.Fatal(err)
			}
			if n := conns.Stats("default").InUse; n != 1 {
				t.Errorf("%d in use", n)
			}
			if err := c(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			opened++
			if s := conns.Stats("default"); s.InUse != 0 || s.Open != 0 || s.Opened != opened || s.Closed != opened {
				t.Errorf("%s: %+v", name, s)
			}
		}
		if got := names(ctx, t); got != "Close CloseOldConnections Release apple" {
			t.Errorf("%q", got)
		}
	})
}

func TestAtomic_KeptConnectionsAreKeptAndHealthIsChecked(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		for range 3 {
			if err := conns.Run(ctx, "task", func(ctx context.Context) error { return add(ctx, fmt.Sprint(time.Now().UnixNano())) }); err != nil {
				t.Fatal(err)
			}
		}
		if s := conns.Stats("default"); s.Opened != 1 || s.Leases != 3 || s.Idle != 1 || s.Pings == 0 {
			t.Errorf("%+v", s)
		}
	}, func(s *db.Settings) { s.ConnMaxAge, s.ConnHealthChecks = db.Forever, true })
}

func TestAtomic_AFailedStatementDoesNotCostTheTest(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		if err := add(ctx, "apple"); !errors.Is(err, db.ErrUnique) {
			t.Errorf("%v, want ErrUnique", err)
		}
		var name string
		if err := db.From(ctx).QueryRowContext(ctx, "SELECT nonsense FROM fruit").Scan(&name); !errors.Is(err, db.ErrProgramming) {
			t.Errorf("%v, want ErrProgramming", err)
		}
		err := db.Atomic(ctx, func(ctx context.Context) error {
			if err := add(ctx, "pear"); err != nil {
				return err
			}
			return add(ctx, "apple")
		})
		if !errors.Is(err, db.ErrUnique) {
			t.Errorf("%v, want ErrUnique", err)
		}
		err = db.Atomic(ctx, func(ctx context.Context) error {
			_ = add(ctx, "apple") // swallowed
			return nil
		})
		if !errors.Is(err, db.ErrTransactionAborted) {
			t.Errorf("%v, want ErrTransactionAborted", err)
		}
		if got := names(ctx, t); got != "apple" {
			t.Errorf("%q", got)
		}
	})
}

func TestAtomic_BlocksAndTheirCallbacksAreWhatTheyAreInProduction(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		var ran []string
		note := func(what string) func(context.Context) error {
			return func(context.Context) error { ran = append(ran, what); return nil }
		}
		err := db.AtomicWith(ctx, db.AtomicOptions{Durable: true}, func(ctx context.Context) error {
			if err := db.Atomic(ctx, func(ctx context.Context) error {
				return errors.Join(add(ctx, "pear"), db.OnCommit(ctx, note("lost")), db.ErrRollback)
			}); err == nil {
				t.Error("ErrRollback joined to others is no error")
			}
			if err := db.Atomic(ctx, func(ctx context.Context) error {
				if err := add(ctx, "quince"); err != nil {
					return err
				}
				return db.OnCommit(ctx, note("kept"))
			}); err != nil {
				t.Error(err)
			}
			if len(ran) > 0 {
				t.Error("a callback ran before the commit")
			}
			return nil
		})
		if err != nil || strings.Join(ran, " ") != "kept" {
			t.Errorf("%v, callbacks %v", err, ran)
		}
		if got := names(ctx, t); got != "apple quince" {
			t.Errorf("%q", got)
		}
		tx, err := db.From(ctx).BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM fruit"); err != nil {
			t.Error(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
		if got := names(ctx, t); got != "apple quince" {
			t.Errorf("%q", got)
		}
	})
}

// Rows that one scope has open keep nobody waiting, as in production.
func TestAtomic_RowsOfOneScopeAndStatementsOfOthers(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		if err := add(ctx, "pear"); err != nil {
			t.Fatal(err)
		}
		rows, err := db.From(ctx).QueryContext(ctx, "SELECT name FROM fruit ORDER BY name")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var got []string
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				t.Fatal(err)
			}
			got = append(got, name)
			if err := db.Run(ctx, "other", func(ctx context.Context) error { return add(ctx, name+" jam") }); err != nil {
				t.Error(err)
			}
		}
		if err := rows.Err(); err != nil || strings.Join(got, " ") != "apple pear" {
			t.Errorf("%v, %v", got, err)
		}
	})
}

// Only PostgreSQL computes a row when it is read.
func TestAtomic_AnErrorBehindSomeRowsComesBehindThem(t *testing.T) {
	t.Parallel()
	ctx := dbtest.Atomic(t, dbtest.Open(t, fruits().Database(t, dbtest.Postgres)))
	rows, err := db.From(ctx).QueryContext(ctx, "SELECT 6 / (3 - n) FROM generate_series(1, 9) AS n")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rows.Next() {
		n++
	}
	if n != 2 || !errors.Is(rows.Err(), db.ErrData) {
		t.Errorf("%d rows, %v, want 2 and ErrData", n, rows.Err())
	}
	if got := names(ctx, t); got != "apple" {
		t.Errorf("%q", got)
	}
}

func TestAtomic_BlocksOfTwoScopesTakeTurns(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		inside, leave := make(chan struct{}), make(chan struct{})
		var order []string
		var all sync.WaitGroup
		var mu sync.Mutex
		note := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, what)
		}
		all.Go(func() {
			err := conns.Run(t.Context(), "first", func(ctx context.Context) error {
				return db.Atomic(ctx, func(ctx context.Context) error {
					close(inside)
					<-leave
					err := add(ctx, "pear")
					note("first")
					return err
				})
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-inside
		for _, name := range []string{"block", "statement"} {
			all.Go(func() {
				err := conns.Run(t.Context(), name, func(ctx context.Context) error {
					if name == "statement" {
						err := add(ctx, name)
						note("later")
						return err
					}
					return db.Atomic(ctx, func(ctx context.Context) error {
						note("later")
						return add(ctx, name)
					})
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		await(t, func() bool { return conns.Stats("default").InUse == 3 })
		close(leave)
		all.Wait()
		if got := strings.Join(order, " "); got != "first later later" {
			t.Errorf("%q", got)
		}
		if got := names(ctx, t); got != "apple block pear statement" {
			t.Errorf("%q", got)
		}
	})
}

func TestAtomic_AParentThatWaitsForItsChildFailsAtOnceWithTheWayOut(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		child := func(ctx context.Context) error {
			return db.Run(ctx, "child", func(ctx context.Context) error { return add(ctx, "pear") })
		}
		err := db.Atomic(ctx, child)
		if !errors.Is(err, dbtest.ErrWrapped) || !strings.Contains(err.Error(), "use dbtest.Database") || !strings.Contains(err.Error(), `"child"`) {
			t.Errorf("%v, want ErrWrapped with the hint", err)
		}
		// One that nobody waits for takes its turn.
		done := make(chan error, 1)
		err = db.Atomic(ctx, func(ctx context.Context) error {
			go func() { done <- child(context.WithoutCancel(ctx)) }()
			await(t, func() bool { return conns.Stats("default").InUse == 2 })
			return add(ctx, "quince")
		})
		if err := errors.Join(err, <-done); err != nil {
			t.Error(err)
		}
		if got := names(ctx, t); got != "apple pear quince" {
			t.Errorf("%q", got)
		}
	})
}

func TestAtomic_AStatementThatWaitsForItsTurnCanBeCancelled(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		waiting, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		err := db.Atomic(ctx, func(ctx context.Context) error {
			go func() {
				ended <- conns.Run(waiting, "waits", func(ctx context.Context) error { return add(ctx, "pear") })
			}()
			await(t, func() bool { return conns.Stats("default").InUse == 2 })
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("%v, want context.Canceled", err)
			}
			return add(ctx, "plum")
		})
		if err != nil {
			t.Error(err)
		}
		if got := names(ctx, t); got != "apple plum" {
			t.Errorf("%q", got)
		}
	})
}

const forever = "WITH RECURSIVE forever(i) AS (SELECT 1 UNION ALL SELECT i FROM forever) SELECT count(*) FROM forever"

func TestAtomic_ACancelledStatementCostsNothingElse(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		if err := add(ctx, "pear"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			_, err := db.From(ctx).ExecContext(short, forever)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, want DeadlineExceeded", err)
			}
		}
		// A scope that ends in the midst of a statement.
		done := make(chan error, 1)
		other, scope := conns.NewScope(t.Context(), "other")
		go func() {
			_, err := db.From(other).ExecContext(other, forever)
			done <- err
		}()
		await(t, func() bool {
			for _, h := range conns.Holders() {
				if strings.Contains(h.LastStatement, "forever") && h.Open {
					return true
				}
			}
			return false
		})
		if err := scope.End(); err != nil {
			t.Error(err)
		}
		if err := <-done; err == nil {
			t.Error("the statement has an answer")
		}
		if got := names(ctx, t); got != "apple pear" {
			t.Errorf("%q", got)
		}
	})
}

func TestAtomic_PreparedStatementsAndReadOnlyBlocks(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		stmt, err := db.From(ctx).PrepareContext(ctx, "SELECT count(*) FROM fruit")
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := stmt.QueryRowContext(ctx).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d, %v", n, err)
		}
		if err := stmt.Close(); err != nil {
			t.Error(err)
		}
		if err := add(ctx, "pear"); err != nil {
			t.Error(err)
		}
		readOnly := db.AtomicOptions{ReadOnly: true}
		if err := db.AtomicWith(ctx, readOnly, func(ctx context.Context) error { names(ctx, t); return nil }); err != nil {
			t.Error(err)
		}
		if err := db.AtomicWith(ctx, readOnly, func(ctx context.Context) error { return add(ctx, "plum") }); err == nil {
			t.Error("a block that was to read only has written")
		}
		if err := add(ctx, "quince"); err != nil {
			t.Error(err)
		}
		if got := names(ctx, t); got != "apple pear quince" {
			t.Errorf("%q", got)
		}
	})
}

func TestAtomic_WhatCannotWorkIsRefusedWithTheWayOut(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		queries := []string{"VACUUM", "PRAGMA foreign_keys = off"}
		if db.From(ctx).Dialect().Name().String() == "pg" {
			queries = []string{
				"LISTEN news", "NOTIFY news", "SELECT pg_notify('news', 'x')", "VACUUM fruit",
				"CREATE INDEX CONCURRENTLY fruit_name ON fruit (name)", "CREATE DATABASE other",
				"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
			}
			err := db.AtomicWith(ctx, db.AtomicOptions{Isolation: sql.LevelSerializable}, func(context.Context) error { return nil })
			if !errors.Is(err, dbtest.ErrWrapped) || !strings.Contains(err.Error(), "Serializable") {
				t.Errorf("%v, want ErrWrapped", err)
			}
		}
		for _, query := range append(queries, "SAVEPOINT mine", "BEGIN; SELECT 1; COMMIT") {
			if _, err := db.From(ctx).ExecContext(ctx, query); !errors.Is(err, dbtest.ErrWrapped) {
				t.Errorf("%s: %v, want ErrWrapped", query, err)
			}
		}
		if got := names(ctx, t); got != "apple" {
			t.Errorf("%q", got)
		}
	})
}

func TestAtomic_ATransactionThatIsLostSaysSo(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		if _, err := db.From(ctx).ExecContext(ctx, "SELECT 1; ROLLBACK; SELECT 1"); !errors.Is(err, dbtest.ErrWrapped) || !strings.Contains(err.Error(), "has ended the transaction") {
			t.Errorf("%v, want ErrWrapped", err)
		}
		if err := add(ctx, "pear"); !errors.Is(err, dbtest.ErrWrapped) {
			t.Errorf("%v, want ErrWrapped", err)
		}
	})
}

func TestAtomic_OtherAliasesAreFenced(t *testing.T) {
	t.Parallel()
	template := fruits()
	conns := dbtest.OpenAll(t, map[string]db.Settings{"default": template.Database(t, dbtest.SQLite), "replica": template.Database(t, dbtest.SQLite)})
	t.Run("named", func(t *testing.T) {
		ctx := dbtest.Atomic(t, conns, "default")
		if err := db.Using(ctx, "replica").EnsureConnection(ctx); !errors.Is(err, dbtest.ErrFenced) {
			t.Errorf("%v, want ErrFenced", err)
		}
	})
	t.Run("all", func(t *testing.T) {
		ctx := dbtest.Atomic(t, conns)
		if err := db.Using(ctx, "replica").EnsureConnection(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestAtomic_DeferredConstraintsAreCheckedAtTheEnd(t *testing.T) {
	t.Parallel()
	template := dbtest.NewTemplate(func(ctx context.Context, _ *db.Connections) error {
		for _, query := range []string{
			"CREATE TABLE tree (id integer PRIMARY KEY)",
			"CREATE TABLE leaf (tree integer REFERENCES tree (id) DEFERRABLE INITIALLY DEFERRED)",
		} {
			if _, err := db.From(ctx).ExecContext(ctx, query); err != nil {
				return err
			}
		}
		return nil
	})
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			conns := dbtest.Open(t, template.Database(t, engine))
			grow := func(ctx context.Context) error {
				_, err := db.From(ctx).ExecContext(ctx, "INSERT INTO leaf VALUES (7)")
				return err
			}
			r := &recorder{TB: t}
			ctx := dbtest.Atomic(r, conns)
			err := grow(ctx)
			if engine == dbtest.Postgres {
				block := db.Atomic(ctx, grow) // a commit tells at once
				if !errors.Is(block, db.ErrForeignKey) {
					t.Errorf("the commit says %v, want ErrForeignKey", block)
				}
			}
			r.end()
			if text := strings.Join(r.errors, "\n"); err != nil || !strings.Contains(text, "could not be committed") || !strings.Contains(strings.ToLower(text), "foreign key") {
				t.Errorf("%v; the end says %q", err, text)
			}
		})
	}
}

// Two tests on one database do not see each other, and one that waits for the other
// is told for whom.
func TestAtomic_ATestThatWaitsForTheRowOfAnotherKnowsWhose(t *testing.T) {
	t.Parallel()
	settings := fruits().Database(t, dbtest.Postgres)
	first, second := dbtest.Open(t, settings), dbtest.Open(t, settings)
	one, two := &recorder{TB: t}, &recorder{TB: t, name: t.Name() + "/the_second"}
	ctx := dbtest.Atomic(one, first)
	if err := add(ctx, "pear"); err != nil {
		t.Fatal(err)
	}
	other := dbtest.Atomic(two, second)
	if got := names(other, t); got != "apple" {
		t.Errorf("the other sees %q", got)
	}
	ended := make(chan error, 1)
	go func() { ended <- add(other, "pear") }()
	await(t, func() bool { return two.logged() != "" })
	if text := two.logged(); !strings.Contains(text, "waits for "+t.Name()[:40]) || !strings.Contains(text, "INSERT") {
		t.Errorf("the log says %q", text)
	}
	one.end() // rolls back
	if err := <-ended; err != nil {
		t.Error(err)
	}
	two.end()
	if text := strings.Join(append(one.errors, two.errors...), "\n"); text != "" {
		t.Error(text)
	}
}

func TestAtomic_OnePoolAtATime(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, fruits().Database(t, dbtest.SQLite))
	dbtest.Atomic(t, conns)
	r := &recorder{TB: t}
	func() {
		defer func() { _ = recover() }()
		dbtest.Atomic(fatal{r}, conns)
	}()
	if text := strings.Join(r.errors, ""); !strings.Contains(text, "wrapped already, by "+t.Name()) {
		t.Errorf("%q", text)
	}
}
