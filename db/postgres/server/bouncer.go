package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// BouncerOptions say how PgBouncer is configured. The zero value is transaction mode
// with five server connections for each database.
type BouncerOptions struct {
	// Settings are those of pgbouncer.ini: pool_mode, default_pool_size. They win over
	// what StartBouncer sets itself, but listen_addr and listen_port are its own.
	Settings map[string]string
}

// Bouncer is a running private PgBouncer before a [Server]. Every database of that is
// there under its own name, for the server's user. Its fields do not change, and its
// methods may be called concurrently.
type Bouncer struct {
	Host string // "127.0.0.1"
	Port int

	program string
	folder  *folder
	account *account

	mu      sync.Mutex // guards the rest
	process *process   // nil while it is down
	stopped bool
}

// ErrNoBouncer means that this machine has no PgBouncer.
var ErrNoBouncer = errors.New("PgBouncer is not installed")

// FindBouncer returns the program, or an error that wraps [ErrNoBouncer].
func FindBouncer() (string, error) {
	path, err := exec.LookPath("pgbouncer")
	if err == nil {
		return path, nil
	}
	const debian = "/usr/sbin/pgbouncer" // which is not in everybody's PATH
	if _, err := os.Stat(debian); err == nil {
		return debian, nil
	}
	return "", fmt.Errorf("server: %w: run \"apt-get install pgbouncer\" (or your system's own)", ErrNoBouncer)
}

// StartBouncer starts a PgBouncer before s and returns when it accepts connections. The
// context bounds that and does not end it afterwards: [Bouncer.Stop] does.
func StartBouncer(ctx context.Context, s *Server, o BouncerOptions) (*Bouncer, error) {
	program, err := FindBouncer()
	if err != nil {
		return nil, err
	}
	owner, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := newFolder(ctx, owner)
	if err != nil {
		return nil, err
	}
	b := &Bouncer{Host: loopback, program: program, folder: dir, account: owner}
	for attempt := 1; ; attempt++ {
		if b.Port, err = freePort(ctx); err != nil {
			break
		}
		if err = b.configure(s, o); err != nil {
			break
		}
		// Somebody else may have been faster with the port.
		if err = b.Up(ctx); err == nil || attempt == 5 || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, b.Stop())
	}
	return b, nil
}

func (b *Bouncer) file() string    { return filepath.Join(b.folder.path, "pgbouncer.ini") }
func (b *Bouncer) logFile() string { return filepath.Join(b.folder.path, "log") }

func (b *Bouncer) configure(s *Server, o BouncerOptions) error {
	all := map[string]string{
		"auth_type":         "any",
		"pool_mode":         "transaction",
		"default_pool_size": "5",
		"max_client_conn":   "500",
		"unix_socket_dir":   "",
		"listen_addr":       loopback,
		"listen_port":       strconv.Itoa(b.Port),
	}
	for key, value := range o.Settings {
		if key == "listen_addr" || key == "listen_port" {
			return fmt.Errorf("server: setting %q is chosen by StartBouncer; leave it out", key)
		}
		all[key] = value
	}
	var text strings.Builder
	fmt.Fprintf(&text, "[databases]\n* = host=%s port=%d user=%s\n[pgbouncer]\n", s.Host, s.Port, s.User)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s = %s\n", key, all[key])
	}
	if err := os.WriteFile(b.file(), []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("server: PgBouncer: %w", err)
	}
	return b.account.own(b.file())
}

// Up starts one that is down again, on the same port. On a running one it does nothing.
func (b *Bouncer) Up(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return errors.New("server: PgBouncer was stopped and its folder is gone; use StartBouncer")
	}
	if b.process != nil && !b.process.over() {
		return nil
	}
	log, err := os.OpenFile(b.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("server: PgBouncer: log: %w", err)
	}
	defer log.Close() // it has its own
	cmd := exec.CommandContext(context.WithoutCancel(ctx), b.program, b.file())
	cmd.Stdout, cmd.Stderr = log, log
	p, err := launch(b.folder.path, b.account, cmd, killed)
	if err != nil {
		return err
	}
	b.process = p
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	address := net.JoinHostPort(b.Host, strconv.Itoa(b.Port))
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-p.ended:
			err = p.failure()
		case <-ctx.Done():
			p.signal(killed)
			<-p.ended
		case <-again.C:
			continue
		}
		b.process = nil
		text, _ := os.ReadFile(b.logFile()) // without it the error is still one
		return fmt.Errorf("server: PgBouncer did not start: %w\n%s", err, text)
	}
}

// Down ends it at once, as a crash would: sessions lose their sockets. It returns when
// it is gone. On one that is down already it does nothing.
func (b *Bouncer) Down() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down()
}

func (b *Bouncer) down() {
	if b.process != nil {
		b.process.signal(killed)
		<-b.process.ended
		b.process = nil
	}
}

// Stop ends it and removes its folder. It may be called again.
func (b *Bouncer) Stop() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return nil
	}
	b.down()
	b.stopped = true
	return b.folder.remove()
}
