package db_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// state is what a request may leave on a PostgreSQL session, and how the next
// would see it.
var state = map[string]struct{ leave, look, want string }{
	"a setting":             {"SET work_mem = '7MB'", "SHOW work_mem", "4MB"},
	"a set_config":          {"SELECT set_config('work_mem', '7MB', false)", "SHOW work_mem", "4MB"},
	"a search path":         {"SET search_path = pg_catalog", "SHOW search_path", `"$user", public`},
	"a role":                {"SET ROLE pg_monitor", "SELECT current_user::text", "postgres"},
	"a temporary table":     {"CREATE TEMP TABLE remains (id integer)", "SELECT count(*)::text FROM pg_class WHERE relname = 'remains'", "0"},
	"an advisory lock":      {"SELECT pg_advisory_lock(7)", "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()", "0"},
	"a listener":            {"LISTEN channel", "SELECT count(*)::text FROM pg_listening_channels()", "0"},
	"a cursor":              {"BEGIN; DECLARE remains CURSOR WITH HOLD FOR SELECT 1; COMMIT", "SELECT count(*)::text FROM pg_cursors WHERE name = 'remains'", "0"},
	"a prepared statement":  {"PREPARE remains AS SELECT 1", "SELECT count(*)::text FROM pg_prepared_statements", "0"},
	"a transaction as text": {"BEGIN; CREATE TABLE remains (id integer)", "SELECT count(*)::text FROM pg_class WHERE relname = 'remains'", "0"},
}

func TestF25_NothingThatAScopeLeavesReachesTheNext(t *testing.T) {
	t.Parallel()
	for name, row := range state {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conns := dbtest.Open(t, onlyOne(dbtest.Database(t, dbtest.Postgres)), db.Options{Logger: new(logs).logger()})
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
				for query := range strings.SplitSeq(row.leave, "; ") {
					if err := exec(ctx, conn, query); err != nil {
						return err
					}
				}
				return nil
			})
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
				got, err := one[string](ctx, conn, row.look)
				expect(t, row.look, got, row.want)
				return err
			})
			expect(t, "connections opened", stats(conns).Opened, 1)
		})
	}
}

// The same of what is left from within a block, and by the driver's own connection, of
// which no text is seen.
func TestSession_WhicheverWayItWasLeft(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, onlyOne(dbtest.Database(t, dbtest.Postgres)), db.Options{Logger: new(logs).logger()})
	byRaw := func(query string) func(context.Context) error {
		return func(ctx context.Context) error { return pgxExec(ctx, query) }
	}
	for name, row := range state {
		inner := strings.TrimSuffix(strings.TrimPrefix(row.leave, "BEGIN; "), "; COMMIT")
		ways := map[string]func(context.Context) error{
			"a block": func(ctx context.Context) error {
				return db.Atomic(ctx, func(ctx context.Context) error { return exec(ctx, db.From(ctx), inner) })
			},
			"a BeginTx": func(ctx context.Context) error {
				tx, err := db.From(ctx).BeginTx(ctx, nil)
				if err != nil {
					return err
				}
				return errors.Join(exec(ctx, tx, inner), tx.Commit())
			},
			"a Raw in a block": func(ctx context.Context) error { return db.Atomic(ctx, byRaw(inner)) },
			"a Raw": func(ctx context.Context) error {
				for query := range strings.SplitSeq(row.leave, "; ") {
					if err := byRaw(query)(ctx); err != nil {
						return err
					}
				}
				return nil
			},
		}
		for way, leave := range ways {
			if name == "a transaction as text" && way != "a Raw" {
				continue // a block commits it
			}
			scope(t, conns, func(ctx context.Context, _ *db.Conn) error { return leave(ctx) })
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
				got, err := one[string](ctx, conn, row.look)
				expect(t, name+" of "+way+": "+row.look, got, row.want)
				return err
			})
		}
	}
	expect(t, "connections opened", stats(conns).Opened, 1)
}

// The lock must be free when its holder gives back, not when the next one comes.
func TestF25_AnAdvisoryLockIsFreeWhileTheConnectionIdles(t *testing.T) {
	t.Parallel()
	settings := dbtest.Database(t, dbtest.Postgres)
	conns := dbtest.Open(t, onlyOne(settings))
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT pg_advisory_lock(7)") })
	expect(t, "idle", stats(conns).Idle, 1)
	rows, err := dbtest.Server(t).Query(t.Context(), settings.Name, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "locks", rows[0][0], "0")
}

