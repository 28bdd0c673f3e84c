package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
)

func (x *exam) transactions(t *testing.T) {
	conns := x.open(t, x.kept())
	count := func() (n int) {
		run(t, conns, func(ctx context.Context, conn *db.Conn) (err error) {
			n, err = one[int](ctx, conn, "SELECT count(*) FROM exam_tx")
			return err
		})
		return n
	}
	run(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return exec(ctx, conn, "CREATE TABLE exam_tx (id integer PRIMARY KEY)")
	})
	run(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			if !conn.InAtomicBlock() {
				t.Error("a transaction is no block")
			}
			if _, err := conn.BeginTx(context.WithoutCancel(t.Context()), nil); !errors.Is(err, db.ErrOutsideBlock) {
				t.Errorf("a second BeginTx that is not inside of it: %v, want ErrOutsideBlock", err)
			}
			return exec(ctx, tx, "INSERT INTO exam_tx (id) VALUES (1)")
		})
	})
	expect(t, "after a commit", count(), 1)
	failure := errors.New("changed my mind")
	err := conns.Run(t.Context(), "fails", func(ctx context.Context) error {
		return db.From(ctx).RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			return errors.Join(exec(ctx, tx, "INSERT INTO exam_tx (id) VALUES (2)"), failure)
		})
	})
	if !errors.Is(err, failure) {
		t.Errorf("RunInTx: %v, want %v", err, failure)
	}
	expect(t, "after an error", count(), 1)
	run(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			inner, err := tx.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			return errors.Join(exec(ctx, inner, "INSERT INTO exam_tx (id) VALUES (3)"), inner.Rollback(),
				exec(ctx, tx, "INSERT INTO exam_tx (id) VALUES (4)"))
		})
	})
	expect(t, "after a savepoint rolled back", count(), 2)
	expect(t, "connections opened", conns.Stats(db.DefaultAlias).Opened, 1)
}

func (x *exam) cancels(t *testing.T) {
	conns := x.open(t, x.kept())
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() {
			defer cancel()
			stopped <- underWay(t.Context(), conns, "endless")
		}()
		err := conns.Run(ctx, "cancelled", func(ctx context.Context) error {
			_, err := one[int](ctx, db.From(ctx), endless)
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the cancelled statement: %v, want context.Canceled", err)
		}
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		run(t, conns, func(ctx context.Context, conn *db.Conn) error {
			got, err := one[int](ctx, conn, "SELECT 7")
			expect(t, "the next statement", got, 7)
			return err
		})
	}
	expect(t, "connections opened", conns.Stats(db.DefaultAlias).Opened, 1)
	expect(t, "statements cancelled", conns.Stats(db.DefaultAlias).Canceled, 3)
}

