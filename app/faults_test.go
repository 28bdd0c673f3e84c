package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres/server"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
)

// The scenarios of db/FAULTS.md that need a request; those about streams are beside.

// one are settings of a single connection that is kept.
func one(settings db.Settings) db.Settings {
	settings.ConnMaxAge, settings.MaxConnections = db.Forever, 1
	return settings
}

func TestF17_APanicInATransactionRollsBackAndReachesTheMiddlewareUnchanged(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		var seen any
		s := play(t, withDatabase(one(database)), app.Options{
			Routes: func(s *app.Site) {
				s.GET("/", func(r *views.Request) (views.Response, error) {
					return nil, db.Atomic(r.Context(), func(ctx context.Context) error {
						if _, err := db.From(ctx).ExecContext(ctx, "CREATE TABLE half (n int)"); err != nil {
							return err
						}
						panic(errScene)
					})
				})
				s.GET("/next", func(r *views.Request) (views.Response, error) {
					_, err := db.From(r.Context()).ExecContext(r.Context(), "CREATE TABLE half (n int)") // there is none
					return views.Text{Body: "made"}, err
				})
			},
			Middleware: []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer func() {
						if seen == nil {
							if seen = recover(); seen != nil {
								panic(seen)
							}
						}
					}()
					next.ServeHTTP(w, r)
				})
			}},
		})
		equal(t, "status", get(s, "/").Code, 500)
		if seen != any(errScene) {
			t.Errorf("the middleware sees %v", seen)
		}
		s.atHome(t)
		if database.Engine == dbtest.Postgres {
			rows, err := dbtest.Server(t).Query(t.Context(), "postgres", "SELECT state FROM pg_stat_activity WHERE datname = $1", database.Name)
			if err != nil || len(rows) != 1 || rows[0][0] != "idle" {
				t.Errorf("the sessions are %v, %v, want one that is idle", rows, err)
			}
		}
		equal(t, "the next", get(s, "/next").Body.String(), "made")
		equal(t, "connections opened", s.Connections().Stats("default").Opened, 1)
	})
}

func TestF18_APanicThatLeavesRowsOpenCostsNoConnection(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		s := play(t, withDatabase(one(database)), app.Options{Routes: func(s *app.Site) {
			s.GET("/", func(r *views.Request) (views.Response, error) {
				rows, err := db.From(r.Context()).QueryContext(r.Context(), "SELECT 1 UNION ALL SELECT 2")
				if err != nil || !rows.Next() {
					return nil, errors.Join(err, rows.Err())
				}
				panic(errScene)
			})
			s.GET("/next", afterQuery(views.Text{Body: "served"}, nil))
		}})
		began := time.Now()
		equal(t, "status", get(s, "/").Code, 500)
		t.Logf("the request took %s", time.Since(began))
		s.atHome(t)
		equal(t, "the next", get(s, "/next").Body.String(), "served")
		stats := s.Connections().Stats("default")
		equal(t, "leaked", stats.Leaked, 1)
		equal(t, "connections opened, but for one that did not end in a quarter of a second", stats.Opened-stats.Quarantined, 1)
	})
}

func TestF22_ReceiversThatPanicKeepNoConnectionAndNobodyElse(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		s := play(t, withDatabase(database), app.Options{Routes: oneRoute(afterQuery(views.Text{Body: "in"}, nil))})
		heard := 0
		s.Bus().RequestStarted.Connect(func(context.Context, signals.RequestStarted) error { panic("at the start") })
		s.Bus().RequestStarted.Connect(func(context.Context, signals.RequestStarted) error { heard++; return nil })
		s.Bus().RequestFinished.Connect(func(context.Context, signals.RequestFinished) error { panic("at the end") })
		s.Bus().RequestFinished.Connect(func(context.Context, signals.RequestFinished) error { heard++; return nil })
		equal(t, "the answer", get(s, "/").Body.String(), "in")
		equal(t, "receivers that heard of it all the same", heard, 2)
		s.atHome(t)
		told := s.journal.entries(t, "app: a receiver fails")
		if len(told) != 2 || !strings.Contains(fmt.Sprint(told), "at the start") || !strings.Contains(fmt.Sprint(told), "at the end") {
			t.Errorf("the panics are told as %v", told)
		}
	})
}

