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
