package app_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// MAX_STREAMS: one more is answered with 503, and nothing of it runs.
func TestStreams_AreCapped(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.MaxStreams = 1
	ran, closed := 0, 0
	s := play(t, settings, app.Options{Routes: func(s *app.Site) {
		s.GET("/first", stream(1, waits))
		s.GET("/second", func(*views.Request) (views.Response, error) {
			return views.StreamingResponse{Body: func(func([]byte, error) bool) { ran++ }, Close: func() { closed++ }}, nil
		})
		s.GET("/text", text("in"))
	}}).over("HTTP/1.1")
	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL+"/first", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	w := get(s, "/second")
	if retry, err := strconv.Atoi(w.Header().Get("Retry-After")); w.Code != 503 || err != nil || retry < 1 {
		t.Errorf("the second is answered with %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	if ran != 0 || closed != 1 {
		t.Errorf("its generator ran %d times, its Close %d times", ran, closed)
	}
	equal(t, "what is no stream", get(s, "/text").Code, 200)
	equal(t, "HEAD of a stream", ask(s, http.MethodHead, "/second", nil).Code, 200)
	stats := s.Stats()
	equal(t, "streams", stats.Streams, 1)
	equal(t, "refused", stats.RefusedStreams, 1)
	leave()
	_ = response.Body.Close()
	s.finished.Wait(4)
	equal(t, "the next", get(s, "/second").Code, 200)
}

// MaxStreams: each route of a group counts its own, HEAD is no stream, and what is
// refused is seen in the numbers.
func TestStreams_AreCappedForARoute(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.MaxStreams = 3
	s := play(t, settings, app.Options{Routes: func(s *app.Site) {
		g := s.Group("/events", app.MaxStreams(1))
		g.GET("/{id}", stream(1, waits))
		g.GET("/all", stream(1, waits))
		s.GET("/free", stream(1, waits), app.MaxStreams(0))
	}}).over("HTTP/1.1")
	open := func(path string) (leave func()) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := s.server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, path, response.StatusCode, 200)
		return func() { _ = response.Body.Close() }
	}
	refused := func(path string) {
		t.Helper()
		w := get(s, path)
		if retry, err := strconv.Atoi(w.Header().Get("Retry-After")); w.Code != 503 || err != nil || retry < 1 {
			t.Errorf("%s is answered with %d, Retry-After %q", path, w.Code, w.Header().Get("Retry-After"))
		}
	}
	leave := open("/events/1")
	refused("/events/2")
	equal(t, "HEAD", ask(s, http.MethodHead, "/events/2", nil).Code, 200)
	all := open("/events/all")
	refused("/events/all")
	free := open("/free")
	refused("/free") // by MAX_STREAMS
	equal(t, "refused", s.Stats().RefusedStreams, 3)
	leave()
	s.finished.Wait(5)
	open("/events/2")()
	all()
	free()
	s.finished.Wait(8)
	equal(t, "streams", s.Stats().Streams, 0)
}

func TestMaxStreams_IsNotNegative(t *testing.T) {
	t.Parallel()
	_, err := app.New(anyHost(), app.Options{Routes: func(s *app.Site) { s.GET("/", text("in"), app.MaxStreams(-1)) }})
	if mistake, ok := errors.AsType[*app.WiringError](err); !ok || mistake.What != `route "GET /"` || mistake.Hint != "use 0 for no limit" {
		t.Errorf("New returned %v", err)
	}
}

// STREAM_WRITE_TIMEOUT: a client that takes too long for one chunk has gone.
func TestStreams_WriteTimeout(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.StreamWriteTimeout = 100 * time.Millisecond
	s := play(t, settings, app.Options{Routes: oneRoute(func(*views.Request) (views.Response, error) {
		chunk := make([]byte, 1<<20)
		return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
			for yield(chunk, nil) {
			}
		}}, nil
	})}).over("HTTP/1.1")
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", s.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	event := s.finished.Wait(1)[0] // nobody reads
	if !errors.Is(event.Err, views.ErrClientGone) || event.Duration > 5*time.Second || len(s.failed.Events()) != 0 {
		t.Errorf("it ended with %v after %s", event.Err, event.Duration)
	}
}

func TestStreams_KeepConnectionIsCounted(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		s := play(t, withDatabase(database), app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
			ctx := r.Context()
			return views.StreamingResponse{KeepConnection: true, Body: func(yield func([]byte, error) bool) {
				holders := app.From(ctx).Connections().Holders()
				if len(holders) != 1 || !holders[0].Streaming || holders[0].Name != "GET /" {
					t.Errorf("the holders are %+v", holders)
				}
				yield([]byte("x"), nil)
			}}, query(r)
		})})
		equal(t, "the answer", get(s, "/").Body.String(), "x")
		equal(t, "kept", s.Stats().KeptStreams, 1)
		s.atHome(t)
	})
}

