package postgres_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// byOneMessage is a query that answers 0 by the simple protocol: its portal is one that
// the server does not show, which that of exec is.
const byOneMessage = "SELECT count(*) FROM pg_catalog.pg_cursors"

func TestAlone_AQueryWithoutASemicolonTakesOneMessage(t *testing.T) {
	t.Parallel()
	c := connect(t, open(t, settings(t, running(t))))
	for query, want := range map[string]string{
		byOneMessage:                                                  "0",
		"\n\t" + strings.ToLower(byOneMessage):                        "0",
		"WITH n AS (" + byOneMessage + ") SELECT * FROM n":            "0",
		byOneMessage + ";":                                            "1",
		byOneMessage + " WHERE name <> 'a;b'":                         "1",
		"/* as much */ " + byOneMessage:                               "1",
		"(" + byOneMessage + ")":                                      "1",
		byOneMessage + " WHERE name <> $$x$$":                         "0",
		"SELECT '\xff', (" + byOneMessage + ")":                       "",
		"VALUES ((" + byOneMessage + "))":                             "1",
		"SELECT (" + byOneMessage + ") -- said ' and \" in a comment": "0",
	} {
		got, err := first(c, query)
		if want == "" {
			if err == nil {
				t.Errorf("%q: no error", query)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", query, got, err, want)
		}
	}
}

// A query that was put together with a second one does not run: neither of them does.
func TestAlone_ASecondStatementIsRefused(t *testing.T) {
	t.Parallel()
	c := connect(t, open(t, settings(t, running(t))))
	exec(t, c, "CREATE TEMP TABLE kept (n int)")
	exec(t, c, "INSERT INTO kept VALUES (1)")
	for _, query := range []string{
		"SELECT 1; DELETE FROM kept",
		"SELECT 1 /* ' */; DELETE FROM kept",
		"DELETE FROM kept RETURNING n; SELECT 1",
		"SELECT 'it''s' ;\nDELETE FROM kept --",
	} {
		_, err := first(c, query)
		if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "42601" {
			t.Errorf("%q: got %v, want a syntax error", query, err)
		}
	}
	if got := text(t, c, "SELECT n FROM kept"); got != "1" {
		t.Errorf("the row reads %q", got)
	}
}

// An error that the server finds in the middle of the answer comes with its row.
func TestAlone_AFailureComesAfterTheRowsBeforeIt(t *testing.T) {
	t.Parallel()
	c := connect(t, open(t, settings(t, running(t))))
	found, err := c.(driver.QueryerContext).QueryContext(context.Background(), "SELECT 1 / (5 - n) FROM generate_series(1, 9) AS n", nil)
	if err != nil {
		t.Fatal(err)
	}
	count, row := 0, make([]driver.Value, 1)
	for err = found.Next(row); err == nil; err = found.Next(row) {
		count++
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); count != 4 || !ok || refused.Code != "22012" {
		t.Errorf("%d rows, then %v, want 4 and a division by zero", count, err)
	}
	if again := found.Next(row); !errors.Is(again, err) {
		t.Errorf("asked again: %v", again)
	}
	if closed := found.Close(); !errors.Is(closed, err) {
		t.Errorf("closed: %v", closed)
	}
	if got := text(t, c, "SELECT 1"); got != "1" {
		t.Errorf("the next query reads %q", got)
	}
}

func TestAlone_RowsThatNobodyReadsAreOver(t *testing.T) {
	t.Parallel()
	c := connect(t, open(t, settings(t, running(t))))
	found, err := c.(driver.QueryerContext).QueryContext(context.Background(), "SELECT repeat('x', 1000) FROM generate_series(1, 5000)", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := found.Close(); err != nil {
			t.Error(err)
		}
	}
	row := make([]driver.Value, 1)
	other, err := c.(driver.QueryerContext).QueryContext(context.Background(), "SELECT 7 AS n", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := found.Next(row); !errors.Is(err, io.EOF) {
		t.Errorf("rows that were closed read %v, %v", row, err)
	}
	if err := other.Next(row); err != nil || row[0] != int64(7) {
		t.Errorf("the others read %v, %v", row, err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
}

// What comes by one message is what comes by five: values, columns and their types.
func TestAlone_ValuesAreTheSame(t *testing.T) {
	t.Parallel()
	c := connect(t, open(t, settings(t, running(t))))
	for _, value := range []string{
		"NULL", "NULL::int", "true", "false", "1::smallint", "'-2147483648'::int", "9223372036854775807::bigint", "1.5::real", "'NaN'::float8",
		"'-Infinity'::float8", "1e300::float8", "123456789012345678901234567890.123456789::numeric", "'NaN'::numeric", "12.5::numeric(7,3)", "''::text", "'é ☃ '' \"'::text",
		"'abc'::varchar(5)", "'a'::char(3)", "'x'::\"char\"", "'n'::name", "'\\x00ff'::bytea", "'{\"a\": [1, null]}'::json", "'{\"a\": 1}'::jsonb",
		"'<a/>'::xml", "'2026-02-28'::date", "'infinity'::date", "'0044-03-15 BC'::date", "'2026-02-28 12:34:56.789'::timestamp",
		"'infinity'::timestamptz", "'2026-02-28 12:34:56.789+02'::timestamptz", "'12:34:56.7'::time", "'12:34:56+02'::timetz", "'1 mon 2 days 03:04:05'::interval",
		"'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "'{1,NULL,3}'::int[]", "'{a,\"b c\"}'::text[]", "'10.0.0.1/8'::inet", "'08:00:2b:01:02:03'::macaddr",
		"'(1,2)'::point", "'101'::varbit(5)", "'[1,5)'::int4range", "42::oid", "'pg_class'::regclass", "ROW(1, 'a')", "12.34::money", "'a b'::tsvector",
	} {
		one, five := answer(t, c, "SELECT "+value+" AS v, 1 UNION ALL SELECT NULL, 2 ORDER BY 2"), answer(t, c, "SELECT "+value+" AS v, 1 UNION ALL SELECT NULL, 2 ORDER BY 2 /*;*/")
		if fmt.Sprintf("%#v", one) != fmt.Sprintf("%#v", five) { // NaN is not equal to itself
			t.Errorf("%s: by one message %#v, by five %#v", value, one, five)
		}
	}
}

func TestAlone_WritesSayWhatTheyWrote(t *testing.T) {
	t.Parallel()
	c := connect(t, open(t, settings(t, running(t))))
	exec(t, c, "CREATE TEMP TABLE written (n int PRIMARY KEY)")
	if got := text(t, c, "INSERT INTO written VALUES (7) RETURNING n"); got != "7" {
		t.Errorf("inserted %q", got)
	}
	if got := answer(t, c, "UPDATE written SET n = 8"); len(got.columns) != 0 || len(got.values) != 0 {
		t.Errorf("an UPDATE without RETURNING answers %v", got)
	}
	_, err := first(c, "INSERT INTO written VALUES (8)")
	if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "23505" {
		t.Errorf("got %v, want a duplicate key", err)
	}
	if got := text(t, c, "SELECT n FROM written"); got != "8" {
		t.Errorf("the row reads %q", got)
	}
	if _, err := first(c, "SELECT 1 / (n - 8) FROM written"); err == nil {
		t.Error("no error for a division by zero")
	}
	if got := text(t, c, "DELETE FROM written RETURNING n"); got != "8" {
		t.Errorf("deleted %q", got)
	}
}

// answered is all that a query says.
type answered struct {
	columns, types []string
	values         []driver.Value
}

func answer(tb testing.TB, c driver.Conn, query string) (a answered) {
	tb.Helper()
	found, err := c.(driver.QueryerContext).QueryContext(context.Background(), query, nil)
	if err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	defer func() {
		if err := found.Close(); err != nil {
			tb.Errorf("%s: %v", query, err)
		}
	}()
	a.columns = found.Columns()
	for i := range a.columns {
		length, varies := found.(driver.RowsColumnTypeLength).ColumnTypeLength(i)
		precision, scale, exact := found.(driver.RowsColumnTypePrecisionScale).ColumnTypePrecisionScale(i)
		a.types = append(a.types, fmt.Sprint(
			found.(driver.RowsColumnTypeDatabaseTypeName).ColumnTypeDatabaseTypeName(i), " ", found.(driver.RowsColumnTypeScanType).ColumnTypeScanType(i),
			" ", length, varies, " ", precision, " ", scale, exact,
		))
	}
	row := make([]driver.Value, len(a.columns))
	for {
		switch err := found.Next(row); {
		case errors.Is(err, io.EOF):
			return a
		case err != nil:
			tb.Fatalf("%s: %v", query, err)
		}
		a.values = append(a.values, row...)
	}
}
