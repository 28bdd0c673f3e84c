package apptest

import (
	"context"
	"net"
)

// LiveServer is the site at a port of this machine, for clients that need one: a
// browser, a command line. Django's LiveServerTestCase.
type LiveServer struct {
	// URL is the address, such as "http://127.0.0.1:40917".
	URL string

	stop  context.CancelFunc
	ended chan error
}

// LiveServer serves the site as its manage command does, [app.Site.Serve], until the
// test ends: at a free port, or at the address, "127.0.0.1:8081".
func (s *Site) LiveServer(address ...string) *LiveServer {
	s.t.Helper()
	at := "127.0.0.1:0"
	if len(address) > 0 {
		at = address[0]
	}
	var config net.ListenConfig
	listener, err := config.Listen(s.patience, "tcp", at)
	if err != nil {
		s.t.Fatalf("apptest: live server: %v", err)
	}
	ctx, stop := context.WithCancel(s.base)
	live := &LiveServer{URL: "http://" + listener.Addr().String(), stop: stop, ended: make(chan error, 1)}
	go func() { live.ended <- s.Serve(ctx, listener) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.servers = append(s.servers, live)
	return live
}

// close drains the server; the last one closes the site.
func (l *LiveServer) close() error {
	l.stop()
	return <-l.ended
}
