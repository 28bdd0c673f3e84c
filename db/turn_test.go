package db_test

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

// notebook opens a SQLite file with a table to write into.
func notebook(t *testing.T, change func(*db.Settings)) *db.Connections {
	t.Helper()
	settings := kept(dbtest.Database(t, dbtest.SQLite))
	settings.AcquireTimeout = time.Minute
	settings.MaxConnections = 20
	if change != nil {
		change(&settings)
	}
	conns := dbtest.Open(t, settings)
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return exec(ctx, conn, "CREATE TABLE notes (n integer)")
	})
	return conns
}

func jot(ctx context.Context, n int) error {
	_, err := db.From(ctx).ExecContext(ctx, "INSERT INTO notes VALUES (?)", n)
	return err
}

// writing holds the turn in a block of another scope until end is called.
func writing(t *testing.T, conns *db.Connections, name string) (end func()) {
	t.Helper()
	begun, over, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- conns.Run(t.Context(), name, func(ctx context.Context) error {
			return db.Atomic(ctx, func(ctx context.Context) error {
				err := jot(ctx, 0)
				close(begun)
				<-over
				return err
			})
		})
	}()
	<-begun
	return func() {
		close(over)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// awaitWriters waits until so many want to write.
func awaitWriters(t *testing.T, conns *db.Connections, n int) {
	t.Helper()
	await(t, "in the queue for writing", func() bool { return stats(conns).Writers == n })
}

func TestTurn_WritersOfSQLiteAreServedInTheOrderOfTheirComing(t *testing.T) {
	t.Parallel()
	dbtest.Goroutines(t)
	conns := notebook(t, nil)
	end := writing(t, conns, "import")
	var all sync.WaitGroup
	for n := 1; n <= 12; n++ {
		all.Go(func() {
			var err error
			if n%2 == 0 {
				err = try(t.Context(), conns, func(ctx context.Context, _ *db.Conn) error { return jot(ctx, n) })
			} else {
				err = conns.Run(t.Context(), "block", func(ctx context.Context) error {
					return db.Atomic(ctx, func(ctx context.Context) error { return jot(ctx, n) })
				})
			}
			if err != nil {
				t.Error(err)
			}
		})
		awaitWriters(t, conns, n)
	}
	for _, w := range conns.Snapshot(db.DefaultAlias).Waiters {
		if !w.Writes || w.Name != "test" && w.Name != "block" || w.Waited <= 0 || !strings.HasPrefix(w.At, "db/turn_test.go:") {
			t.Errorf("who waits is told to be %+v", w)
		}
	}
	// Who reads waits for nobody.
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		n, err := one[int](ctx, conn, "SELECT count(*) FROM notes")
		expect(t, "rows that others see", n, 0)
		return err
	})
	end()
	all.Wait()
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		var written []int
		if err := conn.NewSelect().Table("notes").Column("n").Order("rowid").Scan(ctx, &written); err != nil {
			return err
		}
		for i, n := range written {
			if i != n {
				t.Fatalf("written in the order %v", written)
			}
		}
		expect(t, "written", len(written), 13)
		return nil
	})
}

func TestTurn_WhoWaitsInVainIsToldWhoWrites(t *testing.T) {
	t.Parallel()
	conns := notebook(t, func(s *db.Settings) { s.AcquireTimeout = 3 * time.Second })
	defer writing(t, conns, "POST /import")()
	err := try(t.Context(), conns, func(ctx context.Context, _ *db.Conn) error { return jot(ctx, 1) })
	expectError(t, "an insert", err, db.ErrUnavailable)
	e, ok := errors.AsType[*db.AcquireError](err)
	if !ok {
		t.Fatalf("%T: %v", err, err)
	}
	expect(t, "kind", string(e.Kind), "locked")
	if e.Waited < 3*time.Second {
		t.Errorf("it waited %s", e.Waited)
	}
	if len(e.Holders) != 1 || e.Holders[0].Name != "POST /import" || !e.Holders[0].InAtomicBlock {
		t.Errorf("holders %+v", e.Holders)
	}
	expectText(t, "the error", err.Error(), `"default"`, "no turn to write after", "POST /import", "in a transaction", "turn_test.go:")
	if strings.Contains(err.Error(), "database is locked") {
		t.Errorf("it reads as SQLite's: %v", err)
	}
	expect(t, "who waits", stats(conns).Writers, 0)
}

