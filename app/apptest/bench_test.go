package apptest_test

import (
	"testing"

	"github.com/goquintet/quintet/app/apptest"
	"github.com/goquintet/quintet/db/dbtest"
)

// BenchmarkSite is what a test costs: its site, its database, and one request that
// inserts and reads.
func BenchmarkSite(b *testing.B) {
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		for name, options := range map[string][]apptest.Option{"wrapped": nil, "real commits": {apptest.RealCommits()}} {
			b.Run(engine+"/"+name, func(b *testing.B) {
				once := func() string {
					return failures(b, func(t testing.TB) {
						if r := apptest.New(t, on(engine, urls), options...).Client.Get("/export"); r.Text() != "exported\n" {
							t.Errorf("%q, %v", r.Text(), r.Err)
						}
					})
				}
				once() // with its template
				for b.Loop() {
					if text := once(); text != "" {
						b.Fatal(text)
					}
				}
			})
		}
	}
}
