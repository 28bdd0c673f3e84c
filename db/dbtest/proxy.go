package dbtest

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
)

// Proxy stands between a pool and its PostgreSQL, and does what networks do. It needs
// no rights and no firewall: a network that is out of order is a proxy that reads and
// does not write. What a kernel does by itself, a TCP_USER_TIMEOUT above all, it cannot
// show: the sockets on both of its sides are sound.
//
// Some methods are about connections that are opened from then on: [Proxy.Accept],
// [Proxy.Refuse], [Proxy.Deaf], [Proxy.Switch]. Others are about those that are open
// now, and those opened later pass: [Proxy.Freeze] and its kind, [Proxy.Reset],
// [Proxy.Close]. [Proxy.Delay], [Proxy.Throttle] and [Proxy.CutAfter] are about both.
// All may be called concurrently.
type Proxy struct {
	address string
	group   sync.WaitGroup

	mu       sync.Mutex // guards the rest
	upstream string
	listener net.Listener
	deaf     bool
	flows    map[*flow]struct{}
	weather  weather
	closed   bool
}

// weather is what happens to every byte.
type weather struct {
	delay time.Duration
	rate  int // bytes a second; 0 is no limit
	cut   int // bytes from the server; 0 is no limit
}

// NewProxy starts a proxy in front of the database of the settings, and returns
// settings that lead through it. It ends with the test.
func NewProxy(t testing.TB, settings db.Settings) (*Proxy, db.Settings) {
	t.Helper()
	p := &Proxy{address: "127.0.0.1:0", flows: make(map[*flow]struct{})}
	p.Switch(settings)
	p.Accept(t)
	t.Cleanup(p.end)
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

// portLimit is how long a proxy waits for its own port, which may be that of somebody's
// outgoing connection after it has refused.
const portLimit = 20 * time.Second

// Accept takes connections and leads them to the server, after [Proxy.Refuse] or
// [Proxy.Deaf].
func (p *Proxy) Accept(t testing.TB) {
	t.Helper()
	p.listen(t, false)
}

// Deaf takes new connections and never says a word to them, as a host does whose
// kernel lives on and whose server does not. It leaves those that are open alone.
func (p *Proxy) Deaf(t testing.TB) {
	t.Helper()
	p.listen(t, true)
}

func (p *Proxy) listen(t testing.TB, deaf bool) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = deaf
	if p.listener != nil {
		return
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", p.address)
	for deadline := time.Now().Add(portLimit); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(deadline); {
		<-time.After(10 * time.Millisecond)
		l, err = new(net.ListenConfig).Listen(t.Context(), "tcp", p.address)
	}
	if err != nil {
		t.Fatalf("dbtest: the proxy cannot take connections: %v", err)
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

// Switch leads new connections to the server of the settings, as a failover does.
// Those that are open stay where they are.
func (p *Proxy) Switch(settings db.Settings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = net.JoinHostPort(settings.Host, strconv.Itoa(settings.Port))
}

// Freeze stops the bytes of every connection that is open now, in both directions,
// and nobody hears of it, as a router does that has forgotten them. New ones pass.
func (p *Proxy) Freeze() {
	p.each(func(f *flow) { f.up.freeze(); f.down.freeze() })
}

// FreezeToServer is [Proxy.Freeze] for what clients send: the server's words arrive.
func (p *Proxy) FreezeToServer() { p.each(func(f *flow) { f.up.freeze() }) }

// FreezeToClient is [Proxy.Freeze] for what the server sends: it hears everything,
// and nobody hears its answers.
func (p *Proxy) FreezeToClient() { p.each(func(f *flow) { f.down.freeze() }) }

// Thaw lets the bytes go on that were frozen: none is lost.
func (p *Proxy) Thaw() { p.each(func(f *flow) { f.up.thaw(); f.down.thaw() }) }

// Reset ends every connection that is open now with RST, on both sides.
func (p *Proxy) Reset() { p.each((*flow).reset) }

// Close ends every connection that is open now with FIN, on both sides: each sees the
// other hang up, without a word.
func (p *Proxy) Close() { p.each((*flow).end) }

// Delay makes bytes arrive so much later, in each direction; 0 is at once again. A
// round trip takes twice as long.
func (p *Proxy) Delay(d time.Duration) { p.change(func(w *weather) { w.delay = d }) }

// Throttle lets so many bytes a second through, of each connection and in each
// direction; 0 is no limit.
func (p *Proxy) Throttle(bytes int) { p.change(func(w *weather) { w.rate = bytes }) }

// CutAfter ends each connection with RST once so many bytes have come from the server,
// in the middle of whatever they are: of those that are open, counted from now, of
// others from their beginning. 0 cuts no more.
func (p *Proxy) CutAfter(bytes int) {
	p.change(func(w *weather) { w.cut = bytes })
	p.each(func(f *flow) { f.down.limit(bytes) })
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

func (p *Proxy) change(do func(*weather)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do(&p.weather)
}

func (p *Proxy) now() weather {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.weather
}

func (p *Proxy) end() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Refuse()
	p.Close()
	p.group.Wait()
}

func (p *Proxy) serve(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return // Refuse
		}
		p.mu.Lock()
		deaf, upstream := p.deaf, p.upstream
		p.mu.Unlock()
		if deaf {
			p.add(newFlow(client, nil))
			continue
		}
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", upstream)
		if err != nil {
			_ = client.Close() // this is how a client learns of it
			continue
		}
		p.add(newFlow(client, server))
	}
}

func (p *Proxy) add(f *flow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		f.end()
		return
	}
	f.down.limit(p.weather.cut)
	p.flows[f] = struct{}{}
	p.group.Go(func() {
		f.run(p.now)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.flows, f)
	})
}
