package db_test

import (
	"context"
	"errors"
	"path"
	"runtime"
	"strconv"
	"testing"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

func TestQueries_AreTheStatementsOfTheScopeWhenDebugging(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, kept(settings), db.Options{Debug: true})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			if err := exec(ctx, conn, "CREATE TABLE logged (id integer)"); err != nil {
				return err
			}
			if _, err := one[int](ctx, conn, "SELECT ?", 7); err != nil {
				return err
			}
			if err := exec(ctx, conn, "SELECT nothing FROM logged"); err == nil {
				return errors.New("no error")
			}
			queries := conn.Queries()
			if len(queries) != 3 {
				t.Fatalf("%v, want three", queries)
			}
			expect(t, "the first", queries[0].SQL, "CREATE TABLE logged (id integer)")
			expect(t, "the second", queries[1].SQL, "SELECT 7")
			expect(t, "the second failed", queries[1].Err != nil, false)
			expect(t, "the third failed", queries[2].Err != nil, true)
			for _, q := range queries {
				expectText(t, "the place", q.At, "_test.go:")
				if q.Duration <= 0 {
					t.Errorf("%s took %s", q.SQL, q.Duration)
				}
			}
			queries[0].SQL = "changed"
			expect(t, "the log is a copy", conn.Queries()[0].SQL, "CREATE TABLE logged (id integer)")
			db.ResetQueries(ctx)
			expect(t, "after ResetQueries", len(conn.Queries()), 0)
			return nil
		})
	})
}

func TestQueries_ABlockIsLoggedWithItsBeginAndItsCommit(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings, db.Options{Debug: true})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			err := conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return exec(ctx, tx, "SELECT 1") })
			queries := conn.Queries()
			if len(queries) != 3 {
				t.Fatalf("%v, want three", queries)
			}
			expect(t, "the first", queries[0].SQL, "BEGIN")
			expect(t, "the last", queries[2].SQL, "COMMIT")
			return err
		})
	})
}

func TestQueries_AreARing(t *testing.T) {
	t.Parallel()
	const limit, more = 9000, 5
	conns := dbtest.Open(t, dbtest.Database(t, dbtest.SQLite), db.Options{Debug: true})
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		for n := range limit + more {
			if err := exec(ctx, conn, "SELECT "+strconv.Itoa(n)); err != nil {
				return err
			}
		}
		queries := conn.Queries()
		expect(t, "entries", len(queries), limit)
		expect(t, "the oldest", queries[0].SQL, "SELECT "+strconv.Itoa(more))
		expect(t, "the newest", queries[limit-1].SQL, "SELECT "+strconv.Itoa(limit+more-1))
		return nil
	})
}

func TestQueries_AreOfOneScopeAndOneAlias(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.OpenAll(t, map[string]db.Settings{"default": settings, "other": settings}, db.Options{Debug: true})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			err := errors.Join(exec(ctx, conn, "SELECT 1"), exec(ctx, db.Using(ctx, "other"), "SELECT 2", "SELECT 3"),
				conns.Run(ctx, "task", func(ctx context.Context) error {
					defer func() { expect(t, "of the task", len(db.From(ctx).Queries()), 1) }()
					return exec(ctx, db.From(ctx), "SELECT 4")
				}))
			expect(t, "of default", len(conn.Queries()), 1)
			expect(t, "of other", len(db.Using(ctx, "other").Queries()), 2)
			return err
		})
	})
}

func TestUsage_CountsStatementsAndTheTimeInTheDatabase(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, dbtest.Database(t, dbtest.Postgres))
	ctx, sc := conns.NewScope(t.Context(), "/slow")
	defer sc.End()
	expectUsage := func(what string, want int, seconds float64) {
		t.Helper()
		queries, inside := sc.Usage()
		expect(t, "statements "+what, queries, want)
		if inside.Seconds() < seconds || inside.Seconds() > seconds+1 {
			t.Errorf("%s in the database %s, want %gs", inside, what, seconds)
		}
	}
	expectUsage("before", 0, 0)
	if err := exec(ctx, db.From(ctx), "SELECT pg_sleep(0.1)", "SELECT pg_sleep(0.1)"); err != nil {
		t.Fatal(err)
	}
	expectUsage("while leased", 2, 0.2)
	if err := db.Release(ctx); err != nil {
		t.Fatal(err)
	}
	expectUsage("after the release", 2, 0.2)
	if err := exec(ctx, db.From(ctx), "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	expectUsage("of both leases", 3, 0.2)
}

type shelf struct {
	bun.BaseModel `bun:"table:shelves"`

	ID    int     `bun:"id,pk"`
	Books []*book `bun:"rel:has-many,join:id=shelf"`
}

type book struct {
	bun.BaseModel `bun:"table:books"`

	ID    int     `bun:"id,pk"`
	Shelf int     `bun:"shelf"`
	Pages []*page `bun:"rel:has-many,join:id=book"`
}

type page struct {
	bun.BaseModel `bun:"table:pages"`

	ID   int `bun:"id,pk"`
	Book int `bun:"book"`
}

// However many frames of libraries are in between.
func TestQueries_ThePlaceIsTheUsersLineAlsoForTheQueriesOfRelations(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings, db.Options{Debug: true})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			for _, text := range []string{
				"CREATE TABLE shelves (id integer)", "CREATE TABLE books (id integer, shelf integer)", "CREATE TABLE pages (id integer, book integer)",
				"INSERT INTO shelves VALUES (1)", "INSERT INTO books VALUES (1, 1)", "INSERT INTO pages VALUES (1, 1)",
			} {
				if err := exec(ctx, conn, text); err != nil {
					return err
				}
			}
			db.ResetQueries(ctx)
			var all []shelf
			_, file, number, _ := runtime.Caller(0)
			err := conn.NewSelect().Model(&all).Relation("Books").Relation("Books.Pages").Scan(ctx)
			want := path.Join(path.Base(path.Dir(file)), path.Base(file)) + ":" + strconv.Itoa(number+1)
			queries := conn.Queries()
			expect(t, "queries", len(queries), 3)
			for _, q := range queries {
				expect(t, q.SQL, q.At, want)
			}
			return err
		})
	})
}
