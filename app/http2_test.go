package app_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/views"
)

// dialect is a way to speak HTTP with a site that Serve serves.
type dialect struct {
	name   string
	proto  string
	listen func(net.Listener) net.Listener
	client *http.Transport
	scheme string
}

func dialects(t *testing.T) []dialect {
	t.Helper()
	server := httptest.NewTLSServer(nil) // for its certificate
	certificate, pool := server.TLS.Certificates[0], x509.NewCertPool()
	pool.AddCert(server.Certificate())
	server.Close()
	secure := &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}}
	plain := func(l net.Listener) net.Listener { return l }
	cleartext := new(http.Protocols)
	cleartext.SetUnencryptedHTTP2(true)
	return []dialect{
		{"HTTP/1.1", "HTTP/1.1", plain, &http.Transport{}, "http"},
		{"HTTP/2 in clear text", "HTTP/2.0", plain, &http.Transport{Protocols: cleartext}, "http"},
		{"HTTP/2 over TLS", "HTTP/2.0", func(l net.Listener) net.Listener { return tls.NewListener(l, secure) },
			&http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "example.com"}, ForceAttemptHTTP2: true}, "https"},
	}
}

// serveIn is serve, in a dialect.
func serveIn(t *testing.T, d dialect, options app.Options) (s *served, open func(path string) (*http.Response, error)) {
	t.Helper()
	s = &served{stage: play(t, anyHost(), options), end: make(chan error, 1)}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = d.scheme + "://" + listener.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	s.stop = stop
	t.Cleanup(stop)
	go func() { s.end <- s.Serve(ctx, d.listen(listener)) }()
	t.Cleanup(d.client.CloseIdleConnections)
	return s, func(path string) (*http.Response, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
		if err != nil {
			return nil, err
		}
		response, err := (&http.Client{Transport: d.client}).Do(request)
		if err == nil {
			equal(t, "the protocol", response.Proto, d.proto)
		}
		return response, err
	}
}

// Whatever HTTP a client speaks: each event arrives before the next is made, a client
// that leaves is noticed, what is broken off is broken, and a shutdown tells the streams,
// which have a last word.
func TestServe_StreamsInEveryDialect(t *testing.T) {
	t.Parallel()
	for _, d := range dialects(t) {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			next, ended := make(chan string), make(chan error, 3)
			s, open := serveIn(t, d, app.Options{Routes: func(s *app.Site) {
				s.GET("/events", func(r *views.Request) (views.Response, error) {
					ctx := r.Context()
					return views.Events(func(yield func(views.Event[string], error) bool) {
						defer func() { ended <- context.Cause(ctx) }()
						for text := "first"; yield(views.Event[string]{Data: text}, nil); {
							select {
							case text = <-next:
							case <-ctx.Done():
								yield(views.Event[string]{Event: "bye"}, nil) // heard by who is still there
								return
							}
						}
					}), nil
				})
				s.GET("/fails", stream(1, fails))
			}})

			response, err := open("/events")
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(response.Body)
			want := "first"
			for n := range 10 {
				if line, err := lines.ReadString('\n'); line != "data: "+want+"\n" || err != nil {
					t.Fatalf("it says %q, %v, want %q", line, err, want)
				}
				if _, err := lines.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
				want = strconv.Itoa(n)
				next <- want
			}
			_ = response.Body.Close()
			if cause := <-ended; !errors.Is(cause, context.Canceled) {
				t.Errorf("a client that leaves ends the stream with %v", cause)
			}

			response, err = open("/fails")
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(response.Body); err == nil {
				t.Errorf("what is broken off looks whole: %q", body)
			}

			response, err = open("/events")
			if err != nil {
				t.Fatal(err)
			}
			first := make([]byte, len("data: first\n\n"))
			if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "data: first\n\n" {
				t.Fatalf("it says %q, %v", first, err)
			}
			s.stop()
			if cause := <-ended; !errors.Is(cause, app.ErrShutdown) {
				t.Errorf("the shutdown tells the stream %v", cause)
			}
			if body, err := io.ReadAll(response.Body); string(body) != "event: bye\ndata: \n\n" || err != nil {
				t.Errorf("the last stream ends with %q, %v", body, err)
			}
			if err := s.ended(t); err != nil {
				t.Errorf("Serve returned %v", err)
			}
		})
	}
}
