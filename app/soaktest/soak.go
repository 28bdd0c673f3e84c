// Package soaktest is a site under everything that it may be asked, whose clients leave
// when they like and whose server loses a session every second and is restarted twice,
// once as in a crash. Every row is checked, and whatever fails has to have been hit.
package soaktest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/postgres/server"
	"github.com/goquintet/quintet/db/sqlite"
)

const (
	connections = 5
	workers     = 12
)

// Soak is one, on one engine. Who prepares it may change what it is made of, and says
// when to be called; nil is never.
type Soak struct {
	T        *testing.T
	Settings app.Settings
	Options  app.Options

	Site   *app.Site // once it is made
	URL    string    // once it serves
	Made   func()    // there is the site, and nobody has asked it yet
	AtRest func()    // it still serves, and everybody has left
	Ended  func()    // it does not serve any more

	srv     *server.Server // nil for SQLite
	views   *pages
	clients *clients
	faults  []fault
}

// Run soaks a site on each engine. QUINTET_SOAK=10m makes it last, QUINTET_SOAK_SEED
// repeats what is asked. SQLite, which has no server to lose, gets a quarter of the time.
// Prepare may be nil.
func Run(t *testing.T, prepare func(*Soak)) {
	t.Helper()
	duration, seed := 5*time.Second, uint64(time.Now().UnixNano())
	if text := os.Getenv("QUINTET_SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		duration = d
	}
	if text := os.Getenv("QUINTET_SOAK_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d, %s", seed, duration)
	t.Run(dbtest.SQLite, func(t *testing.T) {
		dbtest.Goroutines(t)
		newSoak(t, seed, dbtest.Database(t, dbtest.SQLite), nil, prepare).run(duration / 4)
	})
	t.Run(dbtest.Postgres, func(t *testing.T) {
		dbtest.Goroutines(t) // what restarts the server as well
		dbtest.Server(t)     // where there is one, there can be another
		srv, err := server.Start(t.Context(), server.Options{Settings: map[string]string{"synchronous_commit": "on"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := srv.Stop(); err != nil {
				t.Error(err)
			}
		})
		if err := srv.CreateDatabase(t.Context(), "soak", ""); err != nil {
			t.Fatal(err)
		}
		newSoak(t, seed, db.Settings{
			Engine: "postgres", Name: "soak", Host: srv.Host, Port: srv.Port, User: srv.User,
			Options: map[string]string{"sslmode": "disable"},
		}, srv, prepare).run(duration)
	})
}

// fault is one thing that was done to the server.
type fault struct {
	what         string
	began, ended time.Time
	hits         int // so many connections at most
}

func newSoak(t *testing.T, seed uint64, settings db.Settings, srv *server.Server, prepare func(*Soak)) *Soak {
	t.Helper()
	settings.MaxConnections = connections
	settings.ConnMaxAge, settings.ConnHealthChecks = 3*time.Second, true
	settings.AcquireTimeout = 30 * time.Second // longer than any outage on a busy machine
	s := &Soak{
		T: t, srv: srv,
		views:   &pages{engine: settings.Engine, errs: make(map[string]error), committed: make(map[string]bool)},
		clients: &clients{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers + 1}}, seed: seed, moved: make(map[string]bool)},
	}
	s.Settings = app.Settings{AllowedHosts: []string{"*"}, AdminSockets: app.NoAdmin, Databases: map[string]db.Settings{db.DefaultAlias: settings}}
	s.Options = app.Options{Engines: []db.Engine{sqlite.Engine{}, postgres.Engine{}}, Logger: slog.New(slog.DiscardHandler), Routes: s.views.routes}
	if prepare != nil {
		prepare(s)
	}
	site, err := app.New(s.Settings, s.Options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := site.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	s.Site = site
	if s.Made != nil {
		s.Made()
	}
	if err := site.Connections().Run(t.Context(), "fill", s.views.fill); err != nil {
		t.Fatal(err)
	}
	site.Bus().RequestFinished.Connect(s.views.heard)
	return s
}

