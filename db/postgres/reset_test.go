package postgres_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// session is everything that the server can tell about what a session keeps.
const session = `SELECT concat_ws(E'\n',
	(SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings
		WHERE source = 'session' AND name NOT LIKE 'transaction\_%'), -- these are the transaction's
	nullif(current_setting('app.tenant', true), ''), nullif(current_setting('local.tenant', true), ''),
	nullif(current_setting('transaction.tenant', true), ''), nullif(current_setting('constraints.tenant', true), ''),
	current_user, session_user,
	(SELECT string_agg(c, ' ' ORDER BY c) FROM pg_listening_channels() c),
	(SELECT string_agg(name, ' ' ORDER BY name) FROM pg_cursors WHERE is_holdable),
	(SELECT string_agg(name, ' ' ORDER BY name) FROM pg_prepared_statements WHERE from_sql),
	(SELECT string_agg(objid::text, ' ' ORDER BY objid) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
	(SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE pg_my_temp_schema() <> 0 AND relnamespace = pg_my_temp_schema()),
	(SELECT string_agg(proname, ' ' ORDER BY proname) FROM pg_proc WHERE pg_my_temp_schema() <> 0 AND pronamespace = pg_my_temp_schema()))`

// Each of these leaves something behind.
func leaving() []string {
	return []string{
		"SET statement_timeout = '7s'",
		"set /* LOCAL */ SESSION search_path = pg_catalog",
		"SET TIME ZONE 'Asia/Tokyo'",
		"SET NAMES 'UTF8'; SET DateStyle = 'German'",
		"SET app.tenant = '42'",
		"SET local.tenant = '42'",
		"SET transaction . tenant TO '42'",
		`SET "constraints".tenant = '42'`,
		"SELECT set_config('work_mem', '5MB', false)",
		`SELECT "set_config"('work_mem', '5MB', false)`,
		"SELECT 1; SET work_mem = '5MB'",
		"SELECT '; ' ; \n SET work_mem = '5MB'",
		"WITH s AS (SELECT pg_catalog.SET_CONFIG('work_mem', '5MB', false)) SELECT * FROM s",
		"RESET statement_timeout",
		"SET ROLE pg_monitor",
		"SET SESSION AUTHORIZATION pg_monitor",
		"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
		"LISTEN news",
		"BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT",
		"PREPARE p AS SELECT 1",
		"SELECT pg_advisory_lock(1)",
		"SELECT pg_advisory_lock_shared(1)",
		"SELECT pg_try_advisory_lock(1, 2)",
		"select PG_TRY_ADVISORY_LOCK_SHARED(1)",
		"CREATE TEMP TABLE scratch (n int)",
		"create/**/temporary table scratch (n int)",
		"CREATE LOCAL TEMP TABLE scratch (n int)",
		"CREATE OR REPLACE TEMP VIEW scratch AS SELECT 1",
		"CREATE TEMP SEQUENCE scratch",
		"CREATE TABLE pg_temp.scratch (n int)",
		`CREATE TABLE "pg_temp"."scratch" (n int)`,
		"SELECT 1 AS n INTO TEMP scratch",
		"CREATE TEMP TABLE scratch AS SELECT 1",
		"CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
		"DO $$ BEGIN PERFORM set_config('work_mem', '5MB', false); END $$",
		"/* a /* nested */ comment */ -- and a line\n SET work_mem = '5MB'",
		`SELECT E'it\'s', 'x'; SET work_mem = '5MB'`,
		`SELECT '\'; SET work_mem = '5MB'`,
		"SELECT E'a'\n'b\\''; SET work_mem = '5MB'; SELECT ''",
		"SELECT $a$ $b$ $a$; SET work_mem = '5MB'; SELECT $b$ $b$",
		`SELECT 1 AS "it's"; SET work_mem = '5MB'; SELECT 1 AS "it's"`,
		`SELECT U&"\0073et_config"('work_mem', '5MB', false)`,
		"(SELECT set_config('work_mem', '5MB', false))",
		"EXPLAIN ANALYZE SELECT set_config('work_mem', '5MB', false)",
		"EXPLAIN ANALYZE CREATE TEMP TABLE scratch AS SELECT 1",
	}
}

