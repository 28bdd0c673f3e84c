package pool_test

import (
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
