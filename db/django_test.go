package db_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// Tests that Django has too, under its names; numbers are those of the list in
// which each of them is accounted for.

// Django: backends.base.test_base.DatabaseWrapperTests.test_repr (CN-001).
func TestDatabaseWrapper_Repr(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.OpenAll(t, map[string]db.Settings{"default": settings, "other": settings})
		ctx, sc := conns.NewScope(t.Context(), "/repr")
		defer sc.End()
		expectText(t, "the text", db.From(ctx).String(), settings.Engine, "default")
		expectText(t, "the text of another alias", db.Using(ctx, "other").String(), settings.Engine, "other")
		expectText(t, "the text without a scope", db.Using(t.Context(), "other").String(), "other")
	})
}

// Django: backends.base.test_base.DatabaseWrapperLoggingTests.test_commit_debug_log
// (CN-007). The log of queries is ours alone: the logger does not repeat it.
func TestDatabaseWrapperLogging_CommitDebugLog(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings, db.Options{Debug: true})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			if err := conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				return exec(ctx, tx, "CREATE TABLE logged (id integer)", "INSERT INTO logged VALUES (1)")
			}); err != nil {
				return err
			}
			queries := conn.Queries()
			if len(queries) != 4 {
				t.Fatalf("%d statements, want 4: %v", len(queries), queries)
			}
			expect(t, "the first", queries[0].SQL, "BEGIN")
			expect(t, "the last", queries[3].SQL, "COMMIT")
			return nil
		})
	})
}

// Django: backends.base.test_base.DatabaseWrapperLoggingTests.test_no_logs_without_debug
// (CN-009).
func TestDatabaseWrapperLogging_NoLogsWithoutDebug(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		var log logs
		conns := dbtest.Open(t, settings, db.Options{Logger: log.logger()})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			err := conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return exec(ctx, tx, "SELECT 'unlogged'") })
			if queries := conn.Queries(); queries != nil {
				t.Errorf("queries: %v", queries)
			}
			return err
		})
		if entry := log.find("unlogged"); entry != "" {
			t.Errorf("logged: %s", entry)
		}
	})
}

// Django: backends.tests.LastExecutedQueryTest.
// test_last_executed_query_without_previous_query (CN-024).
func TestLastExecutedQuery_WithoutPreviousQuery(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, db.Settings{Engine: dbtest.SQLite, Name: ":memory:"}, db.Options{Debug: true})
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		expect(t, "before the first", len(conn.Queries()), 0)
		db.ResetQueries(ctx)
		expect(t, "after a reset of nothing", len(conn.Queries()), 0)
		return nil
	})
}

// Django: backends.base.test_base.ExecuteWrapperTests.test_wrapper_invoked,
// test_database_queried, test_nested_wrapper_invoked, test_wrapper_gets_sql,
// test_wrapper_connection_specific (CN-010, CN-012, CN-013, CN-015, CN-016). Quintet
// has no wrappers: the query hooks of bun are what wraps a statement, on a copy of
// the *bun.DB behind a builder.
func TestExecuteWrapper_IsAQueryHook(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.OpenAll(t, map[string]db.Settings{"default": settings, "other": settings})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			var outer, inner wrapper
			wrapped := conn.NewSelect().DB().WithQueryHook(&outer).WithQueryHook(&inner)
			var n int
			if err := wrapped.NewSelect().Conn(conn).ColumnExpr("? + 1", 41).Scan(ctx, &n); err != nil {
				return err
			}
			expect(t, "the answer", n, 42)
			for name, w := range map[string]*wrapper{"outer": &outer, "inner": &inner} {
				expect(t, name+" calls", len(w.queries), 1)
				expect(t, name+" statement", w.queries[0], "SELECT 41 + 1")
			}
			for _, unwrapped := range []*db.Conn{conn, db.Using(ctx, "other")} {
				if err := unwrapped.NewSelect().ColumnExpr("1").Scan(ctx, &n); err != nil {
					return err
				}
			}
			expect(t, "calls by statements without the hook", len(outer.queries), 1)
			return nil
		})
	})
}

// wrapper is a query hook that remembers what it has seen.
type wrapper struct{ queries []string }

func (*wrapper) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (w *wrapper) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	w.queries = append(w.queries, e.Query)
}

// Django: backends.base.test_base.ConnectionHealthChecksTests.test_health_checks_enabled
// and test_health_checks_disabled, backends.postgresql.tests.Tests.
// test_connect_no_is_usable_checks (CN-018, CN-067).
func TestConnectionHealthChecks_Enabled(t *testing.T) {
	t.Parallel()
	for _, enabled := range []bool{true, false} {
		t.Run(fmt.Sprint(enabled), func(t *testing.T) {
			t.Parallel()
			dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
				settings.ConnHealthChecks = enabled
				conns := dbtest.Open(t, onlyOne(settings))
				twice := func() {
					scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1", "SELECT 1") })
				}
				pings := func(what string, want int64) {
					t.Helper()
					if !enabled {
						want = 0
					}
					expect(t, "pings "+what, stats(conns).Pings, want)
				}
				twice()
				pings("of a fresh connection", 0)
				twice()
				pings("of a kept one", 1)
				twice()
				pings("once per scope", 2)
				expect(t, "opened", stats(conns).Opened, 1)
				if settings.Engine == dbtest.Postgres { // a file does not go away
					dbtest.Kill(t, settings)
					twice()
					expect(t, "opened after the server has ended one", stats(conns).Opened, 2)
				}
			})
		})
	}
}

