//go:build unix

package telemetry_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/telemetry"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// modes are what a site may have, the first nothing.
func modes() []mode {
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	batched := sdktrace.NewTracerProvider(sdktrace.WithBatcher(nowhere{}))
	none := sdktrace.NewTracerProvider(sdktrace.WithBatcher(nowhere{}), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	return []mode{
		{"off", telemetry.Options{}},
		{"metrics", telemetry.Options{MeterProvider: meters}},
		{"metrics and traces that the sampler leaves out", telemetry.Options{MeterProvider: meters, TracerProvider: none}},
		{"metrics and traces", telemetry.Options{MeterProvider: meters, TracerProvider: batched}},
	}
}

type mode struct {
	name string
	o    telemetry.Options
}

func (m mode) site(b *testing.B) *app.Site {
	settings := dbtest.Database(b, dbtest.SQLite)
	settings.ConnMaxAge = db.Forever
	return bare(b, settings, m.o, func(r *views.Request) (views.Response, error) {
		return views.Text{Body: "in"}, selects(r.Context())
	})
}

// What it costs, for a request with one query.
func BenchmarkRequest(b *testing.B) {
	for _, m := range modes() {
		b.Run(m.name, func(b *testing.B) {
			site := m.site(b)
			b.ReportAllocs()
			for b.Loop() {
				get(site, "/")
			}
		})
	}
}

// The same, in turns of some hundred requests and in time of the processor, so that it means
// something on a machine that does other things: the median of the turns.
func BenchmarkRequest_InTurns(b *testing.B) {
	const each = 500
	var sites []*app.Site
	for _, m := range modes() {
		sites = append(sites, m.site(b))
	}
	took, ratios := make([][]float64, len(sites)), make([][]float64, len(sites))
	for b.Loop() {
		for i, site := range sites {
			began := processor(b)
			for range each {
				get(site, "/")
			}
			took[i] = append(took[i], (processor(b)-began).Seconds()/each*1e6)
			ratios[i] = append(ratios[i], took[i][len(took[i])-1]/took[0][len(took[0])-1])
		}
	}
	b.ReportMetric(0, "ns/op")
	for i, m := range modes() {
		slices.Sort(took[i])
		slices.Sort(ratios[i])
		n := len(took[i])
		b.Logf("%-48s %6.1f µs a request, × %.2f (%.2f to %.2f)", m.name, took[i][n/2], ratios[i][n/2], ratios[i][n/4], ratios[i][3*n/4])
		b.ReportMetric(took[i][n/2], fmt.Sprintf("µs/%s", strings.ReplaceAll(m.name, " ", "-")))
	}
}

// processor is the time that this process has computed so far.
func processor(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// nowhere takes spans and forgets them.
type nowhere struct{}

func (nowhere) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (nowhere) Shutdown(context.Context) error                             { return nil }
