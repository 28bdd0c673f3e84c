package dbtest_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

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

// Whoever waits until the deadline of the test is told for whom, while there is time.
func TestAtomic_AWaitEndsBeforeTheDeadlineOfTheTest(t *testing.T) {
	t.Parallel()
	template := fruits()
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			r := &recorder{TB: t, deadline: time.Now().Add(2 * time.Second)}
			conns := dbtest.Open(t, template.Database(t, engine))
			ctx := dbtest.Atomic(r, conns)
			err := db.Atomic(ctx, func(context.Context) error {
				// This one is not of the family, so that nobody knows that it waits for ever.
				err := conns.Run(t.Context(), "stranger", func(ctx context.Context) error { return add(ctx, "pear") })
				if !errors.Is(err, dbtest.ErrWrapped) || !strings.Contains(err.Error(), `"stranger" has waited for the block of "`+t.Name()) {
					t.Errorf("%v, want ErrWrapped with both names", err)
				}
				return nil
			})
			if errors.Is(err, dbtest.ErrWrapped) {
				t.Error(err)
			}
			r.end()
			if text := strings.Join(r.errors, "\n"); text != "" {
				t.Error(text)
			}
		})
	}
}

func TestAtomic_AWaitForTheRowOfAnotherTestEndsBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	settings := fruits().Database(t, dbtest.Postgres)
	one, two := &recorder{TB: t}, &recorder{TB: t, name: "the_second", deadline: time.Now().Add(4 * time.Second)}
	first, second := dbtest.Open(t, settings), dbtest.Open(t, settings)
	if err := add(dbtest.Atomic(one, first), "pear"); err != nil {
		t.Fatal(err)
	}
	dbtest.Atomic(two, second)
	err := second.Run(t.Context(), "waits", func(ctx context.Context) error { return add(ctx, "pear") })
	if err == nil || !strings.Contains(err.Error(), "the_second has waited for "+t.Name()[:40]) {
		t.Errorf("%v, want whose row it was", err)
	}
	two.end()
	one.end()
	if text := strings.Join(append(one.errors, two.errors...), "\n"); text != "" {
		t.Error(text)
	}
}
