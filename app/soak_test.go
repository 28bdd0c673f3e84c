package app_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres/server"
)

const (
	soakConnections = 5
	soakWorkers     = 12
)

// A site under everything that it may be asked, whose clients leave when they like and
// whose server loses a session every second and is restarted twice, once as in a
// crash. Every row is checked. QUINTET_SOAK=10m makes it last, QUINTET_SOAK_SEED
// repeats what is asked. SQLite, which has no server to lose, gets a quarter of the time.
func TestSoak_NothingIsWrongOrLeftAndOnlyWhatAFaultHitsFails(t *testing.T) {
	t.Parallel()
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
		newSoak(t, seed, dbtest.Database(t, dbtest.SQLite), nil).run(duration / 4)
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
		}, srv).run(duration)
	})
}

// soakFault is one thing that was done to the server.
type soakFault struct {
	what         string
	began, ended time.Time
	hits         int // so many connections at most
}

type soak struct {
	t       *testing.T
	srv     *server.Server // nil for SQLite
	site    *app.Site
	views   *soakSite
	clients *soakClients
	faults  []soakFault
}

func newSoak(t *testing.T, seed uint64, settings db.Settings, srv *server.Server) *soak {
	t.Helper()
	settings.MaxConnections = soakConnections
	settings.ConnMaxAge, settings.ConnHealthChecks = 3*time.Second, true
	settings.AcquireTimeout = 30 * time.Second // longer than any outage on a busy machine
	s := &soak{
		t: t, srv: srv,
		views:   &soakSite{engine: settings.Engine, errs: make(map[string]error), committed: make(map[string]bool)},
		clients: &soakClients{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: soakWorkers + 1}}, seed: seed, moved: make(map[string]bool)},
	}
	s.site = newSite(t, withDatabase(settings), app.Options{Routes: s.views.routes})
	if err := s.site.Connections().Run(t.Context(), "fill", s.views.fill); err != nil {
		t.Fatal(err)
	}
	s.site.Bus().RequestFinished.Connect(s.views.heard)
	return s
}

// run asks for so long, ends the site, and looks at what is left.
func (s *soak) run(duration time.Duration) {
	s.t.Helper()
	listener, err := new(net.ListenConfig).Listen(s.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.clients.url = "http://" + listener.Addr().String()
	serving, stop := context.WithCancel(s.t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.site.Serve(serving, listener) }()

	asking, enough := context.WithTimeout(s.t.Context(), duration)
	defer enough()
	var all sync.WaitGroup
	for n := range soakWorkers {
		all.Go(func() { s.clients.run(asking, n, soakAsks()) })
	}
	all.Go(func() { s.clients.run(asking, soakWorkers, []soakAsk{soakNested()}) })
	s.disturb(asking, duration)
	all.Wait()
	s.atRest()
	s.clients.client.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		s.t.Errorf("the site ended with %v", err)
	}
	s.judge()
}

// disturb kills a session every second, restarts the server after each third of the
// time, and tells how it goes.
func (s *soak) disturb(asking context.Context, duration time.Duration) {
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
			s.fault([]string{"restart", "crash"}[restarts], soakConnections, func(ctx context.Context) error { return s.srv.Restart(ctx, modes[0]) })
			modes = modes[1:]
		default:
			s.fault("kill", 1, func(ctx context.Context) error { return s.kill(ctx, r) })
			s.watch()
		}
		if n%5 == 0 {
			stats := s.site.Connections().Stats("default")
			s.t.Logf("%s: %d asked, %d answered, %d left, %d connections opened, %d in use", time.Since(began).Round(time.Second),
				s.clients.asked.Load(), s.clients.answered.Load(), s.clients.left.Load(), stats.Opened, stats.InUse)
		}
	}
}

func (s *soak) fault(what string, hits int, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	f := soakFault{what: what, began: time.Now(), hits: hits}
	if err := do(ctx); err != nil {
		s.t.Errorf("%s: %v", what, err)
	}
	f.ended = time.Now()
	s.faults = append(s.faults, f)
}

// kill ends one of the site's sessions.
func (s *soak) kill(ctx context.Context, r *rand.Rand) error {
	pids, err := s.srv.Backends(ctx, "soak")
	if err != nil || len(pids) == 0 {
		return err
	}
	// It may have gone by itself meanwhile.
	_, err = s.srv.Query(ctx, "postgres", "SELECT pg_terminate_backend($1, 5000)", fmt.Sprint(pids[r.IntN(len(pids))]))
	return err
}

// watch looks at the server between two faults.
func (s *soak) watch() {
	rows, err := s.srv.Query(s.t.Context(), "postgres", `SELECT count(*),
		count(*) FILTER (WHERE state LIKE 'idle in transaction%' AND state_change < now() - interval '10s')
		FROM pg_stat_activity WHERE datname = 'soak' AND backend_type = 'client backend'`)
	if err != nil {
		s.t.Error(err)
		return
	}
	if sessions := soakFirst("/" + rows[0][0]); sessions > 2*soakConnections {
		s.t.Errorf("%d sessions on the server, want at most %d, and as many that are on their way out", sessions, soakConnections)
	}
	if rows[0][1] != "0" {
		s.t.Errorf("%s sessions are idle in a transaction", rows[0][1])
	}
}

