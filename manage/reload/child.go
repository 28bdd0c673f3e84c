package reload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// envKey tells a process that it is a child, and what it has to know.
const envKey = "QUINTET_RELOAD"

// What a child inherits beside the standard streams, in this order.
const (
	fdListener = 3 + iota
	fdControl  // read; ends when the child has to end
	fdStatus   // written; one byte when it listens
)

// brief is what a parent tells its child.
type brief struct {
	Dir      string        // its temporary folder
	Address  string        // what it listens at
	Grace    time.Duration // after which a child that was told to end is gone
	Again    bool          // the code is newer than the parent's
	Terminal bool          // the parent's standard error is one
}

// Child is the process that serves.
type Child struct {
	brief
	listener *inherited
	told     chan struct{} // closed when the parent wants it to end, or is gone
	parting  bool          // the parent has said so itself; after told
}

// Inherit returns what this process has from its parent: nil when it is no child.
// It takes the variable out of the environment, so that it is asked once, early. From
// then on the end of the parent, which SIGHUP tells at first, ends its context.
func Inherit() (*Child, error) {
	text, found := os.LookupEnv(envKey)
	if !found || !supported {
		return nil, nil
	}
	c := &Child{told: make(chan struct{})}
	if err := errors.Join(os.Unsetenv(envKey), json.Unmarshal([]byte(text), &c.brief)); err != nil {
		return nil, fmt.Errorf("reload: %s: %w", envKey, err)
	}
	outlive()
	for fd := uintptr(fdListener); fd <= fdStatus; fd++ {
		closeOnExec(fd)
	}
	file := os.NewFile(fdListener, "listener")
	l, err := net.FileListener(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("reload: the inherited listener: %w", err)
	}
	own, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("reload: the inherited listener is a %T", l), l.Close())
	}
	c.listener = &inherited{UnixListener: own, public: address(c.Address), status: os.NewFile(fdStatus, "status")}
	go c.listen(os.NewFile(fdControl, "control"))
	return c, nil
}

// listen waits for the end of the parent, or of its interest in this child, and sees
// to it that the process ends then, whatever it is doing.
func (c *Child) listen(control *os.File) {
	for one := make([]byte, 1); ; {
		if _, err := control.Read(one); err != nil {
			break
		}
		c.parting = true
	}
	close(c.told)
	time.Sleep(c.Grace)
	c.Close()
	os.Exit(1)
}

// Context returns a context that ends with ctx, and when the child has to end.
func (c *Child) Context(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-c.told:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx
}

// Again reports whether this is a later build than that of the parent, whose checks
// are out of date then.
func (c *Child) Again() bool { return c.brief.Again }

// Terminal reports whether the standard error ends at a terminal. The parent passes
// on what the child writes, so that the child cannot see that by itself.
func (c *Child) Terminal() bool { return c.brief.Terminal }

// Listener is where the site is served. Its address is that of the parent; the first
// Accept tells the parent that this process is ready.
func (c *Child) Listener() net.Listener { return c.listener }

// Close cleans up after a parent that could not: one that was killed.
func (c *Child) Close() {
	select {
	case <-c.told:
		if !c.parting {
			_ = os.RemoveAll(c.Dir) // nobody is left who could be told
		}
	default:
	}
}

// inherited is the listener of a child.
type inherited struct {
	*net.UnixListener
	public net.Addr
	status *os.File
	ready  sync.Once
}

func (l *inherited) Addr() net.Addr { return l.public }

func (l *inherited) Accept() (net.Conn, error) {
	l.ready.Do(func() {
		_, _ = l.status.Write([]byte("!")) // a parent that is gone needs no word
		_ = l.status.Close()
	})
	conn, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	return &passed{UnixConn: conn, public: l.public}, nil
}
