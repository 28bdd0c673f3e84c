package telemetry_test

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestTraces_ARequestIsATreeOfWhatItDid(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings.ConnMaxAge = db.Forever
		s := tell(t, settings, routes)
		s.sales(t)
		s.ask(t, "/sales/1", 200, func(r *http.Request) { r.Header.Set("Traceparent", traceparent) })
		spans := s.sent(t)

		root := one(t, spans, "GET /sales/{id}")
		expect(t, "trace", hex.EncodeToString(root.TraceId), "0af7651916cd43dd8448eb211c80319c")
		expect(t, "parent", hex.EncodeToString(root.ParentSpanId), "b7ad6b7169203331")
		expect(t, "kind", root.Kind, traces.Span_SPAN_KIND_SERVER)
		expect(t, "status", root.Status.GetCode(), traces.Status_STATUS_CODE_UNSET)
		has(t, root, map[string]string{
			"http.request.method": "GET", "http.route": "/sales/{id}", "http.response.status_code": "200", "url.scheme": "http",
			"network.protocol.version": "1.1", "http.response.body.size": "4", "url.path": "", "url.full": "", "error.type": "",
		})
		expect(t, "first byte", events(root), "first byte")

		begin := "BEGIN"
		want := strings.Join([]string{
			"GET /sales/{id}",
			"  acquire",
			"  hold",
			"    SELECT sales",
			"    block",
			"      " + begin,
			"      INSERT sales",
			"      savepoint",
			"        SAVEPOINT",
			"        UPDATE sales",
			"        ROLLBACK",
			"      COMMIT",
		}, "\n") + "\n"
		if got := tree(spans, root); got != want {
			t.Errorf("the tree is\n%swant\n%s", got, want)
		}

		statement := one(t, spans, "INSERT sales")
		expect(t, "kind", statement.Kind, traces.Span_SPAN_KIND_CLIENT)
		has(t, statement, map[string]string{
			"db.system.name": map[string]string{"sqlite": "sqlite", "postgres": "postgresql"}[settings.Engine], "db.namespace": "default",
			"db.query.text": "INSERT INTO sales VALUES (?...)", "db.query.summary": "INSERT sales", "db.operation.name": "INSERT",
			"code.file.path": "telemetry/helpers_test.go", "quintet.db.affected_rows": "1",
		})
		has(t, one(t, spans, "SELECT sales"), map[string]string{
			"db.query.text": "SELECT count(*) FROM sales WHERE region <> ?", "db.response.returned_rows": "1",
		})
		has(t, one(t, spans, "block"), map[string]string{"quintet.db.block.outcome": "committed"})
		has(t, one(t, spans, "savepoint"), map[string]string{"quintet.db.block.outcome": "rolled back"})
	})
}

// has looks at attributes; one that is "" must not be there.
func has(t *testing.T, span *traces.Span, want map[string]string) {
	t.Helper()
	got := said(span.Attributes)
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s: %s is %q, want %q", span.Name, key, got[key], value)
		}
	}
}

func events(span *traces.Span) string {
	var names []string
	for _, e := range span.Events {
		names = append(names, e.Name)
	}
	return strings.Join(names, ", ")
}

// The hold of a stream ends before its first byte: that is what the framework is for, and
// what a trace shows.
func TestTraces_AStreamHoldsNothing(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		s := tell(t, settings, routes)
		s.ask(t, "/export", 200)
		spans := s.sent(t)
		root, hold, stream := one(t, spans, "GET /export"), one(t, spans, "hold"), one(t, spans, "stream")
		expect(t, "parent of the stream", hex.EncodeToString(stream.ParentSpanId), hex.EncodeToString(root.SpanId))
		expect(t, "events", events(stream), "first byte")
		if hold.EndTimeUnixNano > stream.Events[0].TimeUnixNano {
			t.Errorf("the hold ends at %d, the first byte is at %d", hold.EndTimeUnixNano, stream.Events[0].TimeUnixNano)
		}
		if stream.StartTimeUnixNano > stream.Events[0].TimeUnixNano || stream.EndTimeUnixNano < stream.Events[0].TimeUnixNano {
			t.Errorf("the stream is from %d to %d, its first byte at %d", stream.StartTimeUnixNano, stream.EndTimeUnixNano, stream.Events[0].TimeUnixNano)
		}
		has(t, stream, map[string]string{"http.response.body.size": "14", "quintet.stream.keeps_connection": "false"})
		has(t, hold, map[string]string{"quintet.db.release.reason": "stream"})
	})
}