// None of these does: what they change ends with their transaction, or belongs to the
// database.
func leavingNothing() []string {
	return []string{
		"SELECT 1",
		"  select 'SET x = 1; set_config(', $$; SET x = 1; pg_advisory_lock($$, $q$; SET x$q$",
		`SELECT E'\'; SET x = 1'`,
		"SELECT 1 -- ; SET x = 1",
		"SELECT 1 /* ; SET x = 1 /* */ ; SET x = 1 */",
		`SELECT 1 AS "; SET x = 1"`,
		"(SELECT 1) UNION (SELECT 2)",
		"VALUES (1), (2)",
		"WITH x AS (SELECT 1) SELECT * FROM x",
		"TABLE kept",
		"INSERT INTO kept VALUES (1) RETURNING n",
		"UPDATE kept SET n = 2",
		"DELETE FROM kept",
		"CREATE TABLE IF NOT EXISTS kept2 (temperature int)",
		"CREATE INDEX IF NOT EXISTS kept_n ON kept (n)",
		"ALTER TABLE kept SET (fillfactor = 70)",
		"DROP TABLE IF EXISTS kept2",
		"TRUNCATE kept",
		"BEGIN",
		"SET LOCAL statement_timeout = '7s'",
		"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
		"SET CONSTRAINTS ALL IMMEDIATE",
		"SAVEPOINT s",
		"ROLLBACK TO SAVEPOINT s",
		"RELEASE SAVEPOINT s",
		"SELECT pg_advisory_xact_lock(1)",
		"SELECT pg_try_advisory_xact_lock(1)",
		"DECLARE c CURSOR FOR SELECT 1",
		"FETCH c",
		"CLOSE c",
		"LOCK TABLE kept",
		"COMMIT",
		"start transaction read only",
		"rollback",
		"EXPLAIN SELECT 1",
		"SHOW work_mem",
		"NOTIFY news",
		"ANALYZE kept",
		"COMMENT ON TABLE kept IS 'SET'",
		"SELECT n AS temp, 1 AS hold FROM kept",
		"SELECT 1; SELECT 2;",
		"-- nothing",
		"",
	}
}

func TestDirties_KnowsWhatLeavesSomethingBehind(t *testing.T) {
	t.Parallel()
	srv := running(t)
	d := open(t, settings(t, srv))
	for _, query := range leaving() {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			if !d.Dirties(query) {
				t.Error("thought to be clean")
			}
		})
	}
	for _, query := range leavingNothing() {
		if d.Dirties(query) {
			t.Errorf("%q: thought to leave something", query)
		}
	}
}

// The server is the judge: whoever changes the session must be known for it.
func TestDirties_AgreesWithTheServer(t *testing.T) {
	t.Parallel()
	srv := running(t)
	s := settings(t, srv)
	s.Name = database(t, srv)
	d := open(t, s)
	if err := srv.Exec(t.Context(), s.Name, "CREATE TABLE kept (n int)"); err != nil {
		t.Fatal(err)
	}
	c := connect(t, d)
	before := text(t, c, session)
	for _, query := range leavingNothing() {
		exec(t, c, query)
	}
	if after := text(t, c, session); after != before {
		t.Errorf("the clean ones have changed\n%s\nto\n%s", before, after)
	}
}

func TestReset_TakesBackWhatWasLeft(t *testing.T) {
	t.Parallel()
	srv := running(t)
	s := settings(t, srv)
	s.Name = database(t, srv)
	s.Options["lock_timeout"] = "9s" // what the settings say stays
	d := open(t, s)
	c := connect(t, d)
	pid := backend(t, c)
	fresh := text(t, c, session)
	unchanged := 0
	for _, query := range leaving() {
		exec(t, c, query)
		if text(t, c, session) == fresh {
			unchanged++ // RESET of what was not set
		}
		if err := d.Reset(t.Context(), c); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if after := text(t, c, session); after != fresh {
			t.Errorf("%s: the session is\n%s\nand was\n%s", query, after, fresh)
		}
	}
	if unchanged > 1 {
		t.Errorf("%d of the statements changed nothing", unchanged)
	}
	if now := backend(t, c); now != pid {
		t.Errorf("backend %s, was %s", now, pid)
	}
	if got := text(t, c, "SHOW lock_timeout"); got != "9s" {
		t.Errorf("lock_timeout %s", got)
	}
}

