package telemetry

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	nometrics "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	notraces "go.opentelemetry.io/otel/trace/noop"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/live"
	"github.com/goquintet/quintet/db"
)

// Options say where the telemetry of a site goes. The globals of OpenTelemetry are not
// looked at: two sites in one process may go to different places.
type Options struct {
	// MeterProvider takes the metrics. Nil: there are none.
	MeterProvider metric.MeterProvider

	// TracerProvider takes the traces. Nil: there are none.
	TracerProvider trace.TracerProvider

	// Propagator finds the trace of a client in the headers of its request. Nil is W3C's
	// traceparent. Clients that say "sampled" are believed by most samplers; where
	// strangers must not decide, an empty propagation.NewCompositeTextMapPropagator()
	// begins a trace with each request.
	Propagator propagation.TextMapPropagator
}

const scopeName = "github.com/goquintet/quintet/app/telemetry"

// Start tells the providers what the site does from now on, until stop is called. Requests
// that run by then are told to their end; at the end of a process stop belongs after
// [app.Site.Serve] and before the Shutdown of the providers. Start fails, and has started
// nothing, when the provider refuses an instrument. Both may be called while the site
// serves; stop may be called again.
func Start(site *app.Site, o Options) (stop func() error, err error) {
	traces := o.TracerProvider != nil
	if o.MeterProvider == nil {
		o.MeterProvider = nometrics.NewMeterProvider()
	}
	if !traces {
		o.TracerProvider = notraces.NewTracerProvider()
	}
	if o.Propagator == nil {
		o.Propagator = propagation.TraceContext{}
	}
	meter := o.MeterProvider.Meter(scopeName, metric.WithSchemaURL(semconv.SchemaURL))
	t := &telemetry{
		site: site, propagator: o.Propagator, traces: traces,
		tracer:  o.TracerProvider.Tracer(scopeName, trace.WithSchemaURL(semconv.SchemaURL)),
		aliases: make(map[string]*alias), running: make(map[*db.Scope]*scope), active: make(map[activity]int64),
	}
	for _, name := range site.Connections().Aliases() {
		settings, _ := site.Connections().Settings(name)
		t.aliases[name] = newAlias(name, settings.Engine)
	}
	if err := t.make(meter); err != nil {
		return nil, err
	}
	observing, err := t.observe(meter)
	if err != nil {
		return nil, err
	}
	disconnect := t.connect()
	silence := site.Connections().Observe(t)
	return sync.OnceValue(func() error {
		silence()
		disconnect()
		return observing.Unregister()
	}), nil
}

// telemetry is that of one site.
type telemetry struct {
	site       *app.Site
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	traces     bool // there is somebody who takes them
	aliases    map[string]*alias
	answers    cache[answer]
	outcomes   cache[outcome]
	places     places
	instruments

	mu       sync.Mutex // guards the rest; no other lock is taken inside
	running  map[*db.Scope]*scope
	active   map[activity]int64
	requests int    // that are announced and not finished
	leave    func() // what is left to do after the last of them; nil until stop
}

// alias is what is said of every connection of one.
type alias struct {
	pool, idle, used metric.ObserveOption
	measured         []metric.RecordOption
	name, system     attribute.KeyValue
	statement        []attribute.KeyValue
}

func newAlias(name, engine string) *alias {
	system := semconv.DBSystemNameKey.String(engine)
	switch engine {
	case "postgres":
		system = semconv.DBSystemNamePostgreSQL
	case "sqlite":
		system = semconv.DBSystemNameSQLite
	}
	pool := semconv.DBClientConnectionPoolName(name)
	return &alias{
		pool:      metric.WithAttributeSet(attribute.NewSet(pool)),
		idle:      metric.WithAttributeSet(attribute.NewSet(pool, semconv.DBClientConnectionStateIdle)),
		used:      metric.WithAttributeSet(attribute.NewSet(pool, semconv.DBClientConnectionStateUsed)),
		measured:  with(pool),
		name:      pool,
		system:    system,
		statement: []attribute.KeyValue{system, semconv.DBNamespace(name)},
	}
}

var _ db.Observer = (*telemetry)(nil)

// ScopeBegins implements [db.Observer]. A request goes on in [telemetry.started].
func (t *telemetry) ScopeBegins(ctx context.Context, sc *db.Scope) db.Trace {
	place, _ := ctx.Value(live.Asked{}).(*live.Place)
	if place != nil && place.Own {
		return nil
	}
	s := newScope(t, ctx, sc)
	s.request = place != nil && place.Begins
	if s.request || t.traces { // nobody looks for a task without a span
		t.mu.Lock()
		defer t.mu.Unlock()
		t.running[sc] = s
	}
	return s
}

func (t *telemetry) scopeOf(sc *db.Scope) *scope {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.running[sc]
}

func (t *telemetry) forget(sc *db.Scope) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.running, sc)
}

// begin begins a span, where somebody takes the traces.
func (t *telemetry) begin(ctx context.Context, name string, at time.Time, kind trace.SpanKind, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	if !t.traces {
		return ctx, notraces.Span{}
	}
	return t.tracer.Start(ctx, name, trace.WithTimestamp(at), trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
}

// end ends a span. One that is not recorded has nothing to end.
func end(span trace.Span, at time.Time) {
	if span.IsRecording() {
		span.End(trace.WithTimestamp(at))
	}
}

// failed says of a span what failed, without the text of the error.
func failed(span trace.Span, err error) {
	if !span.IsRecording() {
		return
	}
	kind := errorType(err)
	span.SetAttributes(semconv.ErrorTypeKey.String(kind))
	if !isNobodys(err) {
		span.SetStatus(statusError, kind)
	}
}

// isNobodys reports whether an error is no failure of the site.
func isNobodys(err error) bool {
	for _, known := range nobodys() {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
