package app_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// served is a site that Serve serves.
type served struct {
	*stage
	url  string
	stop context.CancelFunc
	end  chan error
}

func serve(t *testing.T, settings app.Settings, options app.Options) *served {
	t.Helper()
	s := &served{stage: play(t, settings, options), end: make(chan error, 1)}
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + listener.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	s.stop = stop
	t.Cleanup(stop)
	go func() { s.end <- s.Serve(ctx, listener) }()
	return s
}

func (s *served) ended(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.end:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("Serve does not return")
		return nil
	}
}

// client is one that keeps no connection when the test is over.
func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// opens sends a request and reads the first line of the answer's body.
func (s *served) opens(t *testing.T, path string) (line string, body *bufio.Reader) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	body = bufio.NewReader(response.Body)
	line, err = body.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line, body
}

// untilTold is a stream that ends in order when it is told to.
func untilTold(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
		if !yield([]byte("first\n"), nil) {
			return
		}
		<-ctx.Done()
	}}, nil
}

// Streams are told first, with a cause that says why; requests go on to their end;
// the databases close last. A clean drain returns nil, and leaves nothing behind.
func TestServe_DrainsStreamsThenRequestsThenDatabases(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		told, goOn := make(chan error, 1), make(chan struct{})
		s := serve(t, withDatabase(settings), app.Options{Routes: func(s *app.Site) {
			s.GET("/stream", func(r *views.Request) (views.Response, error) {
				ctx := r.Context()
				return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
					if !yield([]byte("first\n"), nil) {
						return
					}
					<-ctx.Done()
					told <- context.Cause(ctx)
				}}, query(r)
			})
			s.GET("/slow", func(r *views.Request) (views.Response, error) {
				return respond(func(w http.ResponseWriter, r *views.Request) error {
					_, _ = io.WriteString(w, "begun\n")
					_ = http.NewResponseController(w).Flush()
					<-goOn
					if err := r.Context().Err(); err != nil {
						return err
					}
					if err := query(r); err != nil { // the databases are still open
						return err
					}
					_, err := io.WriteString(w, "done")
					return err
				}), nil
			})
		}})
		_, stream := s.opens(t, "/stream")
		_, slow := s.opens(t, "/slow")
		s.stop()
		if cause := <-told; !errors.Is(cause, app.ErrShutdown) {
			t.Errorf("the stream was told %v", cause)
		}
		close(goOn)
		if rest, err := io.ReadAll(slow); string(rest) != "done" || err != nil {
			t.Errorf("the request ended with %q, %v", rest, err)
		}
		if _, err := io.ReadAll(stream); err != nil { // its generator has ended in order
			t.Errorf("the stream ended with %v", err)
		}
		if err := s.ended(t); err != nil {
			t.Errorf("Serve returned %v", err)
		}
		for _, event := range s.finished.Events() {
			if event.Err != nil {
				t.Errorf("%s ended with %v", event.Route, event.Err)
			}
		}
		if stats := s.Connections().Stats("default"); stats.Open != 0 {
			t.Errorf("%d connections are open", stats.Open)
		}
		s.server.Close()
	})
}

// A stream that answers with the cause is broken off for its client, and is no
// failure of the site.
func TestServe_AStreamThatEndsWithTheCause(t *testing.T) {
	t.Parallel()
	s := serve(t, anyHost(), app.Options{Routes: func(s *app.Site) {
		s.GET("/ticks", func(r *views.Request) (views.Response, error) {
			ctx := r.Context()
			return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
				if yield([]byte("first\n"), nil) {
					yield(nil, views.Sleep(ctx, time.Hour))
				}
			}}, nil
		})
	}})
	_, body := s.opens(t, "/ticks")
	s.stop()
	if rest, err := io.ReadAll(body); err == nil {
		t.Errorf("the client got a whole answer: %q", rest)
	}
	if err := s.ended(t); err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if event := s.finished.Events()[0]; !errors.Is(event.Err, app.ErrShutdown) || len(s.failed.Events()) != 0 {
		t.Errorf("it ended with %v, and RequestFailed was sent %d times", event.Err, len(s.failed.Events()))
	}
}

// What does not end within SHUTDOWN_TIMEOUT is cut off and named.
func TestServe_CutsAndNamesWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.ShutdownTimeout = 50 * time.Millisecond
	s := serve(t, settings, app.Options{Routes: func(s *app.Site) {
		s.GET("/deaf", func(r *views.Request) (views.Response, error) {
			return respond(func(w http.ResponseWriter, r *views.Request) error {
				_, _ = io.WriteString(w, "begun\n")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done() // a request is not told before it is cut
				return context.Cause(r.Context())
			}), nil
		})
	}})
	_, body := s.opens(t, "/deaf")
	s.stop()
	err := s.ended(t)
	if err == nil || err.Error() != "app: cut off after SHUTDOWN_TIMEOUT (50ms): GET /deaf" {
		t.Errorf("Serve returned %v", err)
	}
	if rest, err := io.ReadAll(body); err == nil {
		t.Errorf("the client got a whole answer: %q", rest)
	}
	if event := s.finished.Wait(1)[0]; !errors.Is(event.Err, app.ErrShutdown) {
		t.Errorf("it ended with %v", event.Err)
	}
}