// Django: backends.base.test_base.ConnectionHealthChecksTests.
// test_health_checks_enabled_errors_occurred (CN-019).
func TestConnectionHealthChecks_EnabledErrorsOccurred(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings.ConnHealthChecks = true
		conns := dbtest.Open(t, onlyOne(settings))
		err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT * FROM nowhere") })
		if err == nil {
			t.Fatal("no error")
		}
		expect(t, "pings by the boundary", stats(conns).Pings, 1)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
		expect(t, "pings after the next statement", stats(conns).Pings, 1)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
		expect(t, "pings in the request after that", stats(conns).Pings, 2)
		expect(t, "opened", stats(conns).Opened, 1)
	})
}

// Django: backends.base.test_base.ConnectionHealthChecksTests.
// test_set_autocommit_health_checks_enabled (CN-021).
func TestConnectionHealthChecks_SetAutocommitEnabled(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings.ConnHealthChecks = true
		conns := dbtest.Open(t, onlyOne(settings))
		block := func() {
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
				return conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return exec(ctx, tx, "SELECT 1") })
			})
		}
		block()
		expect(t, "pings of a fresh connection", stats(conns).Pings, 0)
		block()
		expect(t, "pings before BEGIN", stats(conns).Pings, 1)
		if settings.Engine == dbtest.Postgres {
			dbtest.Kill(t, settings)
			block()
			expect(t, "opened after the server has ended one", stats(conns).Opened, 2)
		}
	})
}

// Django: backends.tests.EscapingChecks.test_parameter_escaping (CN-028). Percent
// signs stand for themselves here, with arguments too: bun's placeholder is "?".
func TestEscapingChecks_ParameterEscaping(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			var percent, doubled, bound string
			err := conn.QueryRowContext(ctx, "SELECT '%', '%%', ?", "%s ? ?0 ' \\?").Scan(&percent, &doubled, &bound)
			expect(t, "a percent sign", percent, "%")
			expect(t, "two of them", doubled, "%%")
			expect(t, "a value that looks like placeholders", bound, "%s ? ?0 ' \\?")
			return err
		})
	})
}

// Django: backends.tests.BackendTestCase.test_cursor_executemany_with_empty_params_list
// (CN-030). Nothing is written here either, and bun says so with an error.
func TestBackend_CursorExecutemanyWithEmptyParamsList(t *testing.T) {
	t.Parallel()
	type square struct {
		Root int64 `bun:",pk"`
	}
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, kept(settings))
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			if _, err := conn.NewCreateTable().Model((*square)(nil)).Exec(ctx); err != nil {
				return err
			}
			if _, err := conn.NewInsert().Model(&[]square{}).Exec(ctx); err == nil {
				t.Error("an empty INSERT is no error")
			}
			n, err := conn.NewSelect().Model((*square)(nil)).Count(ctx)
			expect(t, "rows", n, 0)
			return err
		})
	})
}

// Django: backends.tests.BackendTestCase.test_duplicate_table_error,
// backends.tests.FkConstraintsTests.test_integrity_checks_on_creation,
// db_utils.tests.DatabaseErrorWrapperTests.
// test_reraising_backend_specific_database_exception (CN-031, CN-045, CN-052). The
// driver's error is the error here, not the cause of one of ours.
func TestDatabaseErrorWrapper_TheDriversErrorIsFound(t *testing.T) {
	t.Parallel()
	codes := map[string][2]int{ // by engine: SQLSTATE as a number, result code
		"CREATE TABLE parent (id integer)": {42, 1},
		"INSERT INTO child VALUES (9)":     {23, 787},
	}
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, onlyOne(settings))
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return exec(ctx, conn, "CREATE TABLE parent (id integer PRIMARY KEY)", "CREATE TABLE child (parent integer REFERENCES parent (id))")
		})
		for query, want := range codes {
			err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, query) })
			var state interface{ SQLState() string }
			var code interface{ Code() int }
			switch {
			case errors.As(err, &state):
				expect(t, query+": class", state.SQLState()[:2], fmt.Sprint(want[0]))
			case errors.As(err, &code):
				expect(t, query+": code", code.Code(), want[1])
			default:
				t.Errorf("%s: %v (%T) has no code of the driver", query, err, err)
			}
		}
		expect(t, "connections opened", stats(conns).Opened, 1)
	})
}

// Django: backends.postgresql.tests.Tests.test_connect_pool_with_timezone (PL-003).
func TestPool_ConnectPoolWithTimezone(t *testing.T) {
	t.Parallel()
	settings := kept(dbtest.Database(t, dbtest.Postgres))
	settings.Options["timezone"] = "Europe/Vienna"
	conns := dbtest.Open(t, settings)
	fill(t, conns, 3)
	var all, hold sync.WaitGroup
	hold.Add(3)
	for range 3 {
		all.Go(func() {
			if err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
				defer hold.Wait()
				defer hold.Done()
				got, err := one[string](ctx, conn, "SHOW timezone")
				expect(t, "time zone", got, "Europe/Vienna")
				return err
			}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	expect(t, "opened", stats(conns).Opened, 3)
}

// Django: backends.postgresql.tests.Tests.test_pool_options_not_mutated (PL-006).
func TestPool_OptionsNotMutated(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		if settings.Engine == dbtest.SQLite {
			settings.Options = map[string]string{"foreign_keys": "off"}
		}
		before := maps.Clone(settings.Options)
		conns := dbtest.Open(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
		if !maps.Equal(settings.Options, before) {
			t.Errorf("options %v, were %v", settings.Options, before)
		}
	})
}
