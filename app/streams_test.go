package app_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
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
