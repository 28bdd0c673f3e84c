package db_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(fileToLock); path != "" {
		if err := lockFile(path); err != nil {
			panic(err)
		}
		return
	}
	if err := names.takeOver(); err != nil {
		panic(err)
	}
	dbtest.Main(m)
}

// kept are settings of connections that scopes hand on to each other.
func kept(s db.Settings) db.Settings {
	s.ConnMaxAge = db.Forever
	return s
}

// onlyOne are settings of one connection that every scope gets.
func onlyOne(s db.Settings) db.Settings {
	s = kept(s)
	s.MaxConnections = 1
	return s
}

// scope runs fn in a scope and fails the test with its error.
func scope(t testing.TB, conns *db.Connections, fn func(ctx context.Context, conn *db.Conn) error) {
	t.Helper()
	if err := try(t.Context(), conns, fn); err != nil {
		t.Fatal(err)
	}
}

func try(ctx context.Context, conns *db.Connections, fn func(ctx context.Context, conn *db.Conn) error) error {
	return conns.Run(ctx, "test", func(ctx context.Context) error { return fn(ctx, db.From(ctx)) })
}

func exec(ctx context.Context, conn bun.IConn, queries ...string) error {
	for _, query := range queries {
		if _, err := conn.ExecContext(ctx, query); err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
	}
	return nil
}

func one[V any](ctx context.Context, conn bun.IConn, query string, args ...any) (value V, err error) {
	err = conn.QueryRowContext(ctx, query, args...).Scan(&value)
	return value, err
}

// backend is the process number of the server's side of the connection.
func backend(t testing.TB, conns *db.Connections) (pid int) {
	t.Helper()
	scope(t, conns, func(ctx context.Context, conn *db.Conn) (err error) {
		pid, err = one[int](ctx, conn, "SELECT pg_backend_pid()")
		return err
	})
	return pid
}

func stats(conns *db.Connections) db.Stats { return conns.Stats(db.DefaultAlias) }

func expect[V comparable](t testing.TB, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func expectError(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func expectText(t testing.TB, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s does not say %q: %s", what, part, text)
		}
	}
}

// within fails the test when fn takes longer than a release may, with room for a
// busy machine.
func within(t testing.TB, limit time.Duration, what string, fn func()) {
	t.Helper()
	began := time.Now()
	fn()
	if took := time.Since(began); took > limit+limit/2 {
		t.Errorf("%s took %s, want at most %s", what, took, limit)
	}
}

// await polls until the condition holds.
func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !condition() {
		select {
		case <-timeout:
			t.Fatalf("still not: %s", what)
		case <-again.C:
		}
	}
}

// awaitStatement waits until a statement whose text begins so is on the connection.
func awaitStatement(t testing.TB, conns *db.Connections, text string) {
	t.Helper()
	await(t, "running "+text, func() bool {
		for _, h := range conns.Holders() {
			if h.Open && strings.HasPrefix(h.LastStatement, text) {
				return true
			}
		}
		return false
	})
}

// endless runs until it is stopped, on both engines.
const endless = "WITH RECURSIVE endless(i) AS (SELECT 1 UNION ALL SELECT i FROM endless) SELECT count(*) FROM endless"

// manyRows has more rows than any buffer on the way.
const manyRows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000000) SELECT i FROM n"

// logs is a logger that remembers.
type logs struct {
	mu      sync.Mutex
	entries []string
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, nil))
}

func (l *logs) Write(entry []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, string(entry))
	return len(entry), nil
}

// find returns the first entry that has all of the parts.
func (l *logs) find(parts ...string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, entry := range l.entries {
		missing := 0
		for _, part := range parts {
			if !strings.Contains(entry, part) {
				missing++
			}
		}
		if missing == 0 {
			return entry
		}
	}
	return ""
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.entries, "")
}
