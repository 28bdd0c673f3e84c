package telemetry

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	notraces "go.opentelemetry.io/otel/trace/noop"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/signals"
)

// activity is what requests are counted by while they run: their route is not known yet.
type activity struct{ method, scheme string }

// name is that of the span of a request whose route is not known.
func (a activity) name() string {
	if a.method == otherMethod {
		return "HTTP"
	}
	return a.method
}

// connect hears the signals of the site. After disconnect the ends of the requests that
// run are still heard.
func (t *telemetry) connect() (disconnect func()) {
	bus := t.site.Bus()
	started := bus.RequestStarted.Connect(t.started)
	created := bus.ConnectionCreated.Connect(t.created)
	released := bus.ConnectionReleased.Connect(t.released)
	responds := bus.ResponseStarted.Connect(t.responds)
	finished := bus.RequestFinished.Connect(t.finished)
	return func() {
		started()
		created()
		released()
		t.mu.Lock()
		t.leave = func() { responds(); finished() }
		t.mu.Unlock()
		t.leaveLast()
	}
}

// leaveLast disconnects what hears of the requests that still ran at the end, after the
// last of them.
func (t *telemetry) leaveLast() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leave != nil && t.requests == 0 {
		t.leave()
		t.leave = nil
	}
}

// started begins the span of a request, and gives it to whoever has its context.
func (t *telemetry) started(_ context.Context, e signals.RequestStarted) error {
	ctx := e.Request.Context()
	s := t.scopeOf(db.ScopeOf(ctx))
	if s == nil {
		return nil // it began before all this
	}
	s.announced, s.activity = true, activity{methodOf(e.Request), app.Scheme(e.Request)}
	if t.traces && !s.outside.SpanContext().IsValid() { // otherwise the site is in a program that traces its requests
		ctx = t.propagator.Extract(ctx, propagation.HeaderCarrier(e.Request.Header))
	}
	span := trace.Span(notraces.Span{})
	if t.traces {
		ctx, span = t.begin(ctx, s.activity.name(), s.begun, trace.SpanKindServer,
			semconv.HTTPRequestMethodKey.String(s.activity.method), semconv.URLScheme(s.activity.scheme),
			semconv.NetworkProtocolVersion(protocolOf(e.Request)))
		*e.Request = *e.Request.WithContext(ctx)
	}

	s.mu.Lock()
	s.span, s.outside, s.own.Context = span, span, ctx
	s.parts = span.IsRecording()
	s.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.active[s.activity]++
	t.requests++
	return nil
}

// responds marks the first byte, and begins the span of a stream where that has begun.
func (t *telemetry) responds(_ context.Context, e signals.ResponseStarted) error {
	s := t.scopeOf(db.ScopeOf(e.Request.Context()))
	if s == nil || !s.announced {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.firstByte.Record(s.ctx, e.Duration.Seconds(), t.measured(s.activity, e.Route, e.Status, nil)...)
	if !s.span.IsRecording() {
		return nil
	}
	now := time.Now()
	s.span.AddEvent("first byte", trace.WithTimestamp(now))
	if e.Stream > 0 && s.stream == nil {
		_, s.stream = s.begin(s.ctx, "stream", now.Add(-e.Stream), trace.SpanKindInternal, keyKeeps.Bool(s.db.Kept()))
		s.stream.AddEvent("first byte", trace.WithTimestamp(now))
	}
	return nil
}

// finished ends the span of a request.
func (t *telemetry) finished(_ context.Context, e signals.RequestFinished) error {
	sc := db.ScopeOf(e.Request.Context())
	s := t.requestOf(sc)
	if s == nil {
		return nil
	}
	defer t.leaveLast()
	s.mu.Lock()
	defer s.mu.Unlock()
	t.requestDuration.Inst().Record(s.ctx, e.Duration.Seconds(), t.measured(s.activity, e.Route, e.Status, e.Err)...)
	if !s.span.IsRecording() {
		return nil
	}
	if s.stream != nil {
		s.stream.SetAttributes(semconv.HTTPResponseBodySize(int(e.Bytes)))
		if e.Err != nil {
			failed(s.stream, e.Err)
		}
		s.stream.End()
	}
	var space [3]attribute.KeyValue
	attributes := append(space[:0], semconv.HTTPResponseBodySize(int(e.Bytes)))
	if route := pathOf(e.Route); route != "" {
		s.span.SetName(s.activity.name() + " " + route)
		attributes = append(attributes, semconv.HTTPRoute(route))
	}
	if e.Status != 0 {
		attributes = append(attributes, semconv.HTTPResponseStatusCode(e.Status))
	}
	s.span.SetAttributes(attributes...)
	switch {
	case e.Status >= http.StatusInternalServerError:
		code := strconv.Itoa(e.Status)
		s.span.SetAttributes(semconv.ErrorTypeKey.String(code))
		s.span.SetStatus(statusError, causeOf(e.Err))
	case e.Err != nil:
		failed(s.span, e.Err)
	}
	s.span.End()
	return nil
}

// requestOf takes a request from those that run.
func (t *telemetry) requestOf(sc *db.Scope) *scope {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.running[sc]
	if s == nil || !s.announced {
		return nil
	}
	delete(t.running, sc)
	t.active[s.activity]--
	t.requests--
	return s
}

func (t *telemetry) created(ctx context.Context, e signals.ConnectionCreated) error {
	t.createTime.Inst().Record(ctx, e.Duration.Seconds(), t.aliases[e.Alias].measured...)
	return nil
}

func (t *telemetry) released(ctx context.Context, e signals.ConnectionReleased) error {
	measured := t.aliases[e.Alias].measured
	t.useTime.Inst().Record(ctx, e.Held.Seconds(), measured...)
	t.idleTime.Record(ctx, e.Idle.Seconds(), measured...)
	return nil
}

// causeOf is a word for why a response is a 5xx; a view may have answered so without one.
func causeOf(err error) string {
	if err == nil {
		return ""
	}
	return errorType(err)
}

// pathOf is the pattern of a route without its method.
func pathOf(route string) string {
	if method, path, found := strings.Cut(route, " "); found && !strings.Contains(method, "/") {
		return strings.TrimLeft(path, " ")
	}
	return route
}

const otherMethod = "_OTHER"

// methodOf is the method, when it is one: a client may send any word.
func methodOf(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodConnect, http.MethodTrace, "QUERY":
		return r.Method
	case "":
		return http.MethodGet
	}
	return otherMethod
}

func protocolOf(r *http.Request) string {
	if r.ProtoMajor >= 2 {
		return strconv.Itoa(r.ProtoMajor)
	}
	return strconv.Itoa(r.ProtoMajor) + "." + strconv.Itoa(r.ProtoMinor)
}
