package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"
)

// serving counts the servers of a site: the last one closes it.
type serving struct {
	mu      sync.Mutex // guards the rest
	servers int
	closed  bool
	err     error // of the first Close
	done    chan struct{}
}

// Run listens at LISTEN and serves until ctx ends; see [Site.Serve]. A port that
// is taken and an address that is not this machine's are *[ConfigError] values
// that say so.
func (s *Site) Run(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.settings.Listen)
	if err != nil {
		return errors.Join(s.listenError(err), s.Close())
	}
	return s.Serve(ctx, listener)
}

func (s *Site) listenError(err error) error {
	mistake := &ConfigError{Key: "LISTEN", Value: s.settings.Listen, Problem: err.Error(), cause: err}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		mistake.Problem, mistake.Hint = "the port is in use", "stop the other server, or choose another port"
	case errors.Is(err, syscall.EACCES):
		mistake.Problem, mistake.Hint = "the port is not permitted", "choose one above 1023"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		mistake.Problem, mistake.Hint = "the address is not one of this machine", "use 127.0.0.1 for this machine only, 0.0.0.0 for all its addresses"
	default:
		if _, ok := errors.AsType[*net.DNSError](err); ok {
			mistake.Problem, mistake.Hint = "the host has no address", "use 127.0.0.1 for this machine only, 0.0.0.0 for all its addresses"
		}
	}
	return s.settings.locate(mistake)
}

// Serve serves HTTP/1.1 and HTTP/2 on the listener until ctx ends, and then drains:
// nothing new is accepted; the contexts of streams end with [ErrShutdown] as their
// cause; requests and streams have SHUTDOWN_TIMEOUT to finish. What is still running
// then is cut off, and named in the error that Serve returns. After a clean drain it
// returns nil.
//
// Over TLS, a listener of crypto/tls whose NextProtos has "h2" speaks HTTP/2. Without
// TLS those speak it who know that they can, such as a proxy that is told to; nobody is
// upgraded.
//
// Answers of a site that drains carry "Connection: close". A connection that is
// idle stays open for a second after its last answer, because the next request may
// be on its way.
//
// The databases are closed last, when the last Serve of the site returns: see
// [Site.Close]. What was counted until then is in the last lines of the log. Nothing outlives Serve but handlers that ignore their context.
func (s *Site) Serve(ctx context.Context, listener net.Listener) error {
	return s.ServeAll(ctx, listener)
}

// ServeAll is [Site.Serve] for several listeners: TCP beside a unix socket, or what
// systemd hands over. They drain together, also when one of them fails. It closes
// all of them, whatever happens. Without one it panics.
func (s *Site) ServeAll(ctx context.Context, listeners ...net.Listener) error {
	if len(listeners) == 0 {
		panic("app: ServeAll: there is no listener")
	}
	if !s.serving.begin() {
		return errors.Join(errors.New("app: Serve: the site is closed"), closeAll(listeners))
	}
	defer s.admin.open(listeners...)()
	err := s.serveAll(ctx, listeners)
	if s.serving.end() {
		err = errors.Join(err, s.Close())
		s.logTotals()
	}
	return err
}

func (s *Site) serveAll(ctx context.Context, listeners []net.Listener) (err error) {
	clients := newClients()
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.settings.ReadHeaderTimeout,
		IdleTimeout:       s.settings.IdleTimeout,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ConnState:         clients.note,
		Protocols:         protocols(),
		HTTP2: &http.HTTP2Config{
			// The deadlines of single streams do not see that a connection is dead.
			WriteByteTimeout: s.settings.StreamWriteTimeout,
			SendPingTimeout:  pingAfter,
		},
		ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
	}
	stopped := make(chan error, len(listeners))
	for _, listener := range listeners {
		go func() {
			err := server.Serve(listener)
			stopped <- fmt.Errorf("app: serve at %s: %w", listener.Addr(), err)
		}()
		s.logger.Info("app: serving", "address", listener.Addr().String(), "network", listener.Addr().Network())
	}
	running := len(listeners)
	select {
	case err = <-stopped: // a listener is gone
		running--
	case <-ctx.Done():
	}
	closed := closeAll(listeners)
	for range running { // until then a connection may still come in
		if gone := <-stopped; !errors.Is(gone, net.ErrClosed) {
			err = errors.Join(err, gone)
		}
	}
	return errors.Join(err, closed, s.drain(server, clients))
}

// pingAfter is how long a client of HTTP/2 may be silent before it is asked whether it
// is there. On HTTP/1.1 the kernel asks.
const pingAfter = 30 * time.Second

func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// closeAll closes listeners; one that is closed already is no failure.
func closeAll(listeners []net.Listener) (err error) {
	for _, listener := range listeners {
		if e := listener.Close(); !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// drain tells the streams, waits for what the server has begun, and cuts off
// what does not end.
func (s *Site) drain(server *http.Server, clients *clients) error {
	stats := s.Stats()
	s.logger.Info("app: draining", "requests", stats.Requests, "streams", stats.Streams)
	s.requests.drain()
	ctx, cancel := context.WithTimeout(context.Background(), s.settings.ShutdownTimeout)
	defer cancel()
	if clients.drain(ctx) == nil {
		return server.Close()
	}
	err := s.cut()
	clients.settle() // who was cut off before the first byte has an answer, too
	return errors.Join(err, server.Close())
}

// cut ends what still runs, and says what it was.
func (s *Site) cut() error {
	routes := s.requests.cut()
	ctx, cancel := context.WithTimeout(context.Background(), s.settings.CleanupTimeout)
	defer cancel()
	if err := s.requests.wait(ctx); err != nil {
		s.logger.Error("app: requests ignore their context", "requests", s.Stats().Requests)
	}
	if len(routes) == 0 {
		return nil
	}
	return fmt.Errorf("app: cut off after SHUTDOWN_TIMEOUT (%s): %s", s.settings.ShutdownTimeout, strings.Join(counted(routes), ", "))
}

// counted says each of the sorted words once, and how often there was more than one.
func counted(sorted []string) (words []string) {
	for len(sorted) > 0 {
		word, n := sorted[0], 1
		for n < len(sorted) && sorted[n] == word {
			n++
		}
		sorted = sorted[n:]
		if n > 1 {
			word += fmt.Sprintf(" (%d)", n)
		}
		words = append(words, word)
	}
	return words
}

// Close ends a site that is not served any more, or never was: streams are told,
// requests have SHUTDOWN_TIMEOUT to finish, the databases are closed last. Later
// requests are answered with 503. It may be called again, and then waits for the
// first call and returns what that one returned.
func (s *Site) Close() error {
	first, done := s.serving.close()
	if !first {
		<-done
		return s.serving.err
	}
	defer close(done)
	s.requests.close()
	s.requests.drain()
	ctx, cancel := context.WithTimeout(context.Background(), s.settings.ShutdownTimeout)
	defer cancel()
	var err error
	if s.requests.wait(ctx) != nil {
		err = s.cut()
	}
	ctx, cancel = context.WithTimeout(context.Background(), s.settings.CleanupTimeout)
	defer cancel()
	s.serving.err = errors.Join(err, s.connections.Close(ctx))
	return s.serving.err
}

func (v *serving) begin() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return false
	}
	v.servers++
	return true
}

// end reports whether the last server has stopped.
func (v *serving) end() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.servers--
	return v.servers == 0
}

func (v *serving) close() (first bool, done chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.done == nil {
		v.done = make(chan struct{})
	}
	first = !v.closed
	v.closed = true
	return first, v.done
}