func TestReset_EndsATransactionAlsoAFailedOne(t *testing.T) {
	t.Parallel()
	d := open(t, settings(t, running(t)))
	c := connect(t, d)
	for _, query := range []string{"SELECT 1", "nonsense"} {
		exec(t, c, "BEGIN")
		_ = tryExec(c, query)
		if err := d.Reset(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if in, _ := d.InTransaction(c); in {
			t.Errorf("%s: still in the transaction", query)
		}
	}
}

func TestReset_KeepsTheStatementsThatPgxHasPrepared(t *testing.T) {
	t.Parallel()
	s := settings(t, running(t))
	s.Options["exec_mode"] = "cache_statement"
	d := open(t, s)
	c := connect(t, d)
	prepared := func() string {
		return text(t, c, "SELECT count(*) FILTER (WHERE from_sql) || ' ' || count(*) FILTER (WHERE statement = 'SELECT $1::int') FROM pg_prepared_statements")
	}
	use := func() {
		t.Helper()
		rows, err := c.(driver.QueryerContext).QueryContext(t.Context(), "SELECT $1::int", []driver.NamedValue{{Ordinal: 1, Value: 1}})
		if err != nil {
			t.Fatal(err)
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	use()
	if err := d.Reset(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := prepared(); got != "0 1" {
		t.Errorf("after a reset: %s", got)
	}
	use()
	// One of SQL's own takes the others with it, and pgx knows.
	exec(t, c, "PREPARE p AS SELECT 1")
	if err := d.Reset(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := prepared(); got != "0 0" {
		t.Errorf("after PREPARE: %s", got)
	}
	use()
}

func TestReset_WaitsNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	s, p := through(t, running(t))
	d := open(t, s)
	c, err := d.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := d.Reset(ctx, c); !errors.Is(err, context.DeadlineExceeded) || d.Classify(err) != pool.Lost {
		t.Errorf("got %v", err)
	}
	p.thaw()
	closed(t, d, c)
}

func TestReset_IsOneRoundTrip(t *testing.T) {
	t.Parallel()
	s, p := through(t, running(t))
	d := open(t, s)
	c := connect(t, d)
	before := p.toServer.Load()
	if err := d.Reset(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	// a second message would have a header of its own
	once := p.toServer.Load() - before
	if err := d.Reset(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := p.toServer.Load() - before; got != 2*once {
		t.Errorf("%d bytes, then %d", once, got-once)
	}
	if got := p.writes.Load(); got != 3 { // the startup and two resets
		t.Errorf("%d messages in all", got)
	}
}

func TestDirties_AllocatesNothing(t *testing.T) {
	d := open(t, settings(t, running(t)))
	for _, query := range append(leaving(), leavingNothing()...) {
		if n := testing.AllocsPerRun(10, func() { d.Dirties(query) }); n != 0 {
			t.Errorf("%q: %g allocations", query, n)
		}
	}
}

// Whatever comes before, a SET that PostgreSQL would see is seen.
func FuzzDirties(f *testing.F) {
	for _, query := range append(leaving(), leavingNothing()...) {
		f.Add(query)
	}
	d := open(f, dbSettings())
	f.Fuzz(func(t *testing.T, query string) {
		clean := !d.Dirties(query)
		if !d.Dirties(query + "\n; SET work_mem = '5MB'") {
			t.Errorf("%q hides a SET", query)
		}
		// in quotes it means nothing, and a comment changes nothing
		if !strings.Contains(query, "$q$") && d.Dirties("SELECT $q$"+query+"$q$") {
			t.Errorf("%q: dirty as a string", query)
		}
		if clean && d.Dirties("-- c\n"+query) {
			t.Errorf("%q: dirty after a comment", query)
		}
	})
}

func BenchmarkDirties(b *testing.B) {
	d := open(b, dbSettings())
	for name, query := range map[string]string{
		"short": `SELECT "s"."id", "s"."region" FROM "sales" AS "s" WHERE ("s"."id" = 42) LIMIT 1`,
		"long":  `INSERT INTO "sales" ("id", "note") VALUES ` + strings.Repeat(`(1, 'a note of some length; with a semicolon'), `, 200) + "(2, '')",
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(query)))
			b.ReportAllocs()
			for b.Loop() {
				d.Dirties(query)
			}
		})
	}
}

func BenchmarkReset(b *testing.B) {
	d := open(b, settings(b, running(b)))
	c := connect(b, d)
	b.Run("reset", func(b *testing.B) {
		for b.Loop() {
			if err := d.Reset(b.Context(), c); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ping", func(b *testing.B) {
		for b.Loop() {
			if err := d.Ping(b.Context(), c); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// The server is the judge again: of everything that it accepts, whatever the quotes
// and comments in it, nothing changes the session unseen.
func TestDirties_IsNotFooledByQuoting(t *testing.T) {
	t.Parallel()
	d := open(t, settings(t, running(t)))
	c := connect(t, d)
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	junk := func() string {
		var b strings.Builder
		for range random.IntN(4) {
			b.WriteString(pick("'", "''", `"`, `\`, `\'`, "$$", "$a$", "--", "\n", "/*", "*/", ";", "E'", " SET work_mem = '5MB'", "x", " "))
		}
		return b.String()
	}
	token := func() string {
		return pick("1 ", "'"+junk()+"'", "E'"+junk()+"'", "e'"+junk()+"'", "B'1'", "N'"+junk()+"'", "U&'"+junk()+"'", "$$"+junk()+"$$", "$a$"+junk()+"$a$",
			`1 AS "`+junk()+`"`, "/*"+junk()+"*/ 1 ", "--"+junk()+"\n 1 ", "'x'\n"+"'"+junk()+"'", "E'x'\n'"+junk()+"'", "E'x'--"+junk()+"\n'"+junk()+"'")
	}
	accepted, changed := 0, 0
	for range 4000 {
		query := "SELECT " + token() + pick(", ", "; SELECT ", "; SET work_mem = '5MB'; SELECT ") + token() + pick("", ", "+token(), "--"+junk(), "; SET work_mem = '5MB'")
		if tryExec(c, query) != nil {
			continue
		}
		accepted++
		if text(t, c, "SHOW work_mem") != "5MB" {
			continue
		}
		changed++
		if !d.Dirties(query) {
			t.Errorf("not seen: %s", query)
		}
		exec(t, c, "RESET work_mem")
	}
	if accepted < 1000 || changed < 300 || changed > accepted*9/10 {
		t.Errorf("of 4000, %d were accepted and %d changed something: too few to prove it", accepted, changed)
	}
	t.Logf("%d accepted, %d changed", accepted, changed)
}
