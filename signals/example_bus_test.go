package signals_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/goquintet/quintet/signals"
)

// How are a site's requests counted? A site sends these events itself; here the
// example does.
func ExampleBus() {
	var bus signals.Bus // of a site: site.Bus()
	requests := map[string]int{}
	bus.RequestFinished.ConnectOnce("metrics", func(_ context.Context, e signals.RequestFinished) error {
		requests[e.Route]++ // a real one locks: requests run at the same time
		return nil
	})

	for _, path := range []string{"/polls/1", "/polls/2"} {
		bus.RequestFinished.SendRobust(context.Background(), signals.RequestFinished{
			Request:  httptest.NewRequest(http.MethodGet, path, nil),
			Route:    "GET /polls/{id}",
			Status:   200,
			Duration: 3 * time.Millisecond,
		})
	}
	fmt.Println(requests)
	// Output:
	// map[GET /polls/{id}:2]
}

// How does a site in DEBUG say that a uid was connected twice?
func ExampleBus_OnDuplicate() {
	var bus signals.Bus
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	bus.OnDuplicate(func(d signals.Duplicate) {
		logger.Debug("uid already connected", "event", d.Event, "uid", d.UID) // and d.First, d.Second
	})
	for range 2 {
		bus.ConnectionCreated.ConnectOnce("audit", func(context.Context, signals.ConnectionCreated) error { return nil })
	}
	// Output:
	// level=DEBUG msg="uid already connected" event=signals.ConnectionCreated uid=audit
}
