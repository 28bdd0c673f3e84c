package telemetry_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/telemetry"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/sqlite"
	"github.com/goquintet/quintet/views"
)

// bare is a site whose telemetry stays in the process.
func bare(t testing.TB, settings db.Settings, o telemetry.Options, view views.View) *app.Site {
	t.Helper()
	site, err := app.New(app.Settings{AllowedHosts: []string{"*"}, Databases: map[string]db.Settings{"default": settings}}, app.Options{
		Engines: []db.Engine{sqlite.Engine{}, postgres.Engine{}}, Logger: slog.New(slog.DiscardHandler),
		Routes: func(site *app.Site) { site.GET("/", view) },
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := func() error { return nil }
	if o.MeterProvider != nil || o.TracerProvider != nil {
		if stop, err = telemetry.Start(site, o); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := errors.Join(stop(), site.Close()); err != nil {
			t.Error(err)
		}
	})
	return site
}

func recorded() (*tracetest.SpanRecorder, *sdktrace.TracerProvider) {
	recorder := tracetest.NewSpanRecorder()
	return recorder, sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
}

// A site without a TracerProvider leaves the span alone that a program around it has
// begun; with one, its requests are part of that, whatever their headers say.
func TestStart_InAProgramThatTracesByItself(t *testing.T) {
	t.Parallel()
	_, around := recorded()
	for name, traced := range map[string]bool{"metrics only": false, "traced": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var inView trace.SpanContext
			recorder, tracers := recorded()
			o := telemetry.Options{MeterProvider: sdkmetric.NewMeterProvider()}
			if traced {
				o.TracerProvider = tracers
			}
			site := bare(t, dbtest.Database(t, dbtest.SQLite), o, func(r *views.Request) (views.Response, error) {
				inView = trace.SpanContextFromContext(r.Context())
				return views.Text{Body: "in"}, selects(r.Context())
			})
			ctx, outer := around.Tracer("around").Start(t.Context(), "outer")
			get(site, "/", func(r *http.Request) {
				r.Header.Set("Traceparent", traceparent)
				*r = *r.WithContext(ctx)
			})
			outer.End()
			expect(t, "trace in the view", inView.TraceID(), outer.SpanContext().TraceID())
			if !traced {
				expect(t, "span in the view", inView.SpanID(), outer.SpanContext().SpanID())
				return
			}
			request := recorder.Ended()[len(recorder.Ended())-1]
			expect(t, "name", request.Name(), "GET /")
			expect(t, "span in the view", inView.SpanID(), request.SpanContext().SpanID())
			expect(t, "parent", request.Parent().SpanID(), outer.SpanContext().SpanID())
		})
	}
}

// An empty propagator begins a trace with each request.
func TestStart_BelievesWhoThePropagatorBelieves(t *testing.T) {
	t.Parallel()
	recorder, tracers := recorded()
	site := bare(t, dbtest.Database(t, dbtest.SQLite), telemetry.Options{
		TracerProvider: tracers, Propagator: propagation.NewCompositeTextMapPropagator(),
	}, func(*views.Request) (views.Response, error) { return views.Text{Body: "in"}, nil })
	get(site, "/", func(r *http.Request) { r.Header.Set("Traceparent", traceparent) })
	ended := recorder.Ended()
	expect(t, "spans", len(ended), 1)
	if ended[0].Parent().IsValid() {
		t.Errorf("a stranger is the parent: %v", ended[0].Parent())
	}
}

// What a sampler leaves out costs no text of a statement, and is measured all the same.
func TestStart_SamplingIsTheSDKs(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder), sdktrace.WithSampler(sdktrace.NeverSample()))
	reader, page, err := telemetry.Prometheus()
	if err != nil {
		t.Fatal(err)
	}
	site := bare(t, dbtest.Database(t, dbtest.SQLite), telemetry.Options{
		TracerProvider: tracers, MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
	}, func(r *views.Request) (views.Response, error) { return views.Text{Body: "in"}, selects(r.Context()) })
	site.HandleAdmin("GET /metrics", page)
	get(site, "/")
	expect(t, "spans", len(recorder.Ended()), 0)
	families := (&told{Site: site, receiver: &receiver{}}).page(t)
	selects := map[string]string{"db_system_name": "sqlite", "db_namespace": "default", "db_operation_name": "SELECT"}
	expect(t, "statements", value(t, families, "db_client_operation_duration_seconds", selects), 1)
}

// A statement is named by what it does and to which table, so that there are few names.
func TestTraces_NamesOfStatements(t *testing.T) {
	t.Parallel()
	s := tell(t, dbtest.Database(t, dbtest.SQLite), routes)
	s.sales(t)
	statements := [][2]string{
		{`SELECT "s"."id" FROM "sales" AS "s" WHERE region = 'from x'`, "SELECT sales"},
		{`select * from main.sales`, "SELECT main.sales"},
		{`SELECT * FROM (SELECT 1)`, "SELECT"},
		{`SELECT 'from nowhere'`, "SELECT"},
		{"DELETE FROM sales WHERE id IN (1, 2, 3)", "DELETE sales"},
		{"INSERT INTO `sales` VALUES (5, '5')", "INSERT sales"},
		{`UPDATE "sales" SET region = 'into y'`, "UPDATE sales"},
		{`WITH two AS (SELECT 2) SELECT * FROM two`, "WITH two"},
		{"/* a comment */ PRAGMA user_version", "PRAGMA"},
		{"REPLACE INTO sales VALUES (5, '6')", "sqlite"},
	}
	err := s.Connections().Run(t.Context(), "statements", func(ctx context.Context) error {
		for _, statement := range statements {
			if _, err := db.From(ctx).ExecContext(ctx, statement[0]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, span := range s.sent(t) {
		if span.Kind == traces.Span_SPAN_KIND_CLIENT {
			got = append(got, span.Name)
		}
	}
	want = append(want, "CREATE")
	for _, statement := range statements {
		want = append(want, statement[1])
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// refuses is a sampler that leaves everything out, and counts what it was asked for.
type refuses struct{ asked atomic.Int64 }

func (r *refuses) ShouldSample(sdktrace.SamplingParameters) sdktrace.SamplingResult {
	r.asked.Add(1)
	return sdktrace.SamplingResult{Decision: sdktrace.Drop}
}

func (*refuses) Description() string { return "refuses" }

// A request that the sampler leaves out has no parts that it would have to be asked for.
func TestStart_TheSamplerIsAskedOnceForARequest(t *testing.T) {
	t.Parallel()
	var sampler refuses
	site := bare(t, dbtest.Database(t, dbtest.SQLite), telemetry.Options{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSampler(&sampler)),
	}, func(r *views.Request) (views.Response, error) {
		return views.Text{Body: "in"}, db.Atomic(r.Context(), selects)
	})
	get(site, "/")
	expect(t, "what the sampler was asked for", sampler.asked.Load(), 1)
}