// Streams tells of each what it is doing, the oldest first.
func TestStreams_AreListed(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	cleaningUp, cleaned := make(chan struct{}), make(chan struct{})
	s := play(t, anyHost(), app.Options{Routes: func(s *app.Site) {
		s.GET("/waits/{id}", func(r *views.Request) (views.Response, error) {
			ctx := r.Context()
			return views.StreamingResponse{KeepConnection: true, Body: func(yield func([]byte, error) bool) {
				for yield([]byte("12345"), nil) {
					select {
					case <-more:
					case <-ctx.Done():
						return
					}
				}
			}}, nil
		})
		s.GET("/writes", func(*views.Request) (views.Response, error) {
			chunk := make([]byte, 1<<20)
			return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
				for yield(chunk, nil) {
				}
			}}, nil
		})
		s.GET("/ends", func(*views.Request) (views.Response, error) {
			return views.StreamingResponse{Body: views.Chunks(slices.Values([]string{"x"})), Close: func() {
				close(cleaningUp)
				<-cleaned
			}}, nil
		})
		s.GET("/text", text("in"))
	}}).over("HTTP/1.1")
	equal(t, "streams before", len(s.Streams()), 0)

	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL+"/waits/7", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	five := make([]byte, 5)
	for range 2 {
		if _, err := io.ReadFull(response.Body, five); err != nil {
			t.Fatal(err)
		}
		select {
		case more <- struct{}{}:
		case <-t.Context().Done():
		}
	}
	if _, err := io.ReadFull(response.Body, five); err != nil {
		t.Fatal(err)
	}
	frozen, _ := slowGet(t, s, "/writes")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		get(s, "/ends")
	}()
	<-cleaningUp

	var streams []app.Stream
	until(t, func() bool {
		streams = s.Streams()
		return len(streams) == 3 && streams[0].State == views.StreamGenerating && streams[1].State == views.StreamWriting
	})
	for i, want := range []struct {
		route, id     string
		state         views.StreamState
		chunks, bytes int64
		keeps         bool
	}{
		{"GET /waits/{id}", response.Header.Get("X-Request-Id"), views.StreamGenerating, 3, 15, true},
		{"GET /writes", streams[1].RequestID, views.StreamWriting, streams[1].Bytes >> 20, streams[1].Bytes, false},
		{"GET /ends", streams[2].RequestID, app.StreamEnding, 1, 1, false},
	} {
		got := streams[i]
		if got.Route != want.route || got.RequestID != want.id || got.RequestID == "" || got.State != want.state ||
			got.Chunks != want.chunks || got.Bytes != want.bytes || got.KeepConnection != want.keeps {
			t.Errorf("stream %d is %+v, want %+v", i, got, want)
		}
		if got.Age < 0 || got.Since.IsZero() || got.Written.Before(got.Since) && got.Chunks > 0 {
			t.Errorf("stream %d is of %s, and was written at %s", i, got.Since, got.Written)
		}
	}
	equal(t, "streams in the status", len(s.Status().Streams), 3)
	equal(t, "the first in the status", s.Status().Streams[0].Route, "GET /waits/{id}")

	close(cleaned)
	<-ended
	leave()
	_ = frozen.Close()
	s.finished.Wait(3)
	until(t, func() bool { return len(s.Streams()) == 0 })
}

// The status of a process with many streams has a bound; the numbers have none.
func TestStatus_ShowsTheOldestStreams(t *testing.T) {
	t.Parallel()
	const n = 105
	begun, end := make(chan struct{}, n), make(chan struct{})
	s := play(t, anyHost(), app.Options{Routes: func(s *app.Site) {
		s.GET("/{id}", stream(0, func(context.Context, func([]byte, error) bool) {
			begun <- struct{}{}
			<-end
		}))
	}})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { get(s, "/"+strconv.Itoa(i)) })
		<-begun
	}
	status := s.Status()
	equal(t, "streams", status.Site.Streams, n)
	equal(t, "shown", len(status.Streams), 100)
	equal(t, "the oldest", status.Streams[0].RequestID, s.Streams()[0].RequestID)
	for i := range status.Streams[1:] {
		if status.Streams[i].Since.After(status.Streams[i+1].Since) {
			t.Errorf("stream %d is younger than the next", i)
		}
	}
	close(end)
	all.Wait()
}

// until asks again and again until the answer is yes.
func until(t *testing.T, yes func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); !yes(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it does not come to that")
		}
	}
}
