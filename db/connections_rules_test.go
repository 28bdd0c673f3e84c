package db_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/sqlite"
)

// Django: db_utils.tests.ConnectionHandlerTests.test_no_default_database (CN-049).
func TestOpen_RefusesMistakesAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	memory := db.Settings{Engine: "sqlite", Name: ":memory:"}
	with := func(change func(*db.Settings)) map[string]db.Settings {
		s := memory
		change(&s)
		return map[string]db.Settings{"default": s}
	}
	for name, row := range map[string]struct {
		databases map[string]db.Settings
		alias     string
		key       string
		text      []string
	}{
		"no default": {map[string]db.Settings{"other": memory, "archive": memory}, "", "", []string{`"default" is missing`, "archive, other"}},
		"an alias in upper case": {
			map[string]db.Settings{"default": memory, "Archive": memory}, "Archive", "",
			[]string{"DATABASES.Archive", "lower case", `write "archive"`},
		},
		"no engine":      {with(func(s *db.Settings) { s.Engine = "" }), "default", "ENGINE", []string{"is missing", "sqlite or postgres"}},
		"unknown engine": {with(func(s *db.Settings) { s.Engine = "oracle" }), "default", "ENGINE", []string{`"oracle" is unknown`, "this site has sqlite"}},
		"engine that is not built in": {
			with(func(s *db.Settings) { s.Engine = "postgresql" }), "default", "ENGINE",
			[]string{`"postgres" is not built into this site`, "this site has sqlite", "Engines"},
		},
		"negative age":        {with(func(s *db.Settings) { s.ConnMaxAge = -2 }), "default", "CONN_MAX_AGE", []string{"-2ns is negative", "null"}},
		"negative idle time":  {with(func(s *db.Settings) { s.ConnMaxIdle = -time.Minute }), "default", "CONN_MAX_IDLE", []string{"-1m0s"}},
		"negative bound":      {with(func(s *db.Settings) { s.MaxConnections = -1 }), "default", "MAX_CONNECTIONS", []string{"-1 is negative"}},
		"negative queue":      {with(func(s *db.Settings) { s.MaxWaiting = -1 }), "default", "MAX_WAITING", []string{"-1 is negative"}},
		"negative wait":       {with(func(s *db.Settings) { s.AcquireTimeout = -1 }), "default", "ACQUIRE_TIMEOUT", []string{"negative"}},
		"unknown lease":       {with(func(s *db.Settings) { s.ConnLease = "day" }), "default", "CONN_LEASE", []string{`"day"`, "request or transaction"}},
		"unknown reset":       {with(func(s *db.Settings) { s.ConnReset = "maybe" }), "default", "CONN_RESET", []string{`"maybe"`, "auto, always, rollback or none"}},
		"negative warning":    {with(func(s *db.Settings) { s.HoldIdleWarn = -2 }), "default", "HOLD_IDLE_WARN", []string{"negative", "null"}},
		"negative slowness":   {with(func(s *db.Settings) { s.SlowStatement = -2 }), "default", "SLOW_STATEMENT", []string{"negative", "null"}},
		"negative limit":      {with(func(s *db.Settings) { s.HoldLimit = -1 }), "default", "HOLD_LIMIT", []string{"negative"}},
		"unknown pooler":      {with(func(s *db.Settings) { s.Pooler = "odyssey" }), "default", "POOLER", []string{`"odyssey"`, "none or pgbouncer"}},
		"a pooler of files":   {with(func(s *db.Settings) { s.Pooler = db.PoolerPgBouncer }), "default", "POOLER", []string{"not before sqlite"}},
		"dialling for longer": {with(func(s *db.Settings) { s.ConnectTimeout = time.Minute }), "default", "CONNECT_TIMEOUT", []string{"1m0s is longer than ACQUIRE_TIMEOUT 5s"}},
	} {
		conns, err := db.Open(row.databases, db.Options{Engines: []db.Engine{sqlite.Engine{}}})
		mistake, ok := errors.AsType[*db.SettingsError](err)
		if !ok || conns != nil {
			t.Errorf("%s: %v and %v, want a SettingsError and nothing else", name, conns, err)
			continue
		}
		expect(t, name+": alias", mistake.Alias, row.alias)
		expect(t, name+": key", mistake.Key, row.key)
		expectText(t, name, err.Error(), row.text...)
		expect(t, name+": lines", strings.Count(err.Error(), "\n"), 0)
	}
}