// kill breaks the idle connections from outside, as the engine allows.
func (x *exam) kill(t *testing.T) {
	t.Helper()
	switch x.settings.Engine {
	case Postgres:
		Kill(t, x.settings)
	default: // another file of the same name
		contents, err := os.ReadFile(x.settings.Name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(x.settings.Name, x.settings.Name+".gone"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(x.settings.Name, contents, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (x *exam) peeks(t *testing.T) {
	if x.driver(t).Traits().Single {
		t.Log("memory has no other side that could die")
		return
	}
	settings := x.kept()
	if settings.Engine == SQLite { // so that the file has everything
		settings.Options = map[string]string{"journal_mode": "delete"}
	}
	conns := x.open(t, settings)
	for range 2 {
		run(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
		x.kill(t)
	}
	run(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
	stats := conns.Stats(db.DefaultAlias)
	expect(t, "found dead", stats.Dead, 2)
	expect(t, "connections opened", stats.Opened, 3)
	expect(t, "pings", stats.Pings, 0)
}

func (x *exam) resets(t *testing.T) {
	conns := x.open(t, x.kept())
	run(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return exec(ctx, conn, "CREATE TEMPORARY TABLE exam_temp (id integer)", "INSERT INTO exam_temp VALUES (1)")
	})
	err := conns.Run(t.Context(), "next", func(ctx context.Context) error {
		return exec(ctx, db.From(ctx), "SELECT * FROM exam_temp")
	})
	if err == nil {
		t.Error("a temporary table of one scope is there for the next")
	}
}

func (x *exam) classifies(t *testing.T) {
	d := x.driver(t)
	conns := x.open(t, x.kept())
	run(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return exec(ctx, conn,
			"CREATE TABLE exam_parent (id integer PRIMARY KEY)",
			"CREATE TABLE exam_child (id integer PRIMARY KEY, parent integer NOT NULL REFERENCES exam_parent (id), age integer CHECK (age >= 0))",
			"INSERT INTO exam_parent VALUES (1)",
			"INSERT INTO exam_child VALUES (1, 1, 0)")
	})
	for name, row := range map[string]struct {
		query string
		want  pool.Class
	}{
		"a double key":          {"INSERT INTO exam_child VALUES (1, 1, 0)", pool.Harmless},
		"a missing parent":      {"INSERT INTO exam_child VALUES (2, 9, 0)", pool.Harmless},
		"a null":                {"INSERT INTO exam_child VALUES (2, NULL, 0)", pool.Harmless},
		"a failed check":        {"INSERT INTO exam_child VALUES (2, 1, -1)", pool.Harmless},
		"a table twice":         {"CREATE TABLE exam_parent (id integer)", pool.Doubtful},
		"a syntax error":        {"SELECT 1 +", pool.Doubtful},
		"a table that is not":   {"SELECT * FROM exam_nowhere", pool.Doubtful},
		"a column that is not":  {"SELECT nothing FROM exam_parent", pool.Doubtful},
		"no error that we know": {"", pool.Foreign},
	} {
		err := errors.New("something else")
		if row.query != "" {
			err = conns.Run(t.Context(), name, func(ctx context.Context) error { return exec(ctx, db.From(ctx), row.query) })
		}
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		expect(t, name, d.Classify(err), row.want)
	}
	expect(t, "no rows", d.Classify(sql.ErrNoRows), pool.Foreign)
	expect(t, "connections opened", conns.Stats(db.DefaultAlias).Opened, 1)
}

func (x *exam) busy(t *testing.T) {
	for name, debug := range map[string]bool{"after a second": false, "at once when debugging": true} {
		t.Run(name, func(t *testing.T) {
			conns := x.open(t, x.kept(), db.Options{Debug: debug})
			run(t, conns, func(ctx context.Context, conn *db.Conn) error {
				rows, err := conn.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
				if err != nil {
					return err
				}
				defer rows.Close()
				began := time.Now()
				_, err = one[int](ctx, conn, "SELECT 3")
				took := time.Since(began)
				refused, ok := errors.AsType[*db.BusyError](err)
				if !ok {
					t.Fatalf("%v, want a BusyError", err)
				}
				if !strings.Contains(refused.Query, "UNION ALL") || refused.Open == refused.Here || !strings.Contains(refused.Here, ".go:") {
					t.Errorf("it does not say who: %v", refused)
				}
				if early := took < time.Second; early != debug {
					t.Errorf("it took %s", took)
				}
				n := 0
				for rows.Next() {
					n++
				}
				expect(t, "the rows are untouched", n, 2)
				return rows.Err()
			})
		})
	}
}

func (x *exam) leaks(t *testing.T) {
	conns := x.open(t, x.kept())
	run(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return exec(ctx, conn, "CREATE TABLE exam_leak (id integer PRIMARY KEY)")
	})
	for name, leak := range map[string]func(ctx context.Context, conn *db.Conn) error{
		"rows": func(ctx context.Context, conn *db.Conn) error {
			_, err := conn.QueryContext(ctx, "SELECT 1")
			return err
		},
		"endless row": func(ctx context.Context, conn *db.Conn) error { conn.QueryRowContext(ctx, "SELECT 1"); return nil },
		"statement": func(ctx context.Context, conn *db.Conn) error {
			_, err := conn.PrepareContext(ctx, "SELECT 1")
			return err
		},
		"raw begin": func(ctx context.Context, conn *db.Conn) error {
			return exec(ctx, conn, "BEGIN", "INSERT INTO exam_leak VALUES (1)")
		},
		"transaction": func(ctx context.Context, conn *db.Conn) error {
			tx, err := conn.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			return exec(ctx, tx, "INSERT INTO exam_leak VALUES (1)")
		},
	} {
		err := conns.Run(t.Context(), name, func(ctx context.Context) error { return leak(ctx, db.From(ctx)) })
		if err != nil && !errors.Is(err, db.ErrInAtomicBlock) {
			t.Errorf("%s: %v", name, err)
		}
		run(t, conns, func(ctx context.Context, conn *db.Conn) error {
			n, err := one[int](ctx, conn, "SELECT count(*) FROM exam_leak")
			expect(t, name+": rows left behind", n, 0)
			return err
		})
	}
	expect(t, "connections opened", conns.Stats(db.DefaultAlias).Opened, 1)
	expect(t, "quarantined", conns.Stats(db.DefaultAlias).Quarantined, 0)
}

func (x *exam) single(t *testing.T) {
	settings := x.settings
	settings.MaxConnections = 4
	single := x.driver(t).Traits().Single
	conns := x.open(t, settings)
	run(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return errors.Join(exec(ctx, conn, "CREATE TABLE exam_single (id integer)"), conn.Close())
	})
	run(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return exec(ctx, conn, "INSERT INTO exam_single VALUES (1)")
	})
	run(t, conns, func(ctx context.Context, conn *db.Conn) error {
		n, err := one[int](ctx, conn, "SELECT count(*) FROM exam_single")
		expect(t, "rows that the scope before has written", n, 1)
		return err
	})
	if stats := conns.Stats(db.DefaultAlias); single {
		expect(t, "connections at most", stats.Max, 1)
		expect(t, "connections opened", stats.Opened, 1)
	} else {
		expect(t, "with CONN_MAX_AGE 0 each scope opened one", stats.Opened, 3)
		expect(t, "open", stats.Open, 0)
	}
}
