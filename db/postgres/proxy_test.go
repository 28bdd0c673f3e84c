package postgres_test

import (
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres/server"
)

// proxy stands between a connection and its server, counts, and does what networks
// do.
type proxy struct {
	listener net.Listener
	upstream string
	gate     sync.RWMutex // locked while frozen
	frozen   bool
	toClient atomic.Int64
	toServer atomic.Int64
	writes   atomic.Int64 // of the client, each with a message or more

	mu    sync.Mutex
	conns []net.Conn
	group sync.WaitGroup
}

// through returns settings that lead through a new proxy, without TLS.
func through(tb testing.TB, srv *server.Server) (db.Settings, *proxy) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{listener: l, upstream: net.JoinHostPort(srv.Host, strconv.Itoa(srv.Port))}
	p.group.Go(p.serve)
	tb.Cleanup(func() {
		_ = l.Close()
		p.thaw()
		p.each(func(c net.Conn) { _ = c.Close() })
		p.group.Wait()
	})
	s := settings(tb, srv)
	s.Host, s.Port = "127.0.0.1", l.Addr().(*net.TCPAddr).Port
	s.Options["sslmode"] = "disable"
	return s, p
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", p.upstream)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, up)
		p.mu.Unlock()
		p.group.Go(func() { p.copy(up, client, &p.toServer) })
		p.group.Go(func() { p.copy(client, up, &p.toClient) })
	}
}

func (p *proxy) copy(to, from net.Conn, count *atomic.Int64) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.gate.RLock()
		if count == &p.toServer && n > 0 { // before the server can answer
			count.Add(int64(n))
			p.writes.Add(1)
		}
		_, failed := to.Write(buf[:n])
		p.gate.RUnlock()
		if count == &p.toClient { // when the client can read it
			count.Add(int64(n))
		}
		if err != nil || failed != nil {
			return
		}
	}
}

// freeze lets nothing through any more, as a network that has lost its way.
func (p *proxy) freeze() { p.gate.Lock(); p.frozen = true }

func (p *proxy) thaw() {
	if p.frozen {
		p.frozen = false
		p.gate.Unlock()
	}
}

// reset ends every connection with RST.
func (p *proxy) reset() {
	p.each(func(c net.Conn) {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	})
}

func (p *proxy) each(do func(net.Conn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		do(c)
	}
}
