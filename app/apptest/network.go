package apptest

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"sync"
)

// network is where the client and the site meet without a port: a listener whose
// connections are pipes. What a server does on a socket it does on them,
// deadlines and departures included. In a testing/synctest bubble the time goes on
// while somebody waits here.
type network struct {
	dialled chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newNetwork() *network {
	return &network{dialled: make(chan net.Conn), closed: make(chan struct{})}
}

// dial opens a connection for one exchange.
func (n *network) dial(ctx context.Context, x *exchange) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case n.dialled <- &end{Conn: server, exchange: x}:
		return receive(&end{Conn: client}), nil
	case <-n.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.dialled:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (n *network) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

// Addr implements net.Listener.
func (n *network) Addr() net.Addr { return loopback() }

// end is one end of a connection. It has the address of a client on this machine:
// that of a pipe is none.
type end struct {
	net.Conn
	exchange *exchange
}

func (*end) LocalAddr() net.Addr  { return loopback() }
func (*end) RemoteAddr() net.Addr { return loopback() }

func loopback() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// window is what a client takes before it reads it, as a socket does.
const window = 64 << 10

// receiver is the end of a client. Without a window the site could not even write
// the end of a chunk that the client has read.
type receiver struct {
	net.Conn

	mu      sync.Mutex // guards the rest
	changed sync.Cond
	arrived bytes.Buffer
	err     error // behind what has arrived
	closed  bool
}

func receive(c net.Conn) net.Conn {
	r := &receiver{Conn: c}
	r.changed.L = &r.mu
	go r.run()
	return r
}

func (r *receiver) run() {
	piece := make([]byte, 4<<10)
	for {
		n, err := r.Conn.Read(piece)
		r.mu.Lock()
		r.arrived.Write(piece[:n])
		r.err = err
		r.changed.Broadcast()
		for r.arrived.Len() >= window && !r.closed {
			r.changed.Wait()
		}
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (r *receiver) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.arrived.Len() == 0 && r.err == nil && !r.closed {
		r.changed.Wait()
	}
	switch {
	case r.closed:
		return 0, net.ErrClosed
	case r.arrived.Len() == 0:
		return 0, r.err
	}
	defer r.changed.Broadcast()
	return r.arrived.Read(p)
}

func (r *receiver) Close() error {
	err := r.Conn.Close() // which ends run
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.changed.Broadcast()
	return err
}

// exchangeKey finds the exchange in the context of its request.
type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// serve serves the site on the network.
func (s *Site) serve() *http.Server {
	settings := s.Settings()
	server := &http.Server{
		Handler:           http.HandlerFunc(s.answer),
		ReadHeaderTimeout: settings.ReadHeaderTimeout,
		IdleTimeout:       settings.IdleTimeout,
		BaseContext:       func(net.Listener) context.Context { return s.base },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, exchangeKey{}, c.(*end).exchange)
		},
		ErrorLog: s.errorLog(),
	}
	return server
}

func (s *Site) answer(w http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r.Context())
	defer x.end()
	s.ServeHTTP(&witness{ResponseWriter: w, exchange: x}, r)
}
