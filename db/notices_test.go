package db_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// lineHere is the line that calls it, as places are written.
func lineHere() (file string, line int) {
	_, file, line, _ = runtime.Caller(1)
	return path.Join(path.Base(path.Dir(file)), path.Base(file)), line
}

// clock stands still until a test moves it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// noticing are connections whose notices the test can read, on a clock of its own.
func noticing(t *testing.T, settings db.Settings, debug bool) (*db.Connections, *logs, *clock) {
	t.Helper()
	log, now := &logs{}, &clock{now: time.Now()}
	return dbtest.Open(t, settings, db.Options{Logger: log.logger(), Notices: &db.Notices{Logger: log.logger(), Now: now.Now}, Debug: debug}), log, now
}

// all returns the entries that have all of the parts.
func (l *logs) all(parts ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, entry := range l.entries {
		missing := false
		for _, part := range parts {
			missing = missing || !strings.Contains(entry, part)
		}
		if !missing {
			found = append(found, entry)
		}
	}
	return found
}

// secret is a value that no log may have.
const secret = "hunter2-4711"

func expectNoSecret(t *testing.T, log *logs) {
	t.Helper()
	if text := log.String(); strings.Contains(text, secret) {
		t.Errorf("the log has a value: %s", text)
	}
}

// told fails unless the notice is there exactly so often, and has the parts.
func told(t *testing.T, log *logs, message string, times int, parts ...string) {
	t.Helper()
	entries := log.all(message)
	if len(entries) != times {
		t.Fatalf("%q is logged %d times, want %d: %s", message, len(entries), times, log)
	}
	if times > 0 {
		expectText(t, "the last "+message, entries[times-1], parts...)
	}
}

const slowMessage, lateMessage = "a statement is slow", "is used after its release"

func TestSlowStatement_IsLoggedOnceAMinuteAtItsPlaceWithoutItsValues(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings = kept(settings)
		settings.SlowStatement = time.Nanosecond // all are
		conns, log, now := noticing(t, settings, false)
		var at string
		ask := func(ctx context.Context, times int) error {
			for range times {
				file, line := lineHere()
				var got string
				if err := db.From(ctx).NewRaw("SELECT ? UNION ALL SELECT ? LIMIT 1", secret, secret).Scan(ctx, &got); err != nil {
					return err
				}
				at = fmt.Sprintf("at=%s:%d", file, line+2)
			}
			return nil
		}
		scope(t, conns, func(ctx context.Context, _ *db.Conn) error { return ask(ctx, 1000) })
		told(t, log, slowMessage, 1, "level=WARN", "alias=default", "holder=test", `statement="SELECT ? UNION ALL SELECT ? LIMIT ?"`, "duration=", "rows=1", at+"\n")
		now.pass(time.Minute)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			if err := ask(ctx, 2); err != nil {
				return err
			}
			told(t, log, slowMessage, 2, at+" repeated=999\n")
			_, line := lineHere()
			if _, err := conn.ExecContext(ctx, "CREATE TABLE told (word text)"); err != nil {
				return err
			}
			told(t, log, slowMessage, 3, fmt.Sprintf("at=db/notices_test.go:%d\n", line+1))
			_, line = lineHere()
			if _, err := conn.ExecContext(ctx, "INSERT INTO told VALUES (?), (?), (?)", secret, secret, secret); err != nil {
				return err
			}
			told(t, log, slowMessage, 4, `statement="INSERT INTO told VALUES (?), (?), (?)"`, "rows=3", fmt.Sprintf("at=db/notices_test.go:%d\n", line+1))
			return nil
		})
		expectNoSecret(t, log)
	})
}

// The default is for a site as it should be: nothing.
func TestSlowStatement_WhatIsQuickIsNotLogged(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings.SlowStatement = time.Hour
		conns, log, _ := noticing(t, settings, true)
		for range 20 {
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
				return db.Atomic(ctx, func(ctx context.Context) error { return exec(ctx, conn, "SELECT 1") })
			})
		}
		if entries := log.all("level=WARN"); entries != nil {
			t.Errorf("it says %s", entries)
		}
	})
}

