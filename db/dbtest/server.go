package dbtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres/server"
)

// process is what a test process has once.
type process struct {
	mu        sync.Mutex // guards the rest
	asked     bool
	server    *server.Server
	err       error
	names     int
	templates map[string]*Template
	seats     chan struct{} // of wrapped tests on the server; nil before the first
}

// shared is the only state of this package: a process has one server, as it has
// one environment, and templates on it.
var shared process

const (
	startLimit   = time.Minute
	cleanupLimit = 10 * time.Second
)

// cleanup is a context for what runs after a test, whose own has ended by then.
func cleanup() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), cleanupLimit)
}

// name makes a name that no other test uses, nor another process on a shared
// server.
func (p *process) name(kind string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names++
	return fmt.Sprintf("%s_%d_%d", kind, os.Getpid(), p.names)
}

// get returns the server, and starts it for the first caller.
func (p *process) get() (*server.Server, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked {
		return p.server, p.err
	}
	p.asked = true
	started := make(chan struct{})
	go func() { // the server is nobody's: its goroutine must not carry a test's label
		defer close(started)
		pprof.SetGoroutineLabels(context.Background())
		p.server, p.err = start()
	}()
	<-started
	return p.server, p.err
}

func start() (*server.Server, error) {
	if srv, found, err := server.FromEnv(); found || err != nil {
		return srv, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	return server.Start(ctx, server.Options{})
}

func (p *process) stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil {
		return nil
	}
	return p.server.Stop()
}

// Server returns the private PostgreSQL of this test process. It skips the test
// where PostgreSQL is not installed, and fails it where that is required.
func Server(t testing.TB) *server.Server {
	t.Helper()
	srv, err := shared.get()
	switch {
	case err == nil:
	case errors.Is(err, server.ErrNotInstalled) && !required(Postgres):
		t.Skip(strings.TrimPrefix(err.Error(), "server: "))
	default:
		t.Fatal(err)
	}
	return srv
}

// Main runs the tests of a package and stops the server that they have started.
// Call it from TestMain; it ends the process.
func Main(m *testing.M) {
	code := m.Run()
	if err := shared.stop(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err) // nobody else is left to tell
		code = max(code, 1)
	}
	os.Exit(code)
}

// Backends returns the process numbers of the server's sessions on the database of
// the settings, the oldest first.
func Backends(t testing.TB, settings db.Settings) []int {
	t.Helper()
	pids, err := Server(t).Backends(t.Context(), settings.Name)
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

// Kill ends the server's sessions on the database of the settings, as
// pg_terminate_backend does, and returns how many there were. They are gone
// when it returns.
func Kill(t testing.TB, settings db.Settings) int {
	t.Helper()
	pids := Backends(t, settings)
	if err := Server(t).Terminate(t.Context(), pids...); err != nil {
		t.Fatal(err)
	}
	return len(pids)
}
