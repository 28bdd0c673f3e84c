package app_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// ready asks as a supervisor does.
func ready(t *testing.T, site *app.Site) (status int, h app.Health) {
	t.Helper()
	answer := get(site.Admin(), "/ready")
	if err := json.Unmarshal(answer.Body.Bytes(), &h); err != nil {
		t.Fatalf("%v: %s", err, answer.Body)
	}
	return answer.Code, h
}

// becomes asks again until the answer is as wanted.
func becomes(t *testing.T, site *app.Site, status int) app.Health {
	t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		got, h := ready(t, site)
		if got == status {
			return h
		}
		select {
		case <-again.C:
		case <-t.Context().Done():
			t.Fatalf("it stays %d: %+v", got, h)
		case <-time.After(time.Minute):
			t.Fatalf("for a minute it stays %d: %+v", got, h)
		}
	}
}

func TestHealth_ReadyWhenEveryDatabaseAnswers(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		site := newSite(t, withDatabase(settings), app.Options{})
		status, h := ready(t, site)
		if status != http.StatusOK || !h.Ready || h.Stopping || len(h.Databases) != 1 ||
			h.Databases[0].Alias != "default" || !h.Databases[0].Working || h.Databases[0].Error != "" || h.Databases[0].Since.IsZero() {
			t.Errorf("%d, %+v", status, h)
		}
		if s := site.Connections().Stats("default"); s.InUse != 0 {
			t.Errorf("asking holds a connection: %+v", s)
		}
		answer := get(site.Admin(), "/live")
		equal(t, "alive", answer.Body.String(), "{\"live\":true}\n")
	})
	status, h := ready(t, newSite(t, anyHost(), app.Options{}))
	if status != http.StatusOK || !h.Ready || h.Databases == nil {
		t.Errorf("a site without databases is %d, %+v", status, h)
	}
}

// A database that is full of work answers, and the process stays in service.
func TestHealth_AFullPoolIsReady(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings.MaxConnections = 2
		site := newSite(t, withDatabase(settings), app.Options{})
		const all = 2
		leased, over, done := make(chan struct{}), make(chan struct{}), make(chan error)
		for range all {
			go func() {
				done <- site.Connections().Run(t.Context(), "busy", func(ctx context.Context) error {
					err := db.From(ctx).EnsureConnection(ctx)
					leased <- struct{}{}
					<-over
					return err
				})
			}()
		}
		for range all {
			<-leased
		}
		status, h := ready(t, site)
		if status != http.StatusOK || !h.Ready {
			t.Errorf("%d, %+v", status, h)
		}
		equal(t, "dedicated that are left", site.Connections().Stats("default").Dedicated, 0)
		close(over)
		for range all {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestHealth_SaysWhichDatabaseIsAwayAndSinceWhen(t *testing.T) {
	t.Parallel()
	settings := dbtest.Database(t, dbtest.Postgres)
	settings.ConnMaxAge, settings.MaxConnections = db.Forever, 2
	for name, fault := range map[string]struct {
		breaks func(*dbtest.Proxy)
		mends  func(testing.TB, *dbtest.Proxy)
	}{
		"refused": {func(p *dbtest.Proxy) { p.Refuse(); p.Reset() }, func(t testing.TB, p *dbtest.Proxy) { p.Accept(t) }},
		"frozen":  {(*dbtest.Proxy).Freeze, func(_ testing.TB, p *dbtest.Proxy) { p.Thaw() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy, through := dbtest.NewProxy(t, settings)
			journal := &journal{}
			s := withDatabase(dbtest.Database(t, dbtest.SQLite))
			s.Databases["archive"] = through
			site := newSite(t, s, app.Options{Logger: slog.New(slog.NewJSONHandler(journal, nil))})
			if status, h := ready(t, site); status != http.StatusOK {
				t.Fatalf("%d, %+v", status, h)
			}
			began := time.Now()
			fault.breaks(proxy)
			h := becomes(t, site, http.StatusServiceUnavailable)
			equal(t, "ready", h.Ready, false)
			equal(t, "databases", len(h.Databases), 2)
			away, here := h.Databases[0], h.Databases[1]
			if away.Alias != "archive" || away.Working || away.Error == "" || away.Since.Before(began) || !here.Working || here.Since.After(began) {
				t.Errorf("%+v", h)
			}
			if name == "frozen" && !strings.Contains(away.Error, "no answer within 1s") {
				t.Errorf("why: %s", away.Error)
			}
			fault.mends(t, proxy)
			h = becomes(t, site, http.StatusOK)
			if back := h.Databases[0]; !back.Working || back.Error != "" || !back.Since.After(away.Since) {
				t.Errorf("%+v", h)
			}
			if n := len(journal.entries(t, "app: a database does not answer")); n != 1 {
				t.Errorf("it is logged %d times: %s", n, journal)
			}
			if n := len(journal.entries(t, "app: the database answers again")); n != 1 {
				t.Errorf("the end is logged %d times: %s", n, journal)
			}
		})
	}
}

// Asking often costs the database nothing: a crowd that asks at once makes one query.
func TestHealth_ACrowdAsksOnce(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		site := newSite(t, withDatabase(settings), app.Options{})
		const crowd = 50
		var all sync.WaitGroup
		for range crowd {
			all.Go(func() { site.Health(t.Context()) })
		}
		all.Wait()
		if n := site.Connections().Stats("default").Leases; n == 0 || n >= crowd/2 {
			t.Errorf("%d leases", n)
		}
	})
}

// While a process drains it is alive, and not ready.
func TestHealth_StoppingIsNotReady(t *testing.T) {
	t.Parallel()
	inside, goOn := make(chan struct{}), make(chan struct{})
	s := serve(t, private(t, anyHost()), app.Options{Routes: oneRoute(func(*views.Request) (views.Response, error) {
		close(inside)
		<-goOn
		return views.Text{Body: "over\n"}, nil
	})})
	over := make(chan struct{})
	go func() {
		defer close(over)
		s.opens(t, "/")
	}()
	<-inside
	s.stop()
	h := becomes(t, s.Site, http.StatusServiceUnavailable)
	equal(t, "stopping", h.Stopping, true)
	equal(t, "alive", get(s.Admin(), "/live").Code, http.StatusOK)
	close(goOn)
	<-over
	if err := s.ended(t); err != nil {
		t.Error(err)
	}
}
