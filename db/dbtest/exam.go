package dbtest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
)

// TestEngine is the exam that every engine sits: what a site may rely on, whatever
// ENGINE says. The settings are those of a private, empty database that nobody else
// uses. Its subtests say what is expected.
func TestEngine(t *testing.T, engine db.Engine, settings db.Settings) {
	t.Helper()
	settings.Engine = engine.Name()
	x := &exam{engine: engine, settings: settings}
	for _, part := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"opens with the first statement", x.opens},
		{"refuses wrong settings before it opens anything", x.refuses},
		{"runs statements", x.statements},
		{"gives values back as they were", x.roundTrip},
		{"commits and rolls back", x.transactions},
		{"cancels a statement and keeps the connection", x.cancels},
		{"finds a dead connection without a round trip", x.peeks},
		{"takes session state back", x.resets},
		{"knows what an error means for the connection", x.classifies},
		{"never interleaves statements", x.busy},
		{"gives a connection back whatever is left open", x.leaks},
		{"is one connection in memory", x.single},
	} {
		t.Run(part.name, part.test)
	}
}

type exam struct {
	engine   db.Engine
	settings db.Settings
}

// kept are the settings of connections that scopes hand on to each other.
func (x *exam) kept() db.Settings {
	s := x.settings
	s.ConnMaxAge = db.Forever
	s.MaxConnections = 1
	return s
}

func (x *exam) open(t *testing.T, settings db.Settings, options ...db.Options) *db.Connections {
	t.Helper()
	o := db.Options{}
	if len(options) > 0 {
		o = options[0]
	}
	o.Engines = []db.Engine{x.engine}
	return Open(t, settings, o)
}

// driver opens the engine below the pool, for what only it knows.
func (x *exam) driver(t *testing.T) pool.Driver {
	t.Helper()
	d, err := x.engine.Open(db.DefaultAlias, x.settings.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// run runs fn in a scope and fails the test with its error.
func run(t *testing.T, conns *db.Connections, fn func(ctx context.Context, conn *db.Conn) error) {
	t.Helper()
	err := conns.Run(t.Context(), t.Name(), func(ctx context.Context) error { return fn(ctx, db.From(ctx)) })
	if err != nil {
		t.Fatal(err)
	}
}

func exec(ctx context.Context, conn bun.IConn, queries ...string) error {
	for _, query := range queries {
		if _, err := conn.ExecContext(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

// one reads one value.
func one[V any](ctx context.Context, conn bun.IConn, query string, args ...any) (value V, err error) {
	err = conn.QueryRowContext(ctx, query, args...).Scan(&value)
	return value, err
}

func expect[V comparable](t *testing.T, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// endless is a statement that runs until it is stopped, and says so in its text.
const endless = "WITH RECURSIVE endless(i) AS (SELECT 1 UNION ALL SELECT i FROM endless) SELECT count(*) FROM endless"

// underWay waits until a statement with the text is running or has rows open.
func underWay(ctx context.Context, conns *db.Connections, text string) error {
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		for _, h := range conns.Holders() {
			if h.Open && strings.Contains(h.LastStatement, text) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(errors.New("dbtest: nobody runs "+text), ctx.Err())
		case <-again.C:
		}
	}
}

func (x *exam) opens(t *testing.T) {
	conns := x.open(t, x.settings)
	run(t, conns, func(ctx context.Context, conn *db.Conn) error {
		expect(t, "opened before the first statement", conns.Stats(db.DefaultAlias).Opened, 0)
		if conn.IsUsable(ctx) {
			t.Error("a connection that is not open is usable")
		}
		got, err := one[int](ctx, conn, "SELECT 42")
		expect(t, "the answer", got, 42)
		expect(t, "opened by it", conns.Stats(db.DefaultAlias).Opened, 1)
		if !conn.IsUsable(ctx) {
			t.Error("an open connection is not usable")
		}
		return err
	})
	ctx, cancel := cleanup()
	defer cancel()
	if err := conns.Close(ctx); err != nil {
		t.Error(err)
	}
	expect(t, "open after Close", conns.Stats(db.DefaultAlias).Open, 0)
	err := conns.Run(t.Context(), "late", func(ctx context.Context) error { return db.From(ctx).EnsureConnection(ctx) })
	if !errors.Is(err, db.ErrClosed) {
		t.Errorf("a statement after Close: %v, want ErrClosed", err)
	}
}

func (x *exam) refuses(t *testing.T) {
	for name, spoil := range map[string]func(*db.Settings){
		"without a name":           func(s *db.Settings) { s.Name = "" },
		"with a NUL in the name":   func(s *db.Settings) { s.Name = "a\x00b" },
		"with a malformed option":  func(s *db.Settings) { s.Options = map[string]string{"no such thing!": "1"} },
		"with a negative age":      func(s *db.Settings) { s.ConnMaxAge = -time.Minute },
		"with an unknown lease":    func(s *db.Settings) { s.ConnLease = "day" },
		"with a port out of range": func(s *db.Settings) { s.Port = 1 << 17 },
	} {
		settings := x.settings
		spoil(&settings)
		_, err := db.Open(map[string]db.Settings{db.DefaultAlias: settings}, db.Options{Engines: []db.Engine{x.engine}})
		wrong, ok := errors.AsType[*db.SettingsError](err)
		if !ok {
			t.Errorf("%s: %v, want a SettingsError", name, err)
			continue
		}
		expect(t, name+": alias", wrong.Alias, db.DefaultAlias)
		if wrong.Key == "" || wrong.Hint == "" {
			t.Errorf("%s: no key or no hint: %v", name, err)
		}
	}
}

func (x *exam) statements(t *testing.T) {
	conns := x.open(t, x.kept())
	run(t, conns, func(ctx context.Context, conn *db.Conn) error {
		if err := exec(ctx, conn, "CREATE TABLE exam_statements (id integer PRIMARY KEY, name text)"); err != nil {
			return err
		}
		res, err := conn.ExecContext(ctx, "INSERT INTO exam_statements (id, name) VALUES (?, ?), (?, ?)", 1, "it's 100 %", 2, "a \\ and a ?")
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		expect(t, "rows affected", n, 2)
		name, err := one[string](ctx, conn, "SELECT name FROM exam_statements WHERE id = ?", 1)
		if err != nil {
			return err
		}
		expect(t, "bound text", name, "it's 100 %")
		// Without arguments nothing is replaced: Django's test_paramless_no_escaping.
		if name, err = one[string](ctx, conn, "SELECT name FROM exam_statements WHERE name LIKE '%?'"); err != nil {
			return err
		}
		expect(t, "text as it is", name, "a \\ and a ?")
		return x.reads(ctx, t, conn)
	})
}

func (x *exam) reads(ctx context.Context, t *testing.T, conn *db.Conn) error {
	rows, err := conn.QueryContext(ctx, "SELECT id FROM exam_statements ORDER BY id")
	if err != nil {
		return err
	}
	defer rows.Close()
	var ids []int
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, id)
	}
	expect(t, "rows", len(ids), 2)
	if err := rows.Err(); err != nil {
		return err
	}
	stmt, err := conn.PrepareContext(ctx, "SELECT count(*) FROM exam_statements")
	if err != nil {
		return err
	}
	var count int
	if err := stmt.QueryRowContext(ctx).Scan(&count); err != nil {
		return err
	}
	expect(t, "a prepared statement", count, 2)
	return stmt.Close()
}