func TestOpen_ReportsAllMistakesOfAllAliasesAtOnce(t *testing.T) {
	t.Parallel()
	dbtest.Goroutines(t)
	_, err := db.Open(map[string]db.Settings{
		"good":  {Engine: "sqlite", Name: ":memory:"},
		"first": {Engine: "oracle", ConnMaxAge: -time.Second},
		"last":  {Engine: "sqlite", Options: map[string]string{"journal_mode": "wall"}},
	}, db.Options{Engines: []db.Engine{sqlite.Engine{}}})
	if err == nil {
		t.Fatal("no error")
	}
	expectText(t, "the error", err.Error(), `"default" is missing`,
		"DATABASES.first.ENGINE", "DATABASES.first.CONN_MAX_AGE",
		"DATABASES.last.NAME", "DATABASES.last.OPTIONS.journal_mode")
	if strings.Contains(err.Error(), "DATABASES.good") {
		t.Errorf("it blames one without a mistake: %v", err)
	}
}

// Django: backends.postgresql.tests.Tests.test_connect_pool_set_to_true (PL-002).
// Every alias has a pool; its size is a setting and no option.
func TestSettings_AreThoseThatCount(t *testing.T) {
	t.Parallel()
	conns := dbtest.OpenAll(t, map[string]db.Settings{"default": {Engine: "SQLite", Name: "x.sqlite3"}, "b": {Engine: "sqlite", Name: ":memory:"}})
	expect(t, "aliases", strings.Join(conns.Aliases(), " "), "b default")
	conns.Aliases()[0] = "changed"
	expect(t, "aliases after a change of the copy", conns.Aliases()[0], "b")
	s, ok := conns.Settings("default")
	expect(t, "exists", ok, true)
	expect(t, "ENGINE", s.Engine, "sqlite")
	expect(t, "MAX_CONNECTIONS", s.MaxConnections, 10)
	expect(t, "CONN_MAX_AGE", s.ConnMaxAge, 0)
	expect(t, "CONN_MAX_IDLE", s.ConnMaxIdle, 300*time.Second)
	expect(t, "ACQUIRE_TIMEOUT", s.AcquireTimeout, 5*time.Second)
	expect(t, "CONNECT_TIMEOUT", s.ConnectTimeout, 3*time.Second)
	expect(t, "CONN_LEASE", s.ConnLease, db.LeaseRequest)
	expect(t, "CONN_RESET", s.ConnReset, db.ResetAuto)
	expect(t, "HOLD_IDLE_WARN", s.HoldIdleWarn, time.Second)
	expect(t, "SLOW_STATEMENT", s.SlowStatement, time.Second)
	expect(t, "HOLD_LIMIT", s.HoldLimit, 0)
	expect(t, "POOLER", s.Pooler, db.PoolerNone)
	_, ok = conns.Settings("nowhere")
	expect(t, "an unknown alias exists", ok, false)
	expect(t, "its numbers", conns.Stats("nowhere"), db.Stats{})
}

