package reload

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// passed is a connection that the parent passes on. It begins with the two addresses
// of the connection to the client, which this one has as well.
type passed struct {
	*net.UnixConn
	public net.Addr // of the listener

	once          sync.Once
	local, remote net.Addr
}

// introduce writes what a passed connection begins with.
func introduce(w io.Writer, remote, local string) error {
	text := remote + " " + local
	if len(text) > 255 {
		return fmt.Errorf("reload: addresses %q are too long", text)
	}
	_, err := w.Write(append([]byte{byte(len(text))}, text...))
	return err
}

// meet reads it. The parent has written it right after it connected.
func (c *passed) meet() {
	c.local, c.remote = c.public, address("")
	_ = c.SetReadDeadline(time.Now().Add(time.Second)) // what fails here fails in Read, too
	size := make([]byte, 1)
	if _, err := io.ReadFull(c.UnixConn, size); err != nil {
		return
	}
	text := make([]byte, size[0])
	if _, err := io.ReadFull(c.UnixConn, text); err != nil {
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	remote, local, _ := strings.Cut(string(text), " ")
	c.remote = address(remote)
	if local != "" {
		c.local = address(local)
	}
}

// RemoteAddr and LocalAddr are asked for by net/http before it reads anything, in
// the goroutine of the connection.
func (c *passed) RemoteAddr() net.Addr { c.once.Do(c.meet); return c.remote }
func (c *passed) LocalAddr() net.Addr  { c.once.Do(c.meet); return c.local }

func (c *passed) Read(b []byte) (int, error) {
	c.once.Do(c.meet)
	return c.UnixConn.Read(b)
}

// address makes an address of its text.
func address(text string) net.Addr {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return net.TCPAddrFromAddrPort(at)
	}
	return named(text)
}

// named is an address that is only a text.
type named string

func (a named) Network() string { return "tcp" }
func (a named) String() string  { return string(a) }