func TestTraces_AStreamThatKeepsItsConnectionShowsIt(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		s := tell(t, settings, routes)
		s.ask(t, "/export?keep", 200)
		spans := s.sent(t)
		hold, stream := one(t, spans, "hold"), one(t, spans, "stream")
		has(t, stream, map[string]string{"quintet.stream.keeps_connection": "true"})
		if hold.EndTimeUnixNano < stream.Events[0].TimeUnixNano {
			t.Errorf("the hold ends at %d, the first byte is at %d", hold.EndTimeUnixNano, stream.Events[0].TimeUnixNano)
		}
	})
}

func TestTraces_SayWhatFailed(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		s := tell(t, settings, routes)
		s.sales(t)
		s.ask(t, "/fail/unique", 500)
		code := map[string]string{"sqlite": "1555", "postgres": "23505"}[settings.Engine]
		spans := s.sent(t)
		root := one(t, spans, "GET /fail/{how}")
		expect(t, "status", root.Status.GetCode(), traces.Status_STATUS_CODE_ERROR)
		expect(t, "message", root.Status.GetMessage(), code)
		has(t, root, map[string]string{"error.type": "500", "http.response.status_code": "500"})
		failed := 0
		for _, span := range spans {
			if span.Name == "INSERT sales" && span.Status.GetCode() == traces.Status_STATUS_CODE_ERROR {
				failed++
				has(t, span, map[string]string{"error.type": code, "db.response.status_code": code})
			}
		}
		expect(t, "statements that failed", failed, 1)

		s.ask(t, "/fail/panic", 500)
		if spans = s.sent(t); spans[len(spans)-1].Status.GetMessage() == "" {
			t.Errorf("a panic is %v", spans[len(spans)-1].Status)
		}
	})
}

// A task is a trace of its own, or part of the request that runs it; a task in it is its
// child. One that needs no connection has nothing to show.
func TestTraces_Tasks(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings.MaxConnections = 3
		s := tell(t, settings, func(site *app.Site) {
			site.GET("/run", func(r *views.Request) (views.Response, error) {
				return views.Text{Body: "ran"}, db.Run(r.Context(), "of a view", selects)
			})
		})
		err := s.Connections().Run(t.Context(), "outer", func(ctx context.Context) error {
			return errors.Join(selects(ctx), db.Run(ctx, "inner", selects), db.Run(ctx, "silent", func(context.Context) error { return nil }))
		})
		if err != nil {
			t.Fatal(err)
		}
		s.ask(t, "/run", 200)
		spans := s.sent(t)
		outer, inner := one(t, spans, "outer"), one(t, spans, "inner")
		expect(t, "kind", outer.Kind, traces.Span_SPAN_KIND_INTERNAL)
		expect(t, "parent of the outer", len(outer.ParentSpanId), 0)
		expect(t, "parent of the inner", hex.EncodeToString(inner.ParentSpanId), hex.EncodeToString(outer.SpanId))
		expect(t, "below the request", tree(spans, one(t, spans, "GET /run")), "GET /run\n  of a view\n    acquire\n    hold\n      SELECT\n")
		for _, span := range spans {
			if span.Name == "silent" {
				t.Error("a task without a connection has a span")
			}
		}
	})
}

func selects(ctx context.Context) error {
	var n int
	return db.From(ctx).QueryRowContext(ctx, "SELECT 1").Scan(&n)
}