func TestSession_ConnResetSaysWhenASessionIsReset(t *testing.T) {
	t.Parallel()
	for reset, want := range map[db.Reset]string{
		db.ResetAuto: "4MB", db.ResetAlways: "4MB", db.ResetRollback: "7MB", db.ResetNone: "7MB",
	} {
		settings := onlyOne(dbtest.Database(t, dbtest.Postgres))
		settings.ConnReset = reset
		conns := dbtest.Open(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SET work_mem = '7MB'") })
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			got, err := one[string](ctx, conn, "SHOW work_mem")
			expect(t, string(reset), got, want)
			return err
		})
	}
}

func TestSession_OnConnectPreparesEachNewSessionAndEachThatWasReset(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		var calls atomic.Int64
		look := "SELECT id FROM prepared"
		conns := dbtest.Open(t, onlyOne(settings), db.Options{OnConnect: func(ctx context.Context, alias string, session bun.IConn) error {
			calls.Add(1)
			expect(t, "alias", alias, "default")
			return exec(ctx, session, "CREATE TEMP TABLE prepared (id integer)", "INSERT INTO prepared VALUES (42)")
		}})
		see := func(change ...string) {
			t.Helper()
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
				got, err := one[int](ctx, conn, look)
				expect(t, "what OnConnect has prepared", got, 42)
				return errors.Join(err, exec(ctx, conn, change...))
			})
		}
		see()
		see()
		expect(t, "calls for one session", calls.Load(), 1)
		see("CREATE TEMP TABLE dirt (id integer)")
		see()
		expect(t, "calls after a reset", calls.Load(), 2)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return errors.Join(exec(ctx, conn, "SELECT 1"), conn.Close())
		})
		see()
		expect(t, "calls after a new session", calls.Load(), 3)
		expect(t, "leases that only OnConnect had", len(conns.Holders()), 0)
	})
}

func TestSession_OnConnectThatFailsOrLeavesRowsOpenFailsTheAcquire(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		failure := errors.New("no such tenant")
		for name, row := range map[string]struct {
			onConnect func(ctx context.Context, session bun.IConn) error
			text      string
		}{
			"fails":            {func(context.Context, bun.IConn) error { return failure }, "no such tenant"},
			"leaves rows open": {func(ctx context.Context, s bun.IConn) error { _, err := s.QueryContext(ctx, "SELECT 1"); return err }, "left the rows of"},
			"asks nonsense":    {func(ctx context.Context, s bun.IConn) error { return exec(ctx, s, "NONSENSE") }, "NONSENSE"},
		} {
			conns := dbtest.Open(t, settings, db.Options{OnConnect: func(ctx context.Context, _ string, s bun.IConn) error { return row.onConnect(ctx, s) }})
			err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
			expectError(t, name, err, db.ErrUnavailable)
			if err != nil {
				expectText(t, name, err.Error(), row.text)
			}
			expect(t, name+": connections open", stats(conns).Open, 0)
		}
	})
}

func TestF27_ATransactionAsTextIsRolledBackAndLogged(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		var log logs
		conns := dbtest.Open(t, onlyOne(settings), db.Options{Logger: log.logger()})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return exec(ctx, conn, "CREATE TABLE raw (id integer)")
		})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return exec(ctx, conn, "BEGIN", "INSERT INTO raw VALUES (1)")
		})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			n, err := one[int](ctx, conn, "SELECT count(*) FROM raw")
			expect(t, "rows", n, 0)
			return err
		})
		if log.find("rolled back a transaction", "INSERT INTO raw") == "" {
			t.Errorf("it is not logged:\n%s", &log)
		}
	})
}

// What OPTIONS say are startup parameters, which a reset comes back to; what OnConnect
// sets is set again.
func TestF28_WhatIsConfiguredSurvivesTheReset(t *testing.T) {
	t.Parallel()
	settings := onlyOne(dbtest.Database(t, dbtest.Postgres))
	settings.Options["search_path"] = "shop, public"
	conns := dbtest.Open(t, settings, db.Options{OnConnect: func(ctx context.Context, _ string, session bun.IConn) error {
		return exec(ctx, session, "SET ROLE pg_monitor")
	}})
	for range 2 {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			for look, want := range map[string]string{"SHOW search_path": "shop, public", "SELECT current_user::text": "pg_monitor"} {
				got, err := one[string](ctx, conn, look)
				if err != nil {
					return err
				}
				expect(t, look, got, want)
			}
			return exec(ctx, conn, "SET search_path = pg_catalog", "RESET ALL", "RESET ROLE")
		})
	}
	expect(t, "connections opened", stats(conns).Opened, 1)
}
