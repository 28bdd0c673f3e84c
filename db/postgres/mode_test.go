package postgres_test

import (
	"fmt"
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
	for _, mode := range []string{"exec", "simple_protocol", "cache_describe", "cache_statement", "describe_exec"} {
		b.Run(mode, func(b *testing.B) {
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
					TableExpr("generate_series(?, ?) AS i", i, i+9).Scan(b.Context(), &found)
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