// Django: db_utils.tests.ConnectionHandlerTests.test_connection_handler_no_databases
// (CN-048).
func TestConnections_WithoutDatabasesExistAndEveryUseFails(t *testing.T) {
	t.Parallel()
	for _, databases := range []map[string]db.Settings{nil, {}} {
		conns := dbtest.OpenAll(t, databases)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			err := exec(ctx, conn, "SELECT 1")
			if _, ok := errors.AsType[*db.UnknownAliasError](err); !ok {
				t.Errorf("%v, want an UnknownAliasError", err)
				return nil
			}
			expectText(t, "the error", err.Error(), `"default"`, "no database", "DATABASES")
			return errors.Join(db.Release(ctx), db.CloseOldConnections(ctx))
		})
		expect(t, "aliases", len(conns.Aliases()), 0)
		expect(t, "holders", len(conns.Holders()), 0)
	}
}

// Django: db_utils.tests.ConnectionHandlerTests.test_nonexistent_alias (CN-051).
func TestUsing_AnUnknownAliasFailsWithItsName(t *testing.T) {
	t.Parallel()
	memory := db.Settings{Engine: dbtest.SQLite, Name: ":memory:"}
	conns := dbtest.OpenAll(t, map[string]db.Settings{"default": memory, "archive": memory})
	scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
		conn := db.Using(ctx, "nowhere")
		expect(t, "alias", conn.Alias(), "nowhere")
		_, beginErr := conn.BeginTx(ctx, nil)
		_, prepareErr := conn.PrepareContext(ctx, "SELECT 1")
		nowhere := conns.SQLDB("nowhere")
		defer nowhere.Close()
		_, sqlErr := nowhere.ExecContext(ctx, "SELECT 1")
		for what, err := range map[string]error{
			"a statement":          exec(ctx, conn, "SELECT 1"),
			"a row":                conn.QueryRowContext(ctx, "SELECT 1").Scan(new(int)),
			"a builder":            conn.NewSelect().ColumnExpr("1").Scan(ctx, new(int)),
			"a transaction":        beginErr,
			"a prepared statement": prepareErr,
			"EnsureConnection":     conn.EnsureConnection(ctx),
			"Release":              db.Release(ctx, "default", "nowhere"),
			"SQLDB":                sqlErr,
		} {
			unknown, ok := errors.AsType[*db.UnknownAliasError](err)
			if !ok {
				t.Errorf("%s: %v, want an UnknownAliasError", what, err)
				continue
			}
			expect(t, what+": alias", unknown.Alias, "nowhere")
			expectText(t, what, err.Error(), `"nowhere" does not exist`, "archive, default")
		}
		expect(t, "usable", conn.IsUsable(ctx), false)
		expect(t, "in a block", conn.InAtomicBlock(), false)
		return conn.Close()
	})
}

func TestConn_TheDatabaseBehindABuilderDoesNotDial(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			behind := conn.NewSelect().DB()
			_, err := behind.ExecContext(ctx, "SELECT 1")
			expectError(t, "a statement", err, db.ErrOutsideScope)
			_, err = behind.BeginTx(ctx, nil)
			expectError(t, "a transaction", err, db.ErrOutsideScope)
			expectError(t, "a builder", behind.NewSelect().ColumnExpr("1").Scan(ctx, new(int)), db.ErrOutsideScope)
			return nil
		})
		expect(t, "leases", stats(conns).Leases, 0)
	})
}

// Django: test_utils.tests.AllowedDatabaseQueriesTests.
// test_allowed_database_copy_queries (PL-012).
func TestConnections_OfTwoSitesDoNotMeet(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		brief, long := kept(settings), settings
		brief.ConnLease, brief.MaxConnections = db.LeaseTransaction, 1
		long.MaxConnections = 3
		first, second := dbtest.Open(t, brief), dbtest.Open(t, long, db.Options{Debug: true})
		ctx, sc := second.NewScope(t.Context(), "/second")
		defer sc.End()
		inner, innerScope := first.NewScope(ctx, "/first")
		defer innerScope.End()
		for _, ctx := range []context.Context{ctx, inner} {
			if err := exec(ctx, db.From(ctx), "SELECT 1"); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, "in use by brief leases", stats(first).InUse, 0)
		expect(t, "idle for the next", stats(first).Idle, 1)
		expect(t, "in use by the other", stats(second).InUse, 1)
		expect(t, "bounds", fmt.Sprint(stats(first).Max, stats(second).Max), "1 3")
		expect(t, "statements remembered without Debug", len(db.From(inner).Queries()), 0)
		expect(t, "statements remembered with Debug", len(db.From(ctx).Queries()), 1)
		if err := errors.Join(innerScope.End(), first.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		if err := exec(ctx, db.From(ctx), "SELECT 1"); err != nil {
			t.Errorf("the other is closed too: %v", err)
		}
	})
}