// run asks for so long, ends the site, and looks at what is left.
func (s *Soak) run(duration time.Duration) {
	s.T.Helper()
	listener, err := new(net.ListenConfig).Listen(s.T.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		s.T.Fatal(err)
	}
	s.URL = "http://" + listener.Addr().String()
	s.clients.url = s.URL
	serving, stop := context.WithCancel(s.T.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Site.Serve(serving, listener) }()

	asking, enough := context.WithTimeout(s.T.Context(), duration)
	defer enough()
	var all sync.WaitGroup
	for n := range workers {
		all.Go(func() { s.clients.run(asking, n, asks()) })
	}
	all.Go(func() { s.clients.run(asking, workers, []ask{nested()}) })
	s.disturb(asking, duration)
	all.Wait()
	s.atRest()
	s.clients.client.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		s.T.Errorf("the site ended with %v", err)
	}
	s.judge()
	if s.Ended != nil {
		s.Ended()
	}
}

// disturb kills a session every second, restarts the server after each third of the
// time, and tells how it goes.
func (s *Soak) disturb(asking context.Context, duration time.Duration) {
	again := time.NewTicker(time.Second)
	defer again.Stop()
	modes := []server.Mode{server.Fast, server.Immediate}
	r := rand.New(rand.NewPCG(s.clients.seed, 1<<32))
	began := time.Now()
	for n := 1; ; n++ {
		select {
		case <-asking.Done():
			return
		case <-again.C:
		}
		switch restarts := 2 - len(modes); {
		case s.srv == nil:
		case len(modes) > 0 && time.Since(began) > duration*time.Duration(restarts+1)/3:
			s.fault([]string{"restart", "crash"}[restarts], connections, func(ctx context.Context) error { return s.srv.Restart(ctx, modes[0]) })
			modes = modes[1:]
		default:
			s.fault("kill", 1, func(ctx context.Context) error { return s.kill(ctx, r) })
			s.watch()
		}
		if n%5 == 0 {
			stats := s.Site.Connections().Stats(db.DefaultAlias)
			s.T.Logf("%s: %d asked, %d answered, %d left, %d connections opened, %d in use", time.Since(began).Round(time.Second),
				s.clients.asked.Load(), s.clients.answered.Load(), s.clients.left.Load(), stats.Opened, stats.InUse)
		}
	}
}

func (s *Soak) fault(what string, hits int, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(s.T.Context(), time.Minute)
	defer cancel()
	f := fault{what: what, began: time.Now(), hits: hits}
	if err := do(ctx); err != nil {
		s.T.Errorf("%s: %v", what, err)
	}
	f.ended = time.Now()
	s.faults = append(s.faults, f)
}

// kill ends one of the site's sessions.
func (s *Soak) kill(ctx context.Context, r *rand.Rand) error {
	pids, err := s.srv.Backends(ctx, "soak")
	if err != nil || len(pids) == 0 {
		return err
	}
	// It may have gone by itself meanwhile.
	_, err = s.srv.Query(ctx, "postgres", "SELECT pg_terminate_backend($1, 5000)", fmt.Sprint(pids[r.IntN(len(pids))]))
	return err
}

// watch looks at the server between two faults.
func (s *Soak) watch() {
	rows, err := s.srv.Query(s.T.Context(), "postgres", `SELECT count(*),
		count(*) FILTER (WHERE state LIKE 'idle in transaction%' AND state_change < now() - interval '10s')
		FROM pg_stat_activity WHERE datname = 'soak' AND backend_type = 'client backend'`)
	if err != nil {
		s.T.Error(err)
		return
	}
	if sessions := lastNumber("/" + rows[0][0]); sessions > 2*connections {
		s.T.Errorf("%d sessions on the server, want at most %d, and as many that are on their way out", sessions, connections)
	}
	if rows[0][1] != "0" {
		s.T.Errorf("%s sessions are idle in a transaction", rows[0][1])
	}
}
