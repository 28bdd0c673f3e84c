package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options say what [Start] starts. The zero value is a small server with
// PostgreSQL's own limits.
type Options struct {
	// Settings are server parameters, as in postgresql.conf: max_connections,
	// idle_session_timeout. They win over what Start sets itself, but port,
	// listen_addresses, unix_socket_directories and data_directory are Start's.
	Settings map[string]string

	// Bin is the folder with initdb and postgres. Empty is what [Find] finds.
	Bin string
}

// Server is a running private PostgreSQL, or, from [FromEnv], the address of one
// that another process runs. Its fields do not change, and its methods may be
// called concurrently.
type Server struct {
	Host      string // "127.0.0.1"
	Port      int
	User      string // the superuser, who needs no password
	SocketDir string // the folder of the unix socket, a second way in; on one from FromEnv empty if it was not told

	bin     string
	folder  *folder // nil: another process owns the server
	account *account
	flags   []string

	mu      sync.Mutex // guards the rest; held while the server starts and ends
	process *process   // nil while it is down
	stopped bool
	last    string // the end of the log, once the folder is gone
}

const (
	superuser  = "postgres"
	loopback   = "127.0.0.1"
	stopWithin = 10 * time.Second
	logTail    = 64 << 10
)

// ErrBorrowed is the answer to stopping or restarting a server that another
// process owns.
var ErrBorrowed = errors.New("the server belongs to the process that started it")

// Start makes a new, empty cluster and starts a server on it. It returns when the
// server accepts connections, about a second later; the context bounds that
// time and does not end the server afterwards: [Server.Stop] does. Errors carry the
// end of the server's log; they wrap [ErrNotInstalled] when there is no PostgreSQL.
func Start(ctx context.Context, o Options) (*Server, error) {
	for _, key := range []string{"port", "listen_addresses", "unix_socket_directories", "data_directory"} {
		if _, ok := o.Settings[key]; ok {
			return nil, fmt.Errorf("server: setting %q is chosen by Start; leave it out", key)
		}
	}
	bin := o.Bin
	if bin == "" {
		found, err := Find()
		if err != nil {
			return nil, err
		}
		bin = found
	}
	owner, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := newFolder(ctx, owner)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Host: loopback, User: superuser, SocketDir: dir.path,
		bin: bin, folder: dir, account: owner, flags: flags(o.Settings),
	}
	if err := s.create(ctx); err != nil {
		return nil, errors.Join(err, dir.remove())
	}
	if err := s.startOnFreePort(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func flags(settings map[string]string) []string {
	all := map[string]string{
		"autovacuum":         "off",
		"max_connections":    "200", // wrapped tests have one each
		"fsync":              "off",
		"full_page_writes":   "off",
		"jit":                "off",
		"max_wal_senders":    "0",
		"shared_buffers":     "32MB",
		"synchronous_commit": "off",
		"wal_level":          "minimal",
	}
	maps.Copy(all, settings)
	var list []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		list = append(list, "-c", key+"="+all[key])
	}
	return list
}

// create runs initdb.
func (s *Server) create(ctx context.Context) error {
	// -N and the missing fsync: what is lost with the machine was not wanted.
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), "-D", s.data(), "-U", superuser,
		"-A", "trust", "-N", "-E", "UTF8", "--locale="+locale(), "--no-instructions")
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	p, err := s.launch(cmd, killed)
	if err != nil {
		return err
	}
	<-p.ended
	if p.err != nil {
		return fmt.Errorf("server: initdb in %s: %w\n%s", s.folder.path, errors.Join(ctx.Err(), p.err), output.String())
	}
	return nil
}

func (s *Server) data() string    { return filepath.Join(s.folder.path, "data") }
func (s *Server) logFile() string { return filepath.Join(s.folder.path, "log") }

// startOnFreePort tries again with another port when somebody else was faster.
func (s *Server) startOnFreePort(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		port, err := freePort(ctx)
		if err != nil {
			return err
		}
		s.Port = port
		err = s.Up(ctx)
		if err == nil || attempt == 5 || !strings.Contains(s.Log(), "already in use") {
			return err
		}
	}
}

