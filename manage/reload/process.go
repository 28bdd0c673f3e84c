package reload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// process is a child as its parent sees it.
type process struct {
	cmd       *exec.Cmd
	file      os.FileInfo // the program, as it was when it started
	control   *os.File    // closed to end it
	ready     chan struct{}
	done      chan struct{} // closed when it has ended
	err       error         // how; after done
	words     *tail         // the last of what it has written to its standard error
	transport *http.Transport
	told      sync.Once

	mu      sync.Mutex
	waiting int           // requests that it has not begun to answer
	quiet   chan struct{} // closed when waiting gets 0; nil when nobody asks
}

// spawn describes a process to start.
type spawn struct {
	path           string
	args           []string
	dir            string        // for its socket
	idle           time.Duration // how long the process keeps connections
	brief          brief
	stdout, stderr io.Writer
}

// start starts a process. It serves when ready is closed.
func (s spawn) start(number int) (*process, error) {
	file, err := os.Stat(s.path)
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(s.dir, fmt.Sprintf("%d.sock", number))
	l, err := new(net.ListenConfig).Listen(context.Background(), "unix", socket)
	if err != nil {
		return nil, err
	}
	own := l.(*net.UnixListener)
	own.SetUnlinkOnClose(false) // it is the child's
	defer own.Close()
	listener, err := own.File()
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	control, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer control.Close()
	theirs, status, err := os.Pipe()
	if err != nil {
		ours.Close()
		return nil, err
	}
	defer status.Close()

	text, err := json.Marshal(s.brief)
	if err != nil {
		ours.Close()
		theirs.Close()
		return nil, err
	}
	p := &process{
		cmd: exec.Command(s.path, s.args...), file: file, control: ours, //nolint:noctx // it ends when it is told to
		ready: make(chan struct{}), done: make(chan struct{}), words: &tail{},
	}
	p.cmd.Env = append(os.Environ(), envKey+"="+string(text))
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = os.Stdin, s.stdout, io.MultiWriter(s.stderr, p.words)
	p.cmd.ExtraFiles = []*os.File{listener, control, status}
	p.cmd.WaitDelay = time.Second // for words that its own children keep open
	p.transport = &http.Transport{
		// Each client, by its address, has connections of its own. They are left
		// before the process leaves them: a request in between would be lost.
		MaxIdleConns: 100, IdleConnTimeout: s.idle / 2, DisableCompression: true,
		DialContext: func(ctx context.Context, _, remote string) (net.Conn, error) {
			return dial(ctx, socket, remote)
		},
	}
	ended, err := launch(p.cmd, lastWord)
	if err != nil {
		ours.Close()
		theirs.Close()
		return nil, err
	}
	go p.watch(theirs, ended, socket)
	return p, nil
}

// watch closes ready and done in time.
func (p *process) watch(status *os.File, ended <-chan error, socket string) {
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		if n, _ := status.Read(make([]byte, 1)); n == 1 {
			close(p.ready)
		}
	}()
	p.err = <-ended
	_ = status.Close() // something that the process has left behind may hold the other end
	<-listening
	p.tell()
	_ = os.Remove(socket) // the folder goes as a whole in the end
	close(p.done)
}

func dial(ctx context.Context, socket, remote string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	local := ""
	if at, ok := ctx.Value(http.LocalAddrContextKey).(net.Addr); ok {
		local = at.String()
	}
	if err := introduce(conn, remote, local); err != nil {
		conn.Close()
		return nil, err
	}
	return patient{conn}, nil
}

// patient is a connection that can be read to its end when its other end does not
// read any more: an answer may come before the whole request was asked for.
type patient struct{ net.Conn }

func (c patient) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return len(b), nil
	}
	return n, err
}

// CloseWrite is asked for by upgraded connections.
func (c patient) CloseWrite() error { return c.Conn.(*net.UnixConn).CloseWrite() }

// arrive counts a request that is on its way; the function that it returns says,
// once, that its answer has begun, or never will.
func (p *process) arrive() (begun func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting++
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.waiting--; p.waiting == 0 && p.quiet != nil {
			close(p.quiet)
			p.quiet = nil
		}
	})
}

// tell lets the process end: it drains as at any shutdown. The byte says that it is
// told; the end of the pipe alone would say that nobody is left.
func (p *process) tell() {
	p.told.Do(func() {
		_, _ = p.control.Write([]byte("!")) // a process that has ended needs no word
		_ = p.control.Close()
	})
}

// beginning is how long a request may take to begin its answer before the streams of
// its process are told to end. It may become a stream, which would be refused then.
const beginning = 5 * time.Second

// retire ends a process that gets no more requests. What is on its way to it may
// begin first, unless there is a hurry.
func (p *process) retire(hurry <-chan struct{}, grace time.Duration) {
	p.mu.Lock()
	quiet := make(chan struct{})
	if p.waiting == 0 {
		close(quiet)
	} else {
		p.quiet = quiet
	}
	p.mu.Unlock()
	select {
	case <-quiet:
	case <-p.done:
	case <-hurry:
	case <-time.After(beginning):
	}
	p.end(grace)
}

// end tells the process to end and waits for that. One that does not is killed.
func (p *process) end(grace time.Duration) {
	p.tell()
	select {
	case <-p.done:
	case <-time.After(grace):
		_ = p.cmd.Process.Kill() // it has just ended by itself then
		<-p.done
	}
}

// tail keeps the last of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 32 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
