package pool_test

import (
	"strings"
	"testing"

	"github.com/goquintet/quintet/db/pool"
)

func TestWithoutValues(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"":         "",
		"SELECT 1": "SELECT ?",
		`SELECT "sale"."id" FROM "sale" WHERE (region = 'lakes') LIMIT 24`:       `SELECT "sale"."id" FROM "sale" WHERE (region = ?) LIMIT ?`,
		"INSERT INTO t2 (a, b1) VALUES ('it''s', -1.5e-3, NULL), ('', .5, TRUE)": "INSERT INTO t2 (a, b1) VALUES (?, -?, NULL), (?, ?, TRUE)",
		`SELECT E'a\'b''c' || 'd\' || 'e'`:                                       `SELECT ? || ? || ?`,
		`SELECT x'00ff', B'01', U&'d\0061', N'n', '2025-01-02'::date`:            `SELECT ?, ?, ?, ?, ?::date`,
		"SELECT $$it's$$, $body$ a $$ b $body$, $1, $12":                         "SELECT ?, ?, $1, $12",
		"SELECT a$1, ?, ?2, :name, @name, $name":                                 "SELECT a$1, ?, ?2, :name, @name, $name",
		"SELECT 0x1F, 1_000, 1.e5, 12, t.c1, c2":                                 "SELECT ?, ?, ?, ?, t.c1, c2",
		"SELECT 1 -- don't\nFROM t WHERE a = 's'":                                "SELECT ? \nFROM t WHERE a = ?",
		"SELECT /* it's /* nested */ 'c' */ a FROM t":                            "SELECT   a FROM t",
		"SELECT a[1:2], 'x'[1]":                                                  "SELECT a[?:2], ?[?]",
		`SELECT "it's", 'a' AS "b""c'"`:                                          `SELECT "it's", ? AS "b""c'"`,
		"SELECT 'größe' AS größe1":                                               "SELECT ? AS größe1",
		"SELECT 'not ended":                                                      "SELECT ?",
		"SELECT $q$ not ended $q":                                                "SELECT ?",
		"SELECT 1 /* not ended 'secret'":                                         "SELECT ?  ",
	} {
		if got := pool.WithoutValues(query); got != want {
			t.Errorf("%s\ngives %s\nwant  %s", query, got, want)
		}
	}
}

// Whatever stands in a literal, in front of it and behind it: it is not in what comes
// out, and once out it stays as it is.
func FuzzWithoutValues(f *testing.F) {
	f.Add("SELECT a FROM t WHERE b = ", "it's", " LIMIT 1")
	f.Add("SELECT $x$ $y$ ", `\'`, "--")
	f.Add(`INSERT INTO "t" VALUES (E'a', `, "$$", ") /* /* */")
	f.Fuzz(func(t *testing.T, before, inside, after string) {
		// What stands before must leave the scanner outside of any literal.
		if strings.ContainsAny(before, "'\"`$-/") || strings.ContainsAny(before[max(0, len(before)-1):], "&ebxnEBXN") {
			t.Skip()
		}
		const secret = "qzxqzx"
		query := before + "'" + strings.ReplaceAll(secret+inside+secret, "'", "''") + "'" + after
		if got := pool.WithoutValues(query); strings.Contains(got, secret) {
			t.Errorf("%q gives %q", query, got)
		} else if again := pool.WithoutValues(got); again != got && !strings.ContainsAny(after, "'\"`$-/?:@") {
			t.Errorf("%q gives %q, and that %q", query, got, again)
		}
	})
}