// What the code of a view traces belongs to the request, and its task to that.
func TestTraces_TheContextOfARequestHasItsSpan(t *testing.T) {
	t.Parallel()
	var s *told
	s = tell(t, dbtest.Database(t, dbtest.SQLite), func(site *app.Site) {
		site.GET("/own", func(r *views.Request) (views.Response, error) {
			ctx, span := s.tracers.Tracer("own").Start(r.Context(), "own")
			defer span.End()
			if !trace.SpanContextFromContext(ctx).HasTraceID() {
				t.Error("there is no trace")
			}
			return views.Text{Body: "own"}, db.Run(ctx, "task", selects)
		})
	})
	s.ask(t, "/own", 200)
	spans := s.sent(t)
	expect(t, "tree", tree(spans, one(t, spans, "GET /own")), "GET /own\n  own\n    task\n      acquire\n      hold\n        SELECT\n")
}

// Who waits for a connection in vain is told by the span and by the counter.
func TestTraces_AWaitInVain(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings.MaxConnections, settings.AcquireTimeout = 1, 20*time.Millisecond
		s := tell(t, settings, routes)
		taken, over := make(chan struct{}), make(chan struct{})
		done := make(chan error)
		go func() {
			done <- s.Connections().Run(t.Context(), "holder", func(ctx context.Context) error {
				defer func() { <-over }()
				defer close(taken)
				for ctx.Err() == nil { // a busy machine may take longer to connect than one may wait
					if db.From(ctx).EnsureConnection(ctx) == nil {
						return nil
					}
				}
				return ctx.Err()
			})
		}()
		<-taken
		before := s.Connections().Stats(db.DefaultAlias).Exhausted // of the one who had to try again
		err := s.Connections().Run(t.Context(), "in vain", selects)
		close(over)
		if held := <-done; held != nil {
			t.Fatal(held)
		}
		if !errors.Is(err, db.ErrUnavailable) {
			t.Fatalf("%v", err)
		}
		spans := s.sent(t)
		root := one(t, spans, "in vain")
		expect(t, "tree", tree(spans, root), "in vain\n  acquire\n")
		for _, span := range spans {
			if string(span.ParentSpanId) == string(root.SpanId) {
				has(t, span, map[string]string{"error.type": "exhausted", "db.client.connection.pool.name": "default"})
				expect(t, "status", span.Status.GetCode(), traces.Status_STATUS_CODE_ERROR)
			}
		}
		families := s.page(t)
		pool := map[string]string{"db_client_connection_pool_name": "default"}
		expect(t, "timeouts", value(t, families, "db_client_connection_timeouts_total", pool), float64(before+1))
		s.mu.Lock()
		defer s.mu.Unlock()
		expect(t, "unit", s.metrics["db.client.connection.timeouts"].GetUnit(), "{timeout}")
	})
}

// After stop nothing begins, and what runs is told to its end.
func TestStart_StopTellsWhatRunsToItsEnd(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		inside, goOn := make(chan struct{}), make(chan struct{})
		s := tell(t, settings, func(site *app.Site) {
			site.GET("/slow", func(r *views.Request) (views.Response, error) {
				close(inside)
				<-goOn
				return views.Text{Body: "slow"}, selects(r.Context())
			})
			site.GET("/late", func(r *views.Request) (views.Response, error) {
				return views.Text{Body: "late"}, selects(r.Context())
			})
		})
		over := make(chan *httptest.ResponseRecorder)
		go func() { over <- get(s.Site, "/slow") }()
		<-inside
		families := s.page(t)
		get1 := map[string]string{"http_request_method": "GET", "url_scheme": "http"}
		expect(t, "running", value(t, families, "http_server_active_requests", get1), 1)
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		s.ask(t, "/late", 200)
		close(goOn)
		<-over
		spans := s.sent(t)
		expect(t, "tree", tree(spans, one(t, spans, "GET /slow")), "GET /slow\n  acquire\n  hold\n    SELECT\n")
		for _, span := range spans {
			if strings.Contains(span.Name, "late") {
				t.Errorf("after stop: %s", span.Name)
			}
		}
		bus := s.Bus()
		for name, has := range map[string]bool{
			"RequestStarted": bus.RequestStarted.HasReceivers(), "ResponseStarted": bus.ResponseStarted.HasReceivers(),
			"RequestFinished": bus.RequestFinished.HasReceivers(), "ConnectionReleased": bus.ConnectionReleased.HasReceivers(),
		} {
			if has {
				t.Errorf("%s has receivers after the end", name)
			}
		}
	})
}
