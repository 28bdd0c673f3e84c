package postgres

import (
	"context"
	"net"
	"time"
)

const (
	keepaliveIdle     = 30 * time.Second
	keepaliveInterval = 10 * time.Second
	keepaliveCount    = 3
	// userTimeout is below ACQUIRE_TIMEOUT, so that a statement to a host that has
	// gone fails before those who wait for its connection give up.
	userTimeout = 4 * time.Second
)

func newDialer(options map[string]string) *net.Dialer {
	d := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable:   options["keepalives"] != "0",
		Idle:     number(options, "keepalives_idle", time.Second, keepaliveIdle),
		Interval: number(options, "keepalives_interval", time.Second, keepaliveInterval),
		Count:    int(number(options, "keepalives_count", 1, keepaliveCount)),
	}}
	if !d.KeepAliveConfig.Enable {
		d.KeepAlive = -1
	}
	if timeout := number(options, "tcp_user_timeout", time.Millisecond, userTimeout); timeout > 0 {
		d.Control = controlUserTimeout(timeout)
	}
	return d
}

// wire dials for one connection: its own socket, and the short ones over which pgx
// asks the server to cancel a statement. pgx leaves some of them to goroutines of
// its own; cut ends them all.
type wire struct {
	dialer *net.Dialer
	life   context.Context
	cut    context.CancelFunc
}

func newWire(dialer *net.Dialer) *wire {
	w := &wire{dialer: dialer}
	w.life, w.cut = context.WithCancel(context.Background())
	return w
}

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(w.life, cancel)
	defer stop()
	c, err := w.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &strand{Conn: c, forget: context.AfterFunc(w.life, func() { _ = c.Close() })}, nil
}

// strand is one socket of a wire.
type strand struct {
	net.Conn
	forget func() bool
}

// NetConn returns the socket, as tls.Conn's method does.
func (s *strand) NetConn() net.Conn { return s.Conn }

func (s *strand) Close() error {
	s.forget()
	return s.Conn.Close()
}

// socket is what a connection stands on, below TLS.
func socket(c net.Conn) net.Conn {
	for {
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = outer.NetConn()
	}
}
