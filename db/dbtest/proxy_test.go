package dbtest_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// echo is a server that sends back what it gets, after its name.
func echo(t *testing.T, name string) db.Settings {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				if _, err := io.WriteString(c, name); err == nil {
					_, _ = io.Copy(c, c) // until one of them has enough
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return db.Settings{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}
}

// caller is a client of a proxy.
type caller struct {
	net.Conn
	t *testing.T
}

func call(t *testing.T, s db.Settings) *caller {
	t.Helper()
	c, err := dial(t, s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func dial(t *testing.T, s db.Settings) (*caller, error) {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", net.JoinHostPort(s.Host, strconv.Itoa(s.Port)))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Close() })
	return &caller{c, t}, nil
}

func (c *caller) says(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Error(err)
	}
}

// hears fails unless exactly that comes next.
func (c *caller) hears(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		c.t.Errorf("it hears %q, %v, want %q", got[:n], err, want)
	}
}

func (c *caller) hearsNothing() {
	c.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		c.t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n > 0 || !isTimeout(err) {
		c.t.Errorf("it hears %d bytes, %v, want silence", n, err)
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// end is how the connection ends, and what came before.
func (c *caller) end() (before string, err error) {
	c.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
	var all bytes.Buffer
	_, err = io.Copy(&all, c)
	return all.String(), err
}

func TestProxy_EitherDirectionFreezes(t *testing.T) {
	t.Parallel()
	proxy, s := dbtest.NewProxy(t, echo(t, "one "))
	older := call(t, s)
	older.hears("one ")

	proxy.FreezeToServer()
	older.says("a")
	older.hearsNothing()
	younger := call(t, s) // passes
	younger.says("b")
	younger.hears("one b")
	proxy.Thaw()
	older.hears("a") // nothing was lost

	proxy.FreezeToClient()
	older.says("c")
	older.hearsNothing()
	proxy.Thaw()
	older.hears("c")

	proxy.Freeze()
	older.says("d")
	older.hearsNothing()
	proxy.Close()
	if before, err := older.end(); err != nil || before != "" {
		t.Errorf("a frozen one ends with %q, %v", before, err)
	}
}

func TestProxy_ADeafOneTakesConnectionsAndIsSilent(t *testing.T) {
	t.Parallel()
	proxy, s := dbtest.NewProxy(t, echo(t, "one "))
	before := call(t, s)
	before.hears("one ")
	proxy.Deaf(t)
	during := call(t, s)
	during.says("a")
	during.hearsNothing()
	before.says("b")
	before.hears("b")
	proxy.Accept(t)
	call(t, s).hears("one ")
	during.hearsNothing()
	proxy.Refuse()
	proxy.Deaf(t) // takes them again
	call(t, s).hearsNothing()
}

func TestProxy_WaitsForItsPort(t *testing.T) {
	t.Parallel()
	proxy, s := dbtest.NewProxy(t, echo(t, "one "))
	proxy.Refuse()
	other, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(s.Host, strconv.Itoa(s.Port)))
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = other.Close() }) // whoever has it meanwhile
	proxy.Accept(t)
	call(t, s).hears("one ")
}

func TestProxy_EndsConnectionsWithRSTOrFIN(t *testing.T) {
	t.Parallel()
	proxy, s := dbtest.NewProxy(t, echo(t, "one "))
	for name, row := range map[string]struct {
		end  func()
		want error
	}{"RST": {proxy.Reset, syscall.ECONNRESET}, "FIN": {proxy.Close, nil}} {
		c := call(t, s)
		c.hears("one ")
		row.end()
		if before, err := c.end(); !errors.Is(err, row.want) || before != "" {
			t.Errorf("%s: it ends with %q, %v, want %v", name, before, err, row.want)
		}
	}
}

func TestProxy_CutsAfterSoManyBytes(t *testing.T) {
	t.Parallel()
	proxy, s := dbtest.NewProxy(t, echo(t, "one "))
	older := call(t, s)
	older.hears("one ")
	proxy.CutAfter(2)
	older.says("abc")
	if before, err := older.end(); !errors.Is(err, syscall.ECONNRESET) || len(before) > 2 {
		t.Errorf("the older one ends with %q, %v", before, err) // RST may overtake what was sent
	}
	younger, err := dial(t, s)
	before := ""
	if err == nil {
		before, err = younger.end()
	}
	if !errors.Is(err, syscall.ECONNRESET) || len(before) > 2 { // it may also overtake the dialling
		t.Errorf("the younger one ends with %q, %v", before, err)
	}
	proxy.CutAfter(0)
	c := call(t, s)
	c.says("abcdef")
	c.hears("one abcdef")
}

func TestProxy_BytesTakeTheirTime(t *testing.T) {
	t.Parallel()
	proxy, s := dbtest.NewProxy(t, echo(t, ""))
	c := call(t, s)
	takes := func(what string, least time.Duration, bytes int) {
		t.Helper()
		text := strings.Repeat("x", bytes)
		began := time.Now()
		c.says(text)
		c.hears(text)
		took := time.Since(began)
		t.Logf("%s: %d bytes there and back in %s", what, bytes, took)
		if took < least {
			t.Errorf("%s: it took %s, want %s at least", what, took, least)
		}
	}
	proxy.Delay(50 * time.Millisecond)
	takes("delayed", 100*time.Millisecond, 1)
	takes("delayed, and many", 100*time.Millisecond, 100<<10)
	proxy.Delay(0)
	proxy.Throttle(100 << 10)
	takes("throttled", 200*time.Millisecond, 20<<10)
	proxy.Throttle(0)
	takes("at once", 0, 1<<20)
}

func TestProxy_LeadsNewConnectionsElsewhere(t *testing.T) {
	t.Parallel()
	one, two := echo(t, "one "), echo(t, "two ")
	proxy, s := dbtest.NewProxy(t, one)
	older := call(t, s)
	older.hears("one ")
	proxy.Switch(two)
	call(t, s).hears("two ")
	older.says("a")
	older.hears("a")
	if n := proxy.Flows(); n < 1 {
		t.Errorf("%d flows", n)
	}
}