func TestHoldIdleWarn_NamesTheLineThatTookTheConnection(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings = kept(settings)
		settings.HoldIdleWarn = time.Millisecond
		conns, log, now := noticing(t, settings, false)
		for i := range 2 {
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
				_, line := lineHere()
				if _, err := conn.ExecContext(ctx, "SELECT '"+secret+"'"); err != nil {
					return err
				}
				await(t, "the warning", func() bool { return len(log.all("is held idle")) == i+1 })
				told(t, log, "is held idle", i+1, "level=WARN", "holder=test", `last="SELECT ?"`, fmt.Sprintf("at=db/notices_test.go:%d\n", line+1))
				return nil
			})
			now.pass(time.Minute)
		}
		expectNoSecret(t, log)
	})
}

func TestLateUse_IsLoggedOnceAMinuteWithBothPlaces(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns, log, now := noticing(t, kept(settings), false)
		var at string
		late := func() {
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
				rows, err := conn.QueryContext(ctx, "SELECT ?", secret)
				if err != nil {
					return err
				}
				if err := db.Release(ctx); err != nil {
					return err
				}
				file, line := lineHere()
				if rows.Next() {
					t.Error("there is a row")
				}
				at = fmt.Sprintf("at=%s:%d", file, line+1)
				expectError(t, "the rows", rows.Err(), db.ErrReleased)
				return rows.Close()
			})
		}
		for range 100 { // each of them is cut off by its release, which takes a server's answer
			late()
		}
		told(t, log, lateMessage, 1, "level=WARN", "holder=test", "released=db/notices_test.go:", "reason=", at+"\n")
		told(t, log, "released with something open", 1, "level=WARN", "SELECT ?")
		now.pass(time.Minute)
		late()
		told(t, log, lateMessage, 2, at+" repeated=99\n")
		told(t, log, "released with something open", 2, "repeated=99\n")
		expectNoSecret(t, log)
	})
}

func TestLateUse_OfAPreparedStatement(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns, log, now := noticing(t, kept(settings), false)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			prepared, err := conn.PrepareContext(ctx, "SELECT '"+secret+"'")
			if err != nil {
				return err
			}
			defer prepared.Close()
			if err := db.Release(ctx); err != nil {
				return err
			}
			var at string
			late := func() {
				file, line := lineHere()
				_, err := prepared.ExecContext(ctx)
				at = fmt.Sprintf("at=%s:%d", file, line+1)
				expectError(t, "the statement", err, db.ErrReleased)
			}
			for range 1000 {
				late()
			}
			told(t, log, lateMessage, 1, "holder=test", "taken=db/notices_test.go:", "released=db/notices_test.go:", at+"\n")
			now.pass(time.Minute)
			late()
			told(t, log, lateMessage, 2, at+" repeated=999\n")
			return nil
		})
		expectNoSecret(t, log)
	})
}

// A goroutine that a task has left behind.
func TestLateUse_OfAScopeThatHasEnded(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns, log, now := noticing(t, kept(settings), false)
		var behind context.Context
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			behind = context.WithoutCancel(ctx) //nolint:fatcontext // that is the mistake
			return exec(ctx, conn, "SELECT 1")
		})
		var at string
		late := func() {
			file, line := lineHere()
			_, err := db.From(behind).ExecContext(behind, "SELECT ?", secret)
			at = file + ":" + strconv.Itoa(line+1)
			expectError(t, "a statement", err, db.ErrScopeEnded)
			expectText(t, "its error", err.Error(), at, `"test"`)
		}
		for range 1000 {
			late()
		}
		const message = "a request or task is over"
		told(t, log, message, 1, "level=WARN", "alias=default", "holder=test", "at="+at+"\n")
		now.pass(time.Minute)
		late()
		told(t, log, message, 2, "at="+at+" repeated=999\n")
		expectNoSecret(t, log)
	})
}