func TestClose_WaitsForWhoHoldsOneAndMayBeCalledTwice(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		conns := dbtest.Open(t, kept(settings))
		ctx, sc := conns.NewScope(t.Context(), "/last")
		if err := exec(ctx, db.From(ctx), "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				if err := conns.Close(t.Context()); err != nil {
					t.Error(err)
				}
				expect(t, "open after Close", stats(conns).Open, 0)
			})
		}
		await(t, "closed", func() bool {
			err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
			return errors.Is(err, db.ErrClosed)
		})
		if err := exec(ctx, db.From(ctx), "SELECT 1"); err != nil {
			t.Errorf("a statement of who holds one: %v", err)
		}
		if err := sc.End(); err != nil {
			t.Error(err)
		}
		all.Wait()
		if err := conns.Close(t.Context()); err != nil {
			t.Errorf("a Close after that: %v", err)
		}
	})
}

func TestClose_CutsOffWhoHoldsOneForTooLongAndNamesIt(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings)
		ctx, sc := conns.NewScope(t.Context(), "/stays")
		defer sc.End()
		if err := exec(ctx, db.From(ctx), "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		patience, cancel := context.WithCancel(t.Context())
		cancel()
		err := conns.Close(patience)
		expectError(t, "Close", err, context.Canceled)
		if err != nil {
			expectText(t, "Close", err.Error(), "/stays", "helpers_test.go:")
		}
		expect(t, "open", stats(conns).Open, 0)
		if err := exec(ctx, db.From(ctx), "SELECT 1"); err == nil {
			t.Error("its next statement runs")
		}
	})
}

func TestHolders_SayWhoHoldsWhatSinceWhen(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.OpenAll(t, map[string]db.Settings{"default": settings, "other": settings})
		began := time.Now()
		ctx, sc := conns.NewScope(t.Context(), "unnamed")
		defer sc.End()
		for _, alias := range []string{"other", "default"} {
			if err := exec(ctx, db.Using(ctx, alias), "SELECT 1", "SELECT 'last'"); err != nil {
				t.Fatal(err)
			}
		}
		sc.SetName("/route/{id}")
		tx, err := db.From(ctx).BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		holders := conns.Holders()
		if len(holders) != 2 {
			t.Fatalf("holders: %v, want two", holders)
		}
		other, mine := holders[0], holders[1] // the oldest first
		expect(t, "aliases", other.Alias+" "+mine.Alias, "other default")
		expect(t, "name", mine.Name, "/route/{id}")
		expect(t, "in a block", fmt.Sprint(other.InAtomicBlock, mine.InAtomicBlock), "false true")
		expect(t, "open", fmt.Sprint(other.Open, mine.Open), "false true")
		expect(t, "the last statements", other.LastStatement+" "+mine.LastStatement, "SELECT ? BEGIN")
		expect(t, "queries", fmt.Sprint(other.Queries, mine.Queries), "2 3")
		expect(t, "streaming", mine.Streaming, false)
		expectText(t, "the place", mine.At, "helpers_test.go:")
		expectText(t, "the text", mine.String(), "/route/{id} held", "in a transaction", `last "BEGIN"`, mine.At)
		if since := other.Since; since.Before(began) || since.After(mine.Since) {
			t.Errorf("since %s, want between %s and %s", since, began, mine.Since)
		}
		if mine.Idle < 0 || mine.Idle > mine.Held || mine.Held > time.Since(began) {
			t.Errorf("held %s, idle %s", mine.Held, mine.Idle)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestStats_CountWhatHappened(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings.MaxConnections, settings.AcquireTimeout = 2, time.Second // which opens two also on a busy machine
		conns := dbtest.Open(t, kept(settings))
		expect(t, "before anything", stats(conns), db.Stats{Max: 2})
		use := func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") }
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			if err := use(ctx, conn); err != nil {
				return err
			}
			return conns.Run(t.Context(), "second", func(ctx context.Context) error {
				if err := use(ctx, db.From(ctx)); err != nil {
					return err
				}
				s := stats(conns)
				expect(t, "open, in use, idle", fmt.Sprint(s.Open, s.InUse, s.Idle), "2 2 0")
				expectError(t, "a third", try(t.Context(), conns, use), db.ErrUnavailable)
				return nil
			})
		})
		s := stats(conns)
		expect(t, "open, in use, idle, waiting, connecting", fmt.Sprint(s.Open, s.InUse, s.Idle, s.Waiting, s.Connecting), "2 0 2 0 0")
		expect(t, "leases, opened, closed, refused", fmt.Sprint(s.Leases, s.Opened, s.Closed, s.Refused), "2 2 0 1")
		expect(t, "waited: two for dialling, one in vain", s.Waited, 3)
		if s.WaitDuration < settings.AcquireTimeout {
			t.Errorf("waited %s, want at least %s", s.WaitDuration, settings.AcquireTimeout)
		}
		expect(t, "pings, dead, leaked, quarantined", fmt.Sprint(s.Pings, s.Dead, s.Leaked, s.Quarantined), "0 0 0 0")
	})
}

