//go:build unix

package telemetry_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/live"
	"github.com/goquintet/quintet/app/soaktest"
	"github.com/goquintet/quintet/app/telemetry"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
)

// The four that say what a site does are read when a soak is over: the live page, the
// log, dbstatus and the metrics, each as its reader gets it. The table in counters says
// how each of them says each number; one that the table does not know fails the test.
func TestAgree_PageLogDbstatusAndMetricsSayTheSameAfterASoak(t *testing.T) {
	t.Parallel()
	soaktest.Run(t, func(s *soaktest.Soak) { witnessed(t.Context(), s) })
}

// witness has what the four have said, and what nobody but the test counts.
type witness struct {
	*soaktest.Soak
	log  *logReader
	stop func() error

	tasks      atomic.Int64 // that asked for a connection: the page shows them beside the requests
	statements atomic.Int64 // of tasks: no request's line has them

	atRest []report // of each alias
}

// Two databases of one connection each, for those who wait in vain.
const (
	impatient = "impatient"
	crowded   = "crowded"
)

func witnessed(ctx context.Context, s *soaktest.Soak) {
	w := &witness{Soak: s, log: newLogReader()}
	folder, err := os.MkdirTemp("", "sockets") // its name in t.TempDir may make the path of a socket too long
	if err != nil {
		s.T.Fatal(err)
	}
	s.T.Cleanup(func() { _ = os.RemoveAll(folder) })
	s.Settings.AdminSockets, s.Settings.LogLevel = folder, slog.LevelDebug
	s.Options.Logger = slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for alias, limit := range map[string]time.Duration{impatient: 10 * time.Millisecond, crowded: time.Minute} {
		settings := dbtest.Database(s.T, dbtest.SQLite)
		settings.MaxConnections, settings.MaxWaiting, settings.AcquireTimeout, settings.ConnMaxAge = 1, 1, limit, db.Forever
		s.Settings.Databases[alias] = settings
	}
	soaked := s.Options.Routes
	s.Options.Routes = func(site *app.Site) {
		soaked(site)
		site.GET("/moved", func(*views.Request) (views.Response, error) { return views.Redirect{To: "/sum"}, nil })
		site.GET("/held", func(*views.Request) (views.Response, error) { return holding{}, nil })
		site.GET("/waits", waits, app.MaxStreams(1))
	}
	s.Made = w.made
	s.AtRest = func() { w.rest(ctx) }
	s.Ended = w.ended
}

// made begins to count, before anybody has asked for anything.
func (w *witness) made() {
	site := w.Site
	w.T.Cleanup(site.Recorder().Open()) // as DEBUG does: the page counts from here on
	w.T.Cleanup(site.Connections().Observe(w))
	site.Bus().ConnectionReleased.Connect(func(_ context.Context, e signals.ConnectionReleased) error {
		if w.isTask(e.Holder) {
			w.statements.Add(int64(e.Queries))
		}
		return nil
	})
	reader, page, err := telemetry.Prometheus()
	if err != nil {
		w.T.Fatal(err)
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	site.HandleAdmin("GET /metrics", page)
	w.stop, err = telemetry.Start(site, telemetry.Options{MeterProvider: meters})
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() {
		if err := errors.Join(w.stop(), meters.Shutdown(context.WithoutCancel(w.T.Context()))); err != nil {
			w.T.Error(err)
		}
	})
}

// isTask tells the name of a task from that of a route.
func (*witness) isTask(holder string) bool {
	switch holder {
	case "fill", "books", "nested task", "one", "another":
		return true
	}
	return false
}

// ScopeBegins implements [db.Observer].
func (w *witness) ScopeBegins(ctx context.Context, _ *db.Scope) db.Trace {
	if place, _ := ctx.Value(live.Asked{}).(*live.Place); place != nil && place.Begins {
		return nil
	}
	return &task{witness: w}
}

// task is counted when it asks for its first connection.
type task struct {
	*witness
	asked atomic.Bool
}

