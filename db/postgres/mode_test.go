package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db/postgres"
)

// What a view does most: bun writes the arguments into the text, so that no two
// texts are alike. Run with -count=10 and compare medians: the ratios are what the
// documentation of the package says.
func BenchmarkExecMode(b *testing.B) {
	type sale struct {
		ID     int64
		Region string
		Amount float64
	}
	// With a semicolon in it, exec does not take the query for one statement.
	for _, mode := range []string{"exec", "exec ;", "simple_protocol", "cache_describe", "cache_statement", "describe_exec"} {
		mode, semicolon, _ := strings.Cut(mode, " ")
		b.Run(mode+semicolon, func(b *testing.B) {
			s := settings(b, running(b))
			s.Options["exec_mode"] = mode
			sales := bun.NewDB(sqlDB(b, open(b, s)), postgres.Engine{}.Dialect())
			sales.SetMaxOpenConns(1)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				i++
				var found []sale
				err := sales.NewSelect().ColumnExpr("i AS id, 'r' || i AS region, i / 2.0 AS amount").
					TableExpr("generate_series(?, ?) AS i /*?*/", i, i+9, bun.Safe(semicolon)).Scan(b.Context(), &found)
				if err != nil {
					b.Fatal(err)
				}
				if len(found) != 10 || found[0].Region != fmt.Sprintf("r%d", i) {
					b.Fatalf("got %v", found)
				}
			}
		})
	}
}