// A site without a server of its own drains as well; a handler that ignores even
// the end of its context does not keep it from closing.
func TestClose_DoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.ShutdownTimeout, settings.CleanupTimeout = 20*time.Millisecond, 20*time.Millisecond
	inside, goOn := make(chan struct{}), make(chan struct{})
	journal := &journal{}
	site, err := app.New(settings, app.Options{
		Logger: slog.New(slog.NewJSONHandler(journal, nil)),
		Routes: oneRoute(func(*views.Request) (views.Response, error) {
			close(inside)
			<-goOn
			return views.NoContent{}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan int)
	go func() { answered <- get(site, "/").Code }()
	<-inside
	if err := site.Close(); err == nil || err.Error() != "app: cut off after SHUTDOWN_TIMEOUT (20ms): GET /" {
		t.Errorf("Close returned %v", err)
	}
	equal(t, "told", len(journal.entries(t, "app: requests ignore their context")), 1)
	close(goOn)
	equal(t, "the answer", <-answered, 204)
	if err := site.Close(); err == nil {
		t.Error("a second Close returned something else")
	}
}

// Two listeners serve one site; the databases close with the last.
func TestServe_TheLastOneClosesTheSite(t *testing.T) {
	t.Parallel()
	s := serve(t, withDatabase(db.Settings{Engine: "sqlite", Name: ":memory:"}), app.Options{Routes: oneRoute(afterQuery(views.Text{Body: "in"}, nil))})
	var config net.ListenConfig
	second, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	end := make(chan error, 1)
	go func() { end <- s.Serve(ctx, second) }()
	s.url = "http://" + second.Addr().String()
	ask := func(url string) string {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client(t).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	equal(t, "by the second", ask(s.url), "in")
	s.stop()
	if err := s.ended(t); err != nil {
		t.Errorf("the first Serve returned %v", err)
	}
	equal(t, "by the second, alone", ask(s.url), "in")
	stop()
	if err := <-end; err != nil {
		t.Errorf("the second Serve returned %v", err)
	}
	if err := s.Serve(t.Context(), second); err == nil || !strings.Contains(err.Error(), "the site is closed") {
		t.Errorf("a third Serve returned %v", err)
	}
}

func TestServe_WithoutItsListener(t *testing.T) {
	t.Parallel()
	s := play(t, anyHost(), app.Options{})
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), listener); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve returned %v", err)
	}
}

// Port in use, an address that is not ours, a host without address: clear words
// and what to do.
func TestRun_SaysWhyItCannotListen(t *testing.T) {
	t.Parallel()
	var config net.ListenConfig
	taken, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for address, want := range map[string]string{
		taken.Addr().String(): "the port is in use; stop the other server, or choose another port",
		"192.0.2.1:8000":      "the address is not one of this machine; use 127.0.0.1 for this machine only, 0.0.0.0 for all its addresses",
		"no.invalid:8000":     "the host has no address; use 127.0.0.1 for this machine only, 0.0.0.0 for all its addresses",
	} {
		settings := anyHost()
		settings.Listen = address
		site := newSite(t, settings, app.Options{})
		err := site.Run(t.Context())
		if want = "app: LISTEN: " + strconv.Quote(address) + ": " + want; err == nil || err.Error() != want {
			t.Errorf("Run says  %v\nwant      %s", err, want)
		}
		if _, ok := errors.AsType[*app.ConfigError](err); !ok {
			t.Errorf("it is a %T", err)
		}
	}
}

func TestRun_ServesUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.Listen = "127.0.0.1:0"
	serving := make(chan string, 1)
	s := play(t, settings, app.Options{Routes: oneRoute(text("in")), Logger: slog.New(listens{slog.DiscardHandler, serving})})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	end := make(chan error, 1)
	go func() { end <- s.Run(ctx) }()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+<-serving, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	equal(t, "the answer", response.StatusCode, 200)
	stop()
	if err := <-end; err != nil {
		t.Errorf("Run returned %v", err)
	}
}

// listens hears where the site serves.
type listens struct {
	slog.Handler
	address chan string
}

func (listens) Enabled(context.Context, slog.Level) bool { return true }

func (h listens) Handle(_ context.Context, record slog.Record) error {
	if record.Message == "app: serving" {
		record.Attrs(func(a slog.Attr) bool {
			h.address <- a.Value.String()
			return false
		})
	}
	return nil
}