func TestConn_IsABunIDBForModelsAndRawSQL(t *testing.T) {
	t.Parallel()
	type item struct {
		bun.BaseModel `bun:"table:items"`

		ID   int64 `bun:",pk"`
		Name string
	}
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, kept(settings))
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			for _, step := range []func() (sql.Result, error){
				func() (sql.Result, error) { return conn.NewCreateTable().Model((*item)(nil)).Exec(ctx) },
				func() (sql.Result, error) {
					return conn.NewCreateIndex().Model((*item)(nil)).Index("by_name").Column("name").Exec(ctx)
				},
				func() (sql.Result, error) {
					return conn.NewAddColumn().Model((*item)(nil)).ColumnExpr("size integer").Exec(ctx)
				},
				func() (sql.Result, error) {
					return conn.NewInsert().Model(&[]item{{ID: 1, Name: "a"}, {ID: 2, Name: "b"}}).Exec(ctx)
				},
				func() (sql.Result, error) {
					return conn.NewUpdate().Model((*item)(nil)).Set("name = ?", "c").Where("id = ?", 2).Exec(ctx)
				},
				func() (sql.Result, error) {
					return conn.NewDelete().Model((*item)(nil)).Where("id = ?", 1).Exec(ctx)
				},
				func() (sql.Result, error) { return conn.NewDropIndex().Index("by_name").Exec(ctx) },
				func() (sql.Result, error) {
					return conn.NewDropColumn().Model((*item)(nil)).Column("size").Exec(ctx)
				},
			} {
				if _, err := step(); err != nil {
					return err
				}
			}
			var name string
			err := conn.NewRaw("SELECT name FROM items WHERE id = ?", 2).Scan(ctx, &name)
			expect(t, "name", name, "c")
			if err != nil {
				return err
			}
			if _, err := conn.NewTruncateTable().Model((*item)(nil)).Exec(ctx); err != nil {
				return err
			}
			n, err := conn.NewSelect().Model((*item)(nil)).Count(ctx)
			expect(t, "rows after TRUNCATE", n, 0)
			if err != nil {
				return err
			}
			_, err = conn.NewDropTable().Model((*item)(nil)).Exec(ctx)
			return err
		})
	})
}