func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return 0, fmt.Errorf("server: no free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Up starts a server that is down again, on the same port and with the same data.
// It returns when the server accepts connections. On a running one it does nothing.
func (s *Server) Up(ctx context.Context) error { return s.up(ctx, s.answers) }

// up starts the server with these parameters beside its own, and waits until it is as
// it should be.
func (s *Server) up(ctx context.Context, is func(context.Context) error, parameters ...string) error {
	if s.folder == nil {
		return fmt.Errorf("server: start: %w", ErrBorrowed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errors.New("server: start: it was stopped and its folder is gone; use Start")
	}
	if s.process != nil && !s.process.over() {
		return nil
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("server: log: %w", err)
	}
	defer log.Close() // the server has its own
	args := append([]string{"-D", s.data(), "-p", fmt.Sprint(s.Port), "-k", s.folder.path,
		"-c", "listen_addresses=" + loopback}, s.flags...)
	for _, parameter := range parameters {
		args = append(args, "-c", parameter)
	}
	// the context bounds the start, not the server
	cmd := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(s.bin, "postgres"), args...)
	cmd.Stdout, cmd.Stderr = log, log
	p, err := s.launch(cmd, quit)
	if err != nil {
		return err
	}
	s.process = p
	if err := s.await(ctx, p, is); err != nil {
		p.signal(quit)
		<-p.ended
		s.process = nil
		return fmt.Errorf("server: %w\n%s", err, s.tail())
	}
	return nil
}

// Mode is how a server goes down: pg_ctl's word.
type Mode int

const (
	// Fast ends the sessions, rolls back what they have open, and ends cleanly.
	Fast Mode = iota
	// Smart waits until the last session has gone by itself.
	Smart
	// Immediate ends everything at once, as a crash would. The commits of the last
	// moments are lost, unless Settings turn synchronous_commit on.
	Immediate
)

// Down ends the server and keeps its data, so that it looks like an outage until
// [Server.Up]. It returns when the last process of the server is gone, or
// with the context's error, and then the server may still be on its way down. On
// one that is down already it does nothing.
func (s *Server) Down(ctx context.Context, mode Mode) error {
	if s.folder == nil {
		return fmt.Errorf("server: stop: %w", ErrBorrowed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	s.process.signal(mode.signal())
	select {
	case <-s.process.ended:
		s.process = nil
		return nil
	case <-ctx.Done():
		return fmt.Errorf("server: still going down: %w", ctx.Err())
	}
}

// Restart is [Server.Down] and [Server.Up]: an outage of a few tens of milliseconds.
func (s *Server) Restart(ctx context.Context, mode Mode) error {
	if err := s.Down(ctx, mode); err != nil {
		return err
	}
	return s.Up(ctx)
}

// Stop ends the server at once and removes its folder. It waits until both are
// done, ten seconds at most, and may be called again. On a server from [FromEnv]
// it does nothing: the process that started it stops it.
func (s *Server) Stop() error {
	if s.folder == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	if p := s.process; p != nil {
		p.signal(quit)
		select {
		case <-p.ended:
		case <-time.After(stopWithin):
			p.signal(killed)
			<-p.ended
		}
		s.process = nil
	}
	s.stopped, s.last = true, s.tail()
	return s.folder.remove()
}

// Log returns the end of the server's log, 64 KiB at most, also after
// [Server.Stop]. It is empty on a server from [FromEnv].
func (s *Server) Log() string {
	if s.folder == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tail()
}

func (s *Server) tail() string {
	if s.stopped {
		return s.last
	}
	f, err := os.Open(s.logFile())
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		if _, err := f.Seek(max(0, end-logTail), io.SeekStart); err != nil {
			return fmt.Sprintf("(no log: %v)", err)
		}
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return fmt.Sprintf("%s\n(log broken off: %v)", text, err)
	}
	return string(text)
}

// locale is one that needs no generated locale files. Only some systems have the C
// library's own UTF-8.
func locale() string {
	if runtime.GOOS == "linux" {
		return "C.UTF-8"
	}
	return "C"
}