func (k *task) Asks(pool.Asked) {
	if !k.asked.Swap(true) {
		k.tasks.Add(1)
	}
}

func (*task) Acquires(pool.Acquired) {}
func (*task) Sends(pool.Sent)        {}
func (*task) Answers(pool.Answered)  {}
func (*task) Ends(pool.Ended)        {}
func (*task) Returns(pool.Returned)  {}
func (*task) Named(string)           {}
func (*task) ScopeEnds()             {}

// rest reads all four while nothing happens any more.
func (w *witness) rest(ctx context.Context) {
	w.cause(ctx)
	for range 20 {
		w.Quiet()
		before := w.numbers()
		now := w.read(ctx)
		if w.numbers() == before {
			w.atRest = now
			break
		} // otherwise an idle connection has served its time meanwhile
	}
	if w.atRest == nil {
		w.T.Fatal("the site does not come to rest")
	}
	for i := range w.atRest {
		w.atRest[i].compare(w.T)
	}
	w.sums()
}

// numbers are those of the site, to see whether they have changed.
func (w *witness) numbers() (all struct {
	site app.Stats
	db   [3]db.Stats
}) {
	all.site = w.Site.Stats()
	for i, alias := range w.Site.Connections().Aliases() {
		all.db[i] = w.Site.Connections().Stats(alias)
	}
	return all
}

// sums are the laws between the numbers of all aliases.
func (w *witness) sums() {
	w.T.Helper()
	statements, first := 0.0, w.atRest[0]
	for _, s := range w.atRest {
		statements += s.status["statements"]
	}
	expect(w.T, "statements, those of the requests' lines and of the tasks", statements, float64(w.log.queries.Load()+w.statements.Load()))
	answered := 0.0
	for _, key := range []string{"answered_1xx", "answered_2xx", "answered_3xx", "answered_4xx", "answered_5xx", "unanswered"} {
		answered += first.site[key]
	}
	expect(w.T, "requests that have ended", answered, first.site["total_requests"])
	expect(w.T, "records of the page that have ended", first.page["finished"], first.site["total_requests"]+float64(w.tasks.Load()))
	expect(w.T, "records of the page that run", first.page["running"], 0)
	for _, key := range []string{"answered_2xx", "answered_3xx", "answered_4xx", "answered_5xx", "unanswered", "total_streams", "refused_streams", "kept_streams", "held_responses"} {
		if first.site[key] == 0 {
			w.T.Errorf("%s is 0: there was nothing to compare", key)
		}
	}
	for _, key := range []string{
		"leases", "opened", "closed", "waited", "wait_seconds", "refused", "exhausted", "queue_full", "statements", "failed", "canceled", "leaked", "pings",
	} {
		most := 0.0
		for _, s := range w.atRest {
			most = max(most, s.status[key])
		}
		if most == 0 {
			w.T.Errorf("%s is 0: there was nothing to compare", key)
		}
	}
}

// ended reads what is left: the last lines of the log, and the metrics.
func (w *witness) ended() {
	families := (&told{Site: w.Site, receiver: &receiver{}}).page(w.T)
	for i, s := range w.atRest {
		s.families = families
		if i == 0 {
			w.last(s, true)
		}
		w.last(s, false)
	}
}

// last compares the last line of an alias, or that of the site, with what was said at
// rest: only what was still open then is closed since.
func (w *witness) last(s report, ofSite bool) {
	w.T.Helper()
	what, before, line := s.alias, s.status, w.log.last(s.alias)
	if ofSite {
		what, before, line = "the site", s.site, w.log.last("")
	}
	for _, c := range counters() {
		if c.ofSite != ofSite || c.gauge {
			continue
		}
		want := before[c.key]
		if c.key == "closed" {
			want += before["open"]
		}
		expect(w.T, what+": "+c.key+" in the last line", line[c.key], want)
		expect(w.T, what+": "+c.key+" in the last metrics", c.metric.of(s), want)
		delete(line, c.key)
	}
	for key := range line {
		w.T.Errorf("the last line of %s has %q, which no line of the table knows", what, key)
	}
}
