package pool_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db/pool"
)

// Whatever stands in a literal, in front of it and behind it: it is not in what comes
// out.
func FuzzFingerprint_ShowsNoValue(f *testing.F) {
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
		if got := pool.Fingerprint(query); strings.Contains(got, secret) {
			t.Errorf("%q gives %q", query, got)
		}
	})
}

// A comment within a comment does not end it: what follows would be taken for a string,
// and the next string for text.
func TestFingerprint_CommentsWithinComments(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"SELECT /* it's /* nested */ don't */ a FROM t WHERE b = 'secret'": "SELECT a FROM t WHERE b = ?",
		"SELECT a /* not /* ended */ 'secret'":                             "SELECT a",
		"SELECT a /**/ + /*/ 1 */ b":                                       "SELECT a + b",
	} {
		if got := pool.Fingerprint(query); got != want {
			t.Errorf("%s\ngives %s\nwant  %s", query, got, want)
		}
	}
}

// What an error of the database may quote is known, however it was written.
func TestValues_AreTheStringsOfAStatement(t *testing.T) {
	t.Parallel()
	for query, want := range map[string][]string{
		"SELECT 1": nil,
		"SELECT 'a' FROM \"t'b'\" WHERE c='d''e'": {"a", "d'e"},
		"SELECT $1, $x$ it's $x$, $$b$$, ''":      {" it's ", "b"},
		"SELECT 'a' -- 'b'\n/* 'c' */ , 'd":       {"a", "d"},
		"SELECT E'a\\'b', x'ff', $":               {`a\'b`, "ff"},
	} {
		if got := pool.Values(query); !slices.Equal(got, want) {
			t.Errorf("%s\nhas %q\nwant %q", query, got, want)
		}
	}
}
