package dbtest

import (
	"context"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/goquintet/quintet/db"
)

// Proxy stands between a pool and its PostgreSQL, and does what networks do. Its
// methods may be called concurrently.
type Proxy struct {
	upstream string
	address  string
	group    sync.WaitGroup

	mu       sync.Mutex // guards the rest
	listener net.Listener
	flows    map[*flow]struct{}
	closed   bool
}

// flow is one connection through the proxy.
type flow struct {
	client, server *net.TCPConn

	mu     sync.Mutex
	thawed chan struct{} // nil unless frozen; closed by Thaw
}

// NewProxy starts a proxy in front of the database of the settings, and returns
// settings that lead through it. It ends with the test.
func NewProxy(t testing.TB, settings db.Settings) (*Proxy, db.Settings) {
	t.Helper()
	p := &Proxy{
		upstream: net.JoinHostPort(settings.Host, strconv.Itoa(settings.Port)),
		address:  "127.0.0.1:0",
		flows:    make(map[*flow]struct{}),
	}
	p.Accept(t)
	t.Cleanup(p.close)
	host, port, err := net.SplitHostPort(p.address)
	if err != nil {
		t.Fatal(err)
	}
	settings.Host = host
	if settings.Port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	return p, settings
}

// Accept takes connections again, after [Proxy.Refuse].
func (p *Proxy) Accept(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	p.listener, p.address = l, l.Addr().String()
	p.group.Go(func() { p.serve(l) })
}

// Refuse refuses new connections and leaves those that are open alone.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close() // nothing is lost with a listener
		p.listener = nil
	}
}

// Freeze stops the bytes of every connection that is open now, in both directions,
// and nobody hears of it. New ones pass.
func (p *Proxy) Freeze() {
	p.each(func(f *flow) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.thawed == nil {
			f.thawed = make(chan struct{})
		}
	})
}

// Thaw lets the bytes go on.
func (p *Proxy) Thaw() { p.each((*flow).thaw) }

// Reset ends every connection that is open now with RST, on both sides.
func (p *Proxy) Reset() {
	p.each(func(f *flow) {
		for _, c := range []*net.TCPConn{f.client, f.server} {
			_ = c.SetLinger(0) // fails when it has ended already
		}
		f.close()
	})
}

// Flows is how many connections are open.
func (p *Proxy) Flows() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.flows)
}

func (p *Proxy) each(do func(*flow)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for f := range p.flows {
		do(f)
	}
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Refuse()
	p.each((*flow).close)
	p.group.Wait()
}

func (p *Proxy) serve(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return // Refuse
		}
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.upstream)
		if err != nil {
			_ = client.Close() // this is how a client learns of it
			continue
		}
		p.add(&flow{client: client.(*net.TCPConn), server: server.(*net.TCPConn)})
	}
}

func (p *Proxy) add(f *flow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		f.close()
		return
	}
	p.flows[f] = struct{}{}
	var both sync.WaitGroup
	both.Go(func() { f.copy(f.server, f.client) })
	both.Go(func() { f.copy(f.client, f.server) })
	p.group.Go(func() {
		both.Wait()
		f.close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.flows, f)
	})
}

func (f *flow) thaw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.thawed != nil {
		close(f.thawed)
		f.thawed = nil
	}
}

func (f *flow) close() {
	_ = f.client.Close() // the end is what was wanted
	_ = f.server.Close()
	f.thaw()
}

// copy hands bytes on until one side ends, and then ends the other side likewise.
func (f *flow) copy(to, from *net.TCPConn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		f.mu.Lock()
		thawed := f.thawed
		f.mu.Unlock()
		if thawed != nil {
			<-thawed
		}
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				_ = from.Close() // its other end sees that nobody listens
				return
			}
		}
		if err != nil {
			if err == io.EOF { //nolint:errorlint // a socket returns it bare
				_ = to.CloseWrite() // says the same to the other side
			} else {
				_ = to.Close()
			}
			return
		}
	}
}