func TestTurn_EndsHoweverItsBlockEnds(t *testing.T) {
	t.Parallel()
	conns := notebook(t, nil)
	left := errors.New("left")
	for name, leave := range map[string]func(ctx context.Context, cancel context.CancelFunc) error{
		"an error":   func(context.Context, context.CancelFunc) error { return left },
		"a rollback": func(context.Context, context.CancelFunc) error { return db.ErrRollback },
		"a cancel":   func(_ context.Context, cancel context.CancelFunc) error { cancel(); return nil },
		"a panic":    func(context.Context, context.CancelFunc) error { panic(left) },
		"a failure": func(ctx context.Context, _ context.CancelFunc) error {
			return exec(ctx, db.From(ctx), "INSERT INTO nothing VALUES (1)")
		},
		"a commit": func(context.Context, context.CancelFunc) error { return nil },
		"rows left open": func(ctx context.Context, _ context.CancelFunc) error {
			rows, err := db.From(ctx).QueryContext(ctx, "INSERT INTO notes VALUES (7), (8) RETURNING n")
			if err == nil && !rows.Next() {
				err = rows.Err()
			}
			return err
		},
	} {
		func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			defer func() { _ = recover() }()
			_ = conns.Run(ctx, name, func(ctx context.Context) error { // how it ends is not the question here
				return db.Atomic(ctx, func(ctx context.Context) error {
					if err := jot(ctx, 1); err != nil {
						t.Error(err)
					}
					return leave(ctx, cancel)
				})
			})
		}()
		if err := try(t.Context(), conns, func(ctx context.Context, _ *db.Conn) error { return jot(ctx, 2) }); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
	expect(t, "refused", stats(conns).Refused, 0)
}

func TestTurn_WhoWaitsLeavesWithItsContextOrItsScope(t *testing.T) {
	t.Parallel()
	dbtest.Goroutines(t)
	conns := notebook(t, nil)
	end := writing(t, conns, "import")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- try(ctx, conns, func(ctx context.Context, _ *db.Conn) error { return jot(ctx, 1) }) }()
	scoped, sc := conns.NewScope(t.Context(), "given back")
	go func() { ended <- jot(scoped, 2) }()
	awaitWriters(t, conns, 2)
	cancel()
	expectError(t, "one whose client has left", <-ended, context.Canceled)
	if err := sc.End(); err != nil {
		t.Error(err)
	}
	expectError(t, "one whose scope has ended", <-ended, db.ErrReleased)
	expect(t, "quarantined", stats(conns).Quarantined, 0)
	awaitWriters(t, conns, 0)
	end()
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		n, err := one[int](ctx, conn, "SELECT count(*) FROM notes")
		expect(t, "rows", n, 1)
		return err
	})
}

func TestTurn_ABlockWhoseTaskWantsToWriteIsASelfDeadlock(t *testing.T) {
	t.Parallel()
	conns := notebook(t, nil)
	scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
		return db.Atomic(ctx, func(ctx context.Context) error {
			if err := jot(ctx, 1); err != nil {
				return err
			}
			err := db.Run(ctx, "task", func(ctx context.Context) error { return jot(ctx, 2) })
			expectError(t, "the task", err, db.ErrSelfDeadlock)
			expectText(t, "its error", err.Error(), "has begun to write at", "waits at", "wants to write at", "turn_test.go:")
			// One that reads has nothing to wait for.
			return db.Run(ctx, "reader", func(ctx context.Context) error {
				_, err := one[int](ctx, db.From(ctx), "SELECT count(*) FROM notes")
				return err
			})
		})
	})
}

// Everything at once: blocks, statements, readers, cancels. Every turn is somebody's, and
// in the end nobody's.
func TestTurn_ManyWritersLoseNothing(t *testing.T) {
	t.Parallel()
	dbtest.Goroutines(t)
	conns := notebook(t, func(s *db.Settings) { s.MaxConnections, s.Options = 6, map[string]string{"synchronous": "off"} })
	var all sync.WaitGroup
	var mu sync.Mutex
	stored := 0
	for w := range 12 {
		all.Go(func() {
			for n := range 40 {
				ctx, cancel := context.WithCancel(t.Context())
				if n%5 == 4 {
					time.AfterFunc(time.Duration(w*n%7)*time.Millisecond, cancel)
				}
				err := conns.Run(ctx, "writer", func(ctx context.Context) error {
					if n%2 == 0 {
						return jot(ctx, n)
					}
					return db.Atomic(ctx, func(ctx context.Context) error { return jot(ctx, n) })
				})
				mu.Lock()
				if err == nil {
					stored++
				} else if n%5 != 4 {
					t.Errorf("%d: %v", n, err)
				}
				mu.Unlock()
				cancel()
			}
		})
	}
	all.Wait()
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		n, err := one[int](ctx, conn, "SELECT count(*) FROM notes")
		if n < stored || n > stored+12*8 { // a statement that was cancelled may have been done
			t.Errorf("%d rows are stored, and %d were told to be", n, stored)
		}
		return err
	})
	expect(t, "who waits", stats(conns).Writers, 0)
}