// A scope may be asked for a database for the first time when it is over: nobody would
// ever give the connection back.
func TestLateUse_AScopeThatHasEndedLeasesNothingAlsoWhereItNeverDid(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, kept(settings))
		ctx, sc := conns.NewScope(t.Context(), "over")
		if err := sc.End(); err != nil {
			t.Fatal(err)
		}
		expectError(t, "a statement", exec(ctx, db.From(ctx), "SELECT 1"), db.ErrScopeEnded)
		err := db.Atomic(ctx, func(ctx context.Context) error { return exec(ctx, db.From(ctx), "SELECT 1") })
		expectError(t, "a block", err, db.ErrScopeEnded)
		expect(t, "leases", stats(conns).Leases, 0)
	})
}

const repeatedMessage = "the same statement for one row after the other"

func TestRepeats_AreLoggedOnceAMinuteAtTheEndOfTheScopeWhileDebugging(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns, log, now := noticing(t, kept(settings), true)
		var at string
		loop := func(ctx context.Context, times int) error {
			for i := range times {
				file, line := lineHere()
				var got string
				if err := db.From(ctx).NewRaw("SELECT ? WHERE ? > -1", secret, i).Scan(ctx, &got); err != nil {
					return err
				}
				at = fmt.Sprintf("at=%s:%d", file, line+2)
			}
			return nil
		}
		for range 1000 {
			scope(t, conns, func(ctx context.Context, _ *db.Conn) error { return loop(ctx, 5) })
		}
		told(t, log, repeatedMessage, 1, "level=WARN", "alias=default", "holder=test", `statement="SELECT ? WHERE ? > -?"`, "count=5", "Relation", " IN", at+"\n")
		now.pass(time.Minute)
		scope(t, conns, func(ctx context.Context, _ *db.Conn) error { return loop(ctx, 7) })
		told(t, log, repeatedMessage, 2, "count=7", at+" repeated=999\n")
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			for range 5 {
				if err := exec(ctx, conn, "SELECT 2"); err != nil {
					return err
				}
			}
			return loop(ctx, 4)
		})
		told(t, log, repeatedMessage, 3, "count=5", `statement="SELECT ?"`, "at=db/helpers_test.go:")
		expectNoSecret(t, log)
	})
}

type numbered struct {
	ID int64 `bun:",pk"`
}

// Batches are one reading, blocks have to begin and end, and four are not many.
func TestRepeats_WhatIsAsItShouldBeIsNotLogged(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns, log, _ := noticing(t, kept(settings), true)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			rows := make([]numbered, 30)
			for i := range rows {
				rows[i].ID = int64(i + 1)
			}
			_, createErr := conn.NewCreateTable().Model((*numbered)(nil)).Exec(ctx)
			_, insertErr := conn.NewInsert().Model(&rows).Exec(ctx)
			return errors.Join(createErr, insertErr)
		})
		for _, mode := range []db.IterateMode{db.ModeKeyset, db.ModeSnapshot, db.ModeSpool} {
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
				n := 0
				for _, err := range db.Iterate[numbered](ctx, conn.NewSelect(), db.IterateOptions{Mode: mode, BatchSize: 2}) {
					if err != nil {
						return err
					}
					n++
				}
				expect(t, "rows", n, 30)
				return nil
			})
		}
		scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
			for i := range 20 {
				err := db.Atomic(ctx, func(ctx context.Context) error {
					if i < 4 {
						return exec(ctx, db.From(ctx), "SELECT 1")
					}
					return db.Atomic(ctx, func(context.Context) error { return nil })
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if entries := log.all("level=WARN"); entries != nil {
			t.Errorf("it says %s", entries)
		}
	})
}

func TestRepeats_AreNotCountedWithoutDebug(t *testing.T) {
	t.Parallel()
	conns, log, _ := noticing(t, kept(dbtest.Database(t, dbtest.SQLite)), false)
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		for range 100 {
			if err := exec(ctx, conn, "SELECT 1"); err != nil {
				return err
			}
		}
		return nil
	})
	if entries := log.all("level=WARN"); entries != nil {
		t.Errorf("it says %s", entries)
	}
}
