package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortraces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/telemetry"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/sqlite"
	"github.com/goquintet/quintet/views"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// receiver takes OTLP over HTTP as a collector does, and keeps what came.
type receiver struct {
	server *httptest.Server

	mu      sync.Mutex // guards the rest
	raw     strings.Builder
	spans   []*traces.Span
	metrics map[string]*metrics.Metric // the last of each name
}

func receive(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{metrics: make(map[string]*metrics.Metric)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, request *http.Request) {
		var sent collectortraces.ExportTraceServiceRequest
		r.take(t, w, request, &sent, func() {
			for _, resource := range sent.ResourceSpans {
				for _, scope := range resource.ScopeSpans {
					r.spans = append(r.spans, scope.Spans...)
				}
			}
		})
	})
	mux.HandleFunc("POST /v1/metrics", func(w http.ResponseWriter, request *http.Request) {
		var sent collectormetrics.ExportMetricsServiceRequest
		r.take(t, w, request, &sent, func() {
			for _, resource := range sent.ResourceMetrics {
				for _, scope := range resource.ScopeMetrics {
					for _, m := range scope.Metrics {
						r.metrics[m.Name] = m
					}
				}
			}
		})
	})
	r.server = httptest.NewServer(mux)
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) take(t *testing.T, w http.ResponseWriter, request *http.Request, into proto.Message, keep func()) {
	body, err := io.ReadAll(request.Body)
	if err == nil {
		err = proto.Unmarshal(body, into)
	}
	if err != nil {
		t.Errorf("%s: %v", request.URL.Path, err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw.Write(body)
	keep()
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// told is a site, and the three that hear what it does.
type told struct {
	*app.Site
	*receiver
	meters  *sdkmetric.MeterProvider
	tracers *sdktrace.TracerProvider
	stop    func() error
}

// tell makes a site whose telemetry goes to Prometheus and over OTLP.
func tell(t *testing.T, settings db.Settings, routes func(*app.Site)) *told {
	t.Helper()
	ctx := t.Context()
	s := &told{receiver: receive(t)}
	site, err := app.New(app.Settings{
		AllowedHosts: []string{"*"}, Databases: map[string]db.Settings{"default": settings},
	}, app.Options{
		Engines: []db.Engine{sqlite.Engine{}, postgres.Engine{}}, Logger: slog.New(slog.DiscardHandler), Routes: routes,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Site = site
	t.Cleanup(func() {
		if err := site.Close(); err != nil {
			t.Error(err)
		}
	})
	spans, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(s.server.URL+"/v1/traces"))
	if err != nil {
		t.Fatal(err)
	}
	numbers, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(s.server.URL+"/v1/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	reader, page, err := telemetry.Prometheus()
	if err != nil {
		t.Fatal(err)
	}
	s.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithReader(sdkmetric.NewPeriodicReader(numbers)))
	s.tracers = sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans))
	t.Cleanup(func() {
		if err := errors.Join(s.meters.Shutdown(context.WithoutCancel(ctx)), s.tracers.Shutdown(context.WithoutCancel(ctx))); err != nil {
			t.Error(err)
		}
	})
	site.HandleAdmin("GET /metrics", page)
	s.stop, err = telemetry.Start(site, telemetry.Options{MeterProvider: s.meters, TracerProvider: s.tracers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// flush sends everything that was told so far.
func (s *told) flush(t *testing.T) {
	t.Helper()
	if err := errors.Join(s.tracers.ForceFlush(t.Context()), s.meters.ForceFlush(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// sent are the spans that have ended.
func (s *told) sent(t *testing.T) []*traces.Span {
	t.Helper()
	s.flush(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spans
}

// one is the span of a name, of which there is one.
func one(t *testing.T, spans []*traces.Span, name string) *traces.Span {
	t.Helper()
	var found []*traces.Span
	var names []string
	for _, span := range spans {
		names = append(names, span.Name)
		if span.Name == name {
			found = append(found, span)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans are named %q, want 1: %q", len(found), name, names)
	}
	return found[0]
}

// tree draws the spans below one, each in the order in which they began.
func tree(spans []*traces.Span, root *traces.Span) string {
	var b strings.Builder
	var draw func(of *traces.Span, depth int)
	draw = func(of *traces.Span, depth int) {
		fmt.Fprintf(&b, "%s%s\n", strings.Repeat("  ", depth), of.Name)
		for _, span := range spans { // they come in the order of their ends; siblings do not overlap
			if string(span.ParentSpanId) == string(of.SpanId) {
				draw(span, depth+1)
			}
		}
	}
	draw(root, 0)
	return b.String()
}

// said are the attributes as text.
func said(attributes []*common.KeyValue) map[string]string {
	all := make(map[string]string)
	for _, a := range attributes {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			all[a.Key] = fmt.Sprint(v.IntValue)
		case *common.AnyValue_BoolValue:
			all[a.Key] = fmt.Sprint(v.BoolValue)
		case *common.AnyValue_DoubleValue:
			all[a.Key] = fmt.Sprint(v.DoubleValue)
		default:
			all[a.Key] = fmt.Sprintf("%T", v)
		}
	}
	return all
}

func expect[V comparable](t *testing.T, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func get(handler http.Handler, path string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r, w := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
	for _, c := range change {
		c(r)
	}
	handler.ServeHTTP(w, r)
	return w
}

// ask answers a request, whose status has to be this.
func (s *told) ask(t *testing.T, path string, status int, change ...func(*http.Request)) {
	t.Helper()
	if w := get(s.Site, path, change...); w.Code != status {
		t.Errorf("%s: status %d, want %d: %s", path, w.Code, status, w.Body)
	}
}

// sales makes the table that the views use.
func (s *told) sales(t *testing.T) {
	t.Helper()
	err := s.Connections().Run(t.Context(), "tables", func(ctx context.Context) error {
		_, err := db.From(ctx).ExecContext(ctx, "CREATE TABLE sales (id integer PRIMARY KEY, region text)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func routes(site *app.Site) {
	site.GET("/sales/{id}", sell)
	site.GET("/export", export)
	site.GET("/fail/{how}", fail)
}

// sell reads, and writes in a block with a savepoint that is rolled back.
func sell(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	var n int
	if err := db.From(ctx).QueryRowContext(ctx, "SELECT count(*) FROM sales WHERE region <> ?", r.URL.Query().Get("region")).Scan(&n); err != nil {
		return nil, err
	}
	err := db.Atomic(ctx, func(ctx context.Context) error {
		_, err := db.From(ctx).ExecContext(ctx, "INSERT INTO sales VALUES (?, ?)", n+1, r.PathValue("id"))
		if err != nil {
			return err
		}
		return db.Atomic(ctx, func(ctx context.Context) error {
			if _, err := db.From(ctx).ExecContext(ctx, "UPDATE sales SET region = ?", r.PathValue("id")); err != nil {
				return err
			}
			return db.ErrRollback
		})
	})
	return views.Text{Body: "sold"}, err
}

// export is a stream after a query.
func export(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	if _, err := db.From(ctx).ExecContext(ctx, "SELECT 1"); err != nil {
		return nil, err
	}
	return views.StreamingResponse{ContentType: "text/plain", KeepConnection: r.URL.Query().Has("keep"), Body: views.Chunks(slices.Values([]string{"one\n", "two\n", "three\n"}))}, nil
}

func fail(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	switch r.PathValue("how") {
	case "panic":
		panic("a secret in a panic: hunter2")
	case "unique":
		for range 2 {
			if _, err := db.From(ctx).ExecContext(ctx, "INSERT INTO sales VALUES (7, 'hunter2')"); err != nil {
				return nil, err
			}
		}
	}
	return nil, fmt.Errorf("a secret in an error: %s", r.PathValue("how"))
}
