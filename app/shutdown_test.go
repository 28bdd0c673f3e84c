package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// A shutdown during 500 streams and 20 queries: streams are told first, nothing leases a
// connection any more, a query that ends in time has its answer, one that does not is
// cancelled and named, and no connection is left at the server.
func TestF62_AShutdownTellsStreamsFirst(t *testing.T) {
	t.Parallel()
	const (
		streams = 500
		queries = 10 // that end in time, and as many that do not
		grace   = 5 * time.Second
	)
	database := dbtest.Database(t, "postgres")
	settings := withDatabase(database)
	settings.ShutdownTimeout = grace
	alias := settings.Databases["default"]
	alias.MaxConnections, alias.ConnMaxAge, alias.AcquireTimeout = 2*queries+4, db.Forever, time.Minute
	settings.Databases["default"] = alias

	told := make(chan error, streams)
	ask := func(statement string) views.View {
		return func(r *views.Request) (views.Response, error) {
			_, err := db.From(r.Context()).NewRaw(statement).Exec(r.Context())
			return views.Text{Body: "done"}, err
		}
	}
	s := serve(t, settings, app.Options{Routes: func(s *app.Site) {
		s.GET("/events", func(r *views.Request) (views.Response, error) {
			ctx := r.Context()
			return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
				if yield([]byte("first\n"), nil) {
					<-ctx.Done()
					told <- context.Cause(ctx)
				}
			}}, query(r)
		})
		s.GET("/short", ask("SELECT pg_advisory_xact_lock_shared(62)"))
		s.GET("/long", ask("SELECT pg_sleep(3600)"))
	}})
	short, unlock := holdLock(t, database, 2*queries)

	clients := newAskers(t, s.url)
	for range streams {
		clients.ask("/events", true)
	}
	for range queries {
		clients.ask("/short", false)
		clients.ask("/long", false)
	}
	<-short // all 20 run at the server
	equal(t, "streams", s.Stats().Streams, streams)
	leases := s.Connections().Stats("default").Leases

	began := time.Now()
	s.stop()
	for range streams {
		if cause := <-told; !errors.Is(cause, app.ErrShutdown) {
			t.Fatalf("a stream was told %v", cause)
		}
	}
	t.Logf("%d streams were told %s after the signal", streams, time.Since(began))
	equal(t, "running queries are let be", s.Connections().Stats("default").InUse, 2*queries)
	if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.url[len("http://"):]); err == nil {
		_ = conn.Close()
		t.Error("it still accepts")
	}
	unlock()
	err := s.ended(t)
	took := time.Since(began)
	t.Logf("the shutdown took %s with a grace of %s", took, grace)
	if took > grace+10*time.Second {
		t.Errorf("the shutdown took %s", took)
	}
	if want := fmt.Sprintf("app: cut off after SHUTDOWN_TIMEOUT (5s): GET /long (%d)", queries); err == nil || err.Error() != want {
		t.Errorf("Serve returned %v, want %s", err, want)
	}
	if backends := dbtest.Backends(t, database); len(backends) > 0 {
		t.Errorf("%d connections are left at the server", len(backends))
	}
	equal(t, "leases since the signal", s.Connections().Stats("default").Leases-leases, 0)
	equal(t, "holders", len(s.Connections().Holders()), 0)

	answers := clients.wait()
	equal(t, "streams that ended in order", answers["/events whole first\n"], streams)
	equal(t, "queries with their answer", answers["/short whole done"], queries)
	equal(t, "queries that were cancelled", answers["/long 503 <nil>"]+answers["/long broken"], queries) // a machine may be too slow for an answer
	counts := map[string]int{}
	for _, event := range s.finished.Events() {
		counts[fmt.Sprint(event.Route, " ", errors.Is(event.Err, app.ErrShutdown))]++
	}
	equal(t, "RequestFinished", counts, map[string]int{"GET /events false": streams, "GET /short false": queries, "GET /long true": queries})
	equal(t, "RequestFailed", len(s.failed.Events()), 0)
}

// holdLock holds what the short queries wait for, until unlock is called; when that
// returns, nothing of it is left at the server. The channel is closed when as many
// statements as running are under way there.
func holdLock(t *testing.T, database db.Settings, running int) (all <-chan struct{}, unlock func()) {
	t.Helper()
	conns := dbtest.Open(t, database)
	locked, ready, free, ended := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- conns.Run(t.Context(), "lock", func(ctx context.Context) error {
			if _, err := db.From(ctx).NewRaw("SELECT pg_advisory_lock(62)").Exec(ctx); err != nil {
				return err
			}
			close(locked)
			for n := 0; n < running; {
				err := db.From(ctx).NewRaw(`SELECT count(*) FROM pg_stat_activity
					WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()`).Scan(ctx, &n)
				if err != nil {
					return err
				}
				if err := views.Sleep(ctx, 10*time.Millisecond); err != nil {
					return err
				}
			}
			close(ready)
			<-free
			return nil
		})
	}()
	select {
	case <-locked:
	case err := <-ended:
		t.Fatal(err)
	}
	return ready, func() {
		close(free)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// askers ask each a question of its own, and count the kinds of answers.
type askers struct {
	t       *testing.T
	url     string
	client  *http.Client
	running sync.WaitGroup

	mu      sync.Mutex // guards answers
	answers map[string]int
}

func newAskers(t *testing.T, url string) *askers {
	return &askers{t: t, url: url, client: client(t), answers: map[string]int{}}
}

// ask asks, and with begun returns only when the headers of the answer are there.
func (a *askers) ask(path string, begun bool) {
	a.t.Helper()
	there := make(chan struct{})
	a.running.Go(func() {
		kind := a.fetch(path, sync.OnceFunc(func() { close(there) }))
		a.mu.Lock()
		defer a.mu.Unlock()
		a.answers[path+" "+kind]++
	})
	if begun {
		<-there
	}
}

func (a *askers) fetch(path string, there func()) string {
	defer there()
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, a.url+path, nil)
	if err != nil {
		return err.Error()
	}
	response, err := a.client.Do(request)
	if err != nil {
		return "broken"
	}
	there()
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Sprintf("%d %v", response.StatusCode, err)
	}
	return "whole " + string(body)
}

func (a *askers) wait() map[string]int {
	a.running.Wait()
	return a.answers
}
