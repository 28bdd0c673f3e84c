package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// The scenarios F52 to F59 of db/FAULTS.md.

func inUse(ctx context.Context) int { return app.From(ctx).Connections().Stats("default").InUse }

// 2,000 clients read streams of ten chunks over three seconds, from a pool of five.
func TestF52_TwoThousandSlowStreamsHoldNoConnection(t *testing.T) {
	t.Parallel()
	const streams, chunks, pause = 2000, 10, 300 * time.Millisecond
	database := dbtest.Database(t, dbtest.Postgres)
	database.ConnMaxAge, database.MaxConnections, database.AcquireTimeout = 600*time.Second, 5, time.Minute
	started, goOn := make(chan struct{}, streams), make(chan struct{})
	settings := withDatabase(database)
	s := play(t, settings, app.Options{Routes: func(s *app.Site) {
		s.GET("/stream", func(r *views.Request) (views.Response, error) {
			ctx := r.Context()
			return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
				for i := range chunks {
					if !yield([]byte("chunk\n"), nil) {
						return
					}
					if i == 0 {
						started <- struct{}{}
						<-goOn
					}
					if views.Sleep(ctx, pause) != nil {
						return
					}
				}
			}}, query(r)
		})
		s.GET("/side", afterQuery(views.Text{Body: "in"}, nil))
	}}).over("HTTP/1.1")
	transport := &http.Transport{MaxIdleConnsPerHost: streams}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	fetch := func(path string) string {
		response, err := client.Get(s.server.URL + path)
		if err != nil {
			t.Error(err)
			return ""
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Errorf("%s: %d, %v", path, response.StatusCode, err)
		}
		return string(body)
	}
	var all sync.WaitGroup
	var failed atomic.Int64
	for range streams {
		all.Go(func() {
			if fetch("/stream") != strings.Repeat("chunk\n", chunks) {
				failed.Add(1)
			}
		})
	}
	for range streams {
		<-started
	}
	equal(t, "streams", s.Stats().Streams, streams)
	equal(t, "connections in use while all of them stream", s.Connections().Stats("default").InUse, 0)
	close(goOn)
	took := make([]time.Duration, 50)
	for i := range took {
		began := time.Now()
		equal(t, "a side query", fetch("/side"), "in")
		took[i] = time.Since(began)
		if n := s.Connections().Stats("default").InUse; n != 0 {
			t.Errorf("%d connections in use beside the streams", n)
		}
	}
	all.Wait()
	slices.Sort(took)
	t.Logf("50 queries beside %d streams: median %s, worst %s", streams, took[25], took[49])
	equal(t, "streams that failed", failed.Load(), 0)
	s.finished.Wait(streams + 50)
	s.atHome(t)
}

func TestF53_AQueryAfterTheViewHoldsNoConnectionInTheStream(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		queries := func(next views.View) views.View {
			return func(r *views.Request) (views.Response, error) {
				response, err := next(r)
				return response, errors.Join(err, query(r)) // when the response is made
			}
		}
		first := -1
		s := play(t, withDatabase(one(database)), app.Options{Routes: func(s *app.Site) {
			s.GET("/", func(r *views.Request) (views.Response, error) {
				ctx := r.Context()
				return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
					first = inUse(ctx)
					yield([]byte("done"), nil)
				}}, query(r)
			}, app.Use(queries))
		}}).over("HTTP/1.1")
		status, body, err := s.fetch(t, http.MethodGet, "/", nil)
		if status != 200 || body != "done" || err != nil {
			t.Errorf("%d %q, %v", status, body, err)
		}
		equal(t, "connections in use when the generator begins", first, 0)
		s.finished.Wait(1)
		s.atHome(t)
	})
}

func TestF55_AGeneratorThatQueriesHoldsAConnectionForEachQueryAlone(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		var between []int
		s := play(t, withDatabase(one(database)), app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
			ctx := r.Context()
			return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
				for range 5 {
					if err := query(r); err != nil {
						yield(nil, err)
						return
					}
					between = append(between, inUse(ctx))
					if !yield([]byte("x"), nil) {
						return
					}
				}
			}}, nil
		})}).over("HTTP/1.1")
		status, body, err := s.fetch(t, http.MethodGet, "/", nil)
		if status != 200 || body != "xxxxx" || err != nil {
			t.Errorf("%d %q, %v", status, body, err)
		}
		equal(t, "connections in use between the queries", fmt.Sprint(between), "[0 0 0 0 0]")
		s.finished.Wait(1)
		s.atHome(t)
	})
}

func TestF56_AClientThatLeavesEndsItsStreamOnce(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			dbtest.Goroutines(t)
			ended := make(chan error, 1)
			s := play(t, withDatabase(dbtest.Database(t, dbtest.SQLite)), app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
				ctx := r.Context()
				return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
					defer func() { ended <- ctx.Err() }() // its clean-up
					if yield([]byte("x"), nil) {
						<-ctx.Done()
					}
				}}, query(r)
			})}).over(proto)
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := s.server.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := response.Body.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_ = response.Body.Close() // that is how a client leaves
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the generator's context ended with %v", err)
			}
			t.Logf("the generator heard of it after %s", time.Since(began))
			s.finished.Wait(1)
			s.atHome(t)
			s.server.Close()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			equal(t, "ends", len(s.finished.Events()), 1)
		})
	}
}

func TestF58_APanicInTheThirdChunkAbortsTheAnswer(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			dbtest.Engines(t, func(t *testing.T, database db.Settings) {
				s := play(t, withDatabase(database), app.Options{Routes: func(s *app.Site) {
					s.GET("/stream/{n}", stream(2, func(context.Context, func([]byte, error) bool) { panic(errScene) }))
				}}).over(proto)
				status, body, err := s.fetch(t, http.MethodGet, "/stream/3", nil)
				if err == nil || status != 200 {
					t.Errorf("the client got %d %q, %v, want an answer that breaks off", status, body, err)
				}
				event := s.finished.Wait(1)[0]
				equal(t, "route", event.Route, "GET /stream/{n}")
				if !errors.Is(event.Err, errScene) {
					t.Errorf("it ended with %v", event.Err)
				}
				line := s.journal.wait(t, "request", 1)[0]
				if line["route"] != "GET /stream/{n}" || !strings.Contains(fmt.Sprint(line["err"]), "panic") || line["level"] != "ERROR" {
					t.Errorf("it is logged as %v", line)
				}
				s.atHome(t)
				equal(t, "ends", len(s.finished.Events()), 1)
			})
		})
	}
}

func TestF59_AStreamInsideOfATransactionIsRefusedBeforeItsHeaders(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		ran := false
		s := play(t, withDatabase(database), app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
			_, err := db.From(r.Context()).BeginTx(r.Context(), nil)
			return views.StreamingResponse{Body: func(func([]byte, error) bool) { ran = true }}, err
		})}).over("HTTP/1.1")
		status, _, err := s.fetch(t, http.MethodGet, "/", nil)
		if err != nil || status != 500 {
			t.Errorf("the answer is %d, %v", status, err)
		}
		equal(t, "the generator ran", ran, false)
		event := s.finished.Wait(1)[0]
		if !errors.Is(event.Err, db.ErrInAtomicBlock) || !strings.Contains(event.Err.Error(), "app/faults_streams_test.go:") {
			t.Errorf("it ended with %v, want the place of the transaction", event.Err)
		}
		s.atHome(t)
	})
}