// atRest looks at what is held when nobody asks any more.
func (s *soak) atRest() {
	quiet := func() bool {
		stats := s.site.Connections().Stats("default")
		return s.site.Stats().Requests == 0 && stats.InUse+stats.Waiting+stats.Connecting+stats.Closing == 0
	}
	waited := time.After(time.Minute)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !quiet() {
		select {
		case <-waited:
			s.t.Fatalf("a minute after the last request: %+v, holders %v", s.site.Connections().Stats("default"), s.site.Connections().Holders())
		case <-again.C:
		}
	}
	if s.srv != nil {
		rows, err := s.srv.Query(s.t.Context(), "postgres", `SELECT count(*) FILTER (WHERE state <> 'idle'),
			(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') FROM pg_stat_activity WHERE datname = 'soak'`)
		if err != nil || rows[0][0] != "0" || rows[0][1] != "0" {
			s.t.Errorf("on the server sessions that are not idle and advisory locks are left: %v, %v", rows, err)
		}
	}
	s.books()
}

// books compares what is stored with what clients were told.
func (s *soak) books() {
	s.t.Helper()
	type transfer struct {
		ID                     string
		Source, Target, Amount int64
	}
	var transfers []transfer
	balances := make([]int64, soakAccounts)
	if err := s.site.Connections().Run(s.t.Context(), "books", func(ctx context.Context) error {
		if err := db.From(ctx).NewSelect().Table("transfers").Column("*").Scan(ctx, &transfers); err != nil {
			return err
		}
		return db.From(ctx).NewSelect().Table("accounts").Column("balance").Order("id").Scan(ctx, &balances)
	}); err != nil {
		s.t.Fatal(err)
	}
	stored := make(map[string]bool)
	for _, one := range transfers {
		stored[one.ID] = true
		balances[one.Source] += one.Amount
		balances[one.Target] -= one.Amount
	}
	for account, balance := range balances {
		if balance != soakBalance {
			s.t.Errorf("account %d is off by %d", account, balance-soakBalance)
		}
	}
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	for _, told := range []map[string]bool{s.clients.moved, s.views.committed} {
		for id := range told {
			if !stored[id] {
				s.t.Errorf("transfer %s was told to be there, and is not", id)
			}
		}
	}
	for _, f := range s.clients.failed {
		if f.name == "transfer" && stored[f.id] && !errors.Is(s.views.errs[f.id], db.ErrCommitUnknown) {
			s.t.Errorf("transfer %s failed with %v, and is there", f.id, s.views.errs[f.id])
		}
	}
}

// judge says what failed and why, and whether it may have.
func (s *soak) judge() {
	s.t.Helper()
	c := s.clients
	for _, w := range c.wrong {
		s.t.Errorf("%s was answered wrong: %s", w.path, w.wrong)
	}
	causes, kinds, most := make(map[string]int), make(map[string]int), 0
	for _, f := range s.faults {
		kinds[f.what]++
		most += f.hits
	}
	for _, f := range c.failed {
		err := s.views.err(f.id)
		cause, _, _ := strings.Cut(fmt.Sprint(err), " (SQLSTATE")
		causes[f.name+": "+cause]++
		hit := slices.ContainsFunc(s.faults, func(fault soakFault) bool { return !f.began.After(fault.ended) && !f.ended.Before(fault.began) })
		switch {
		case !errors.Is(err, db.ErrConnectionLost) && !errors.Is(err, db.ErrCommitUnknown):
			s.t.Errorf("%s %s: its client saw %q, its cause is %v", f.name, f.id, f.failed, err)
		case !hit:
			s.t.Errorf("%s %s was not under way at any fault: %v", f.name, f.id, err)
		}
	}
	if len(c.failed) > most {
		s.t.Errorf("%d requests failed, want at most %d: one for a kill, %d for a restart", len(c.failed), most, soakConnections)
	}
	stats := s.site.Connections().Stats("default")
	s.t.Logf("%d asked, %d answered, %d left by their clients, %d failed; the slowest took %s; faults: %v", c.asked.Load(), c.answered.Load(), c.left.Load(),
		len(c.failed), c.slowest.Round(time.Millisecond), kinds)
	s.t.Logf("%d leases, %d connections opened, %d found dead, %d statements cancelled, %d things left open, %d quarantined, %d acquires refused",
		stats.Leases, stats.Opened, stats.Dead, stats.Canceled, stats.Leaked, stats.Quarantined, stats.Refused)
	for _, cause := range slices.Sorted(maps.Keys(causes)) {
		s.t.Logf("%d failed: %s", causes[cause], cause)
	}
	if c.answered.Load() == 0 || c.left.Load() == 0 {
		s.t.Error("nobody was answered, or nobody left")
	}
	if s.srv != nil {
		if pids, err := s.srv.Backends(s.t.Context(), "soak"); err != nil || len(pids) > 0 {
			s.t.Errorf("sessions are left on the server: %v, %v", pids, err)
		}
	}
	equal(s.t, "connections open in the end", stats.Open, 0)
}