func TestF42_AFullServerIsA503ThatDoesNotSayExhausted(t *testing.T) {
	t.Parallel()
	dbtest.Server(t) // where there is one, there can be another
	srv, err := server.Start(t.Context(), server.Options{Settings: map[string]string{"max_connections": "3", "superuser_reserved_connections": "0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Stop(); err != nil {
			t.Error(err)
		}
	})
	settings := db.Settings{
		Engine: "postgres", Name: "postgres", Host: srv.Host, Port: srv.Port, User: srv.User,
		ConnMaxAge: db.Forever, MaxConnections: 3, Options: map[string]string{"sslmode": "disable"},
	}
	others := dbtest.Open(t, settings)
	for range settings.MaxConnections {
		ctx, sc := others.NewScope(t.Context(), "others")
		if err := db.From(ctx).EnsureConnection(ctx); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := sc.End(); err != nil {
				t.Error(err)
			}
		}()
	}
	settings.AcquireTimeout = 2 * time.Second
	s := play(t, withDatabase(settings), app.Options{Routes: oneRoute(afterQuery(views.Text{Body: "in"}, nil))})
	began := time.Now()
	w := get(s, "/")
	refused503(t, w.Code, w.Header())
	refused, ok := errors.AsType[*db.AcquireError](s.failed.Wait(1)[0].Err)
	if !ok {
		t.Fatalf("it failed with %v", s.failed.Events()[0].Err)
	}
	t.Logf("refused after %s: %v", time.Since(began), refused)
	if refused.Waited < settings.AcquireTimeout || refused.Waited > settings.AcquireTimeout+5*time.Second {
		t.Errorf("it waited %s, want %s", refused.Waited, settings.AcquireTimeout)
	}
	equal(t, "kind", string(refused.Kind), "unreachable")
	if !strings.Contains(refused.Error(), "53300") || strings.Contains(refused.Error(), "MAX_CONNECTIONS") {
		t.Errorf("the error is %v", refused)
	}
}

func refused503(t *testing.T, status int, header http.Header) {
	t.Helper()
	if retry, err := strconv.Atoi(header.Get("Retry-After")); status != 503 || err != nil || retry < 1 {
		t.Errorf("the answer is %d, Retry-After %q", status, header.Get("Retry-After"))
	}
}

func TestF43_AnExhaustedPoolIsA503AndTheLogNamesTheHolders(t *testing.T) {
	t.Parallel()
	database := dbtest.Database(t, dbtest.Postgres)
	database.ConnMaxAge, database.MaxConnections, database.AcquireTimeout = 600*time.Second, 5, 2*time.Second
	holding, over := make(chan struct{}), make(chan struct{})
	s := play(t, withDatabase(database), app.Options{Routes: func(s *app.Site) {
		hold := func(ctx context.Context) error {
			if _, err := db.From(ctx).ExecContext(ctx, "SELECT 'a secret'"); err != nil {
				return err
			}
			holding <- struct{}{}
			<-over
			return nil
		}
		s.GET("/hold", func(r *views.Request) (views.Response, error) { return views.Text{}, hold(r.Context()) })
		s.GET("/block", func(r *views.Request) (views.Response, error) { return views.Text{}, db.Atomic(r.Context(), hold) })
		s.GET("/", afterQuery(views.Text{Body: "in"}, nil))
	}})
	var all sync.WaitGroup
	for _, path := range []string{"/block", "/hold", "/hold", "/hold", "/hold"} {
		all.Go(func() {
			code := http.StatusServiceUnavailable
			for code == http.StatusServiceUnavailable { // a busy machine may take its time to connect
				code = get(s, path).Code
			}
			equal(t, path, code, 200)
		})
		<-holding
	}
	before := len(s.failed.Events())
	w := get(s, "/")
	refused503(t, w.Code, w.Header())
	if body := w.Body.String(); strings.Contains(body, "/hold") || strings.Contains(body, "MAX_CONNECTIONS") {
		t.Errorf("the client is told %q", body)
	}
	close(over)
	all.Wait()
	failure := s.failed.Wait(before + 1)[before].Err
	refused, ok := errors.AsType[*db.AcquireError](failure)
	if !ok {
		t.Fatalf("it failed with %v", failure)
	}
	t.Logf("refused after %s: %v", refused.Waited, refused)
	if refused.Waited < database.AcquireTimeout || refused.Waited > database.AcquireTimeout+5*time.Second {
		t.Errorf("it waited %s, want %s", refused.Waited, database.AcquireTimeout)
	}
	equal(t, "kind", string(refused.Kind), "exhausted")
	equal(t, "holders", len(refused.Holders), 5)
	if !slices.IsSortedFunc(refused.Holders, func(a, b db.Holder) int { return a.Since.Compare(b.Since) }) {
		t.Errorf("the oldest are not first: %v", refused.Holders)
	}
	for i, h := range refused.Holders {
		want := "GET /hold"
		if i == 0 {
			want = "GET /block"
		}
		if h.Name != want || h.InAtomicBlock != (i == 0) || h.Idle <= 0 || h.Idle > h.Held || h.LastStatement != "SELECT ?" || !strings.Contains(h.At, "app/faults_test.go:") {
			t.Errorf("holder %d is %+v", i, h)
		}
	}
	logged := fmt.Sprint(s.journal.entries(t, "request"))
	const holder = `GET /block held \d+\.?\d*m?s, \d+\.?\d*m?s of it idle, in a transaction, last "SELECT \?", at app/faults_test\.go:\d+`
	if !regexp.MustCompile(holder).MatchString(logged) || strings.Contains(logged, "a secret") {
		t.Errorf("the log does not name the oldest holder, or more than that: %s", logged)
	}
}
