package app_test

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
)

// The receivers of the life cycle have a context that the client's departure does
// not end, with a deadline of its own, and may query.
func TestSignals_ReceiversOutliveTheClient(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		settings := withDatabase(database)
		settings.CleanupTimeout = time.Minute
		s := play(t, settings, app.Options{Routes: oneRoute(stream(1, waits))})
		receive := func(ctx context.Context) error {
			deadline, ok := ctx.Deadline()
			if !ok || time.Until(deadline) > time.Minute || ctx.Err() != nil {
				t.Errorf("a receiver's context ends at %v: %v", deadline, ctx.Err())
			}
			var n int
			if err := db.From(ctx).NewRaw("SELECT 1").Scan(ctx, &n); err != nil {
				t.Errorf("a receiver cannot query: %v", err)
			}
			return nil
		}
		s.Bus().RequestStarted.Connect(func(ctx context.Context, _ signals.RequestStarted) error { return receive(ctx) })
		s.Bus().RequestFinished.Connect(func(ctx context.Context, _ signals.RequestFinished) error { return receive(ctx) })
		s.over("HTTP/1.1")
		leaves(http.MethodGet)(t, s)
		s.finished.Wait(1)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		s.atHome(t)
	})
}

// What a receiver of RequestFinished leaves open is rolled back, and told.
func TestSignals_AReceiverLeavesATransactionOpen(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		s := play(t, withDatabase(database), app.Options{Routes: oneRoute(text("in"))})
		s.Bus().RequestFinished.Connect(func(ctx context.Context, _ signals.RequestFinished) error {
			_, err := db.From(ctx).BeginTx(ctx, nil)
			return err
		})
		get(s, "/")
		s.atHome(t)
		equal(t, "told", len(s.journal.entries(t, "app: a receiver left a transaction open")), 1)
	})
}

// A receiver that ends its goroutine takes the request's with it, but neither its
// connection nor its line in the log.
func TestSignals_AReceiverEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		s := play(t, withDatabase(database), app.Options{Routes: oneRoute(afterQuery(views.Text{Body: "in"}, nil))})
		s.Bus().RequestFinished.Connect(func(context.Context, signals.RequestFinished) error {
			runtime.Goexit()
			return nil
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			get(s, "/")
		}()
		<-done
		s.atHome(t)
		equal(t, "running requests", s.Stats().Requests, 0)
		equal(t, "lines", len(s.journal.entries(t, "request")), 1)
	})
}

// GP-046: the order of an unhandled error is started, failed, finished.
func TestSignals_Order(t *testing.T) {
	t.Parallel()
	var order []string
	s := play(t, anyHost(), app.Options{
		Routes: oneRoute(func(*views.Request) (views.Response, error) {
			order = append(order, "view")
			return nil, errScene
		}),
		Middleware: []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				order = append(order, "in")
				next.ServeHTTP(w, r)
				order = append(order, "out")
			})
		}},
	})
	s.Bus().RequestStarted.Connect(func(context.Context, signals.RequestStarted) error { order = append(order, "started"); return nil })
	s.Bus().RequestFailed.Connect(func(context.Context, signals.RequestFailed) error { order = append(order, "failed"); return nil })
	s.Bus().RequestFinished.Connect(func(context.Context, signals.RequestFinished) error { order = append(order, "finished"); return nil })
	get(s, "/")
	equal(t, "the order", strings.Join(order, " "), "started in view failed out finished")
}

// ResponseStarted comes with the first byte, once: the connections have gone home, and
// its receivers have a scope of their own.
func TestSignals_TheFirstByteIsTold(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		s := play(t, withDatabase(database), app.Options{Routes: func(s *app.Site) {
			s.GET("/text/{id}", func(r *views.Request) (views.Response, error) {
				return views.Text{Status: http.StatusAccepted, Body: "once"}, query(r)
			})
			s.GET("/stream", stream(3, nil))
		}})
		var told []signals.ResponseStarted
		s.Bus().ResponseStarted.Connect(func(ctx context.Context, e signals.ResponseStarted) error {
			told = append(told, e)
			if held := s.Connections().Holders(); len(held) > 0 {
				t.Errorf("held at the first byte: %v", held)
			}
			if db.ScopeOf(ctx) == db.ScopeOf(e.Request.Context()) {
				t.Error("a receiver has the scope of the request")
			}
			var n int
			return db.From(ctx).NewRaw("SELECT 1").Scan(ctx, &n)
		})
		for path, want := range map[string]signals.ResponseStarted{
			"/text/7":  {Route: "GET /text/{id}", Status: http.StatusAccepted},
			"/stream":  {Route: "GET /stream", Status: http.StatusOK, Stream: 1},
			"/nowhere": {Status: http.StatusNotFound},
		} {
			told = nil
			get(s, path)
			if len(told) != 1 {
				t.Fatalf("%s: told %d times, want 1", path, len(told))
			}
			got := told[0]
			if got.Route != want.Route || got.Status != want.Status || got.Duration <= 0 || (got.Stream > 0) != (want.Stream > 0) || got.Stream > got.Duration {
				t.Errorf("%s: %+v, want %+v", path, got, want)
			}
		}
		s.atHome(t)
		equal(t, "errors of receivers", len(s.journal.entries(t, "app: a receiver fails")), 0)
	})
}

// A receiver of RequestStarted may add values to the context of the request.
func TestSignals_AReceiverAddsToTheContextOfARequest(t *testing.T) {
	t.Parallel()
	type key struct{}
	var inView, inMiddleware, atTheEnd any
	s := newSite(t, anyHost(), app.Options{
		Middleware: []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				inMiddleware = r.Context().Value(key{})
				next.ServeHTTP(w, r)
			})
		}},
		Routes: oneRoute(func(r *views.Request) (views.Response, error) {
			inView = r.Context().Value(key{})
			return views.Text{Body: app.RequestID(r.Context())}, nil
		}),
	})
	s.Bus().RequestStarted.Connect(func(_ context.Context, e signals.RequestStarted) error {
		*e.Request = *e.Request.WithContext(context.WithValue(e.Request.Context(), key{}, "added"))
		return nil
	})
	s.Bus().RequestFinished.Connect(func(_ context.Context, e signals.RequestFinished) error {
		atTheEnd = e.Request.Context().Value(key{})
		return nil
	})
	answer := get(s, "/")
	for where, got := range map[string]any{"middleware": inMiddleware, "view": inView, "RequestFinished": atTheEnd} {
		equal(t, "in "+where, got, any("added"))
	}
	equal(t, "request ID", answer.Body.String(), answer.Header().Get("X-Request-Id"))
}
