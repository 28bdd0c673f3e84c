package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/goquintet/quintet/db/pool"
)

var (
	errClosed  = errors.New("sqlite: the connection is closed")
	errMoved   = errors.New("sqlite: the file was replaced or removed")
	errNoReset = errors.New("sqlite: a session cannot be reset; it is closed and opened anew")
	errForeign = errors.New("sqlite: the connection is not one of this engine's")
)

// sessions opens and tends SQLite connections.
type sessions struct {
	connector   driver.Connector
	path        string // absolute, or ":memory:"
	single      bool
	lock        string // transaction_mode: what BEGIN says
	create      bool   // the file and its folders
	pragmas     []string
	initCommand string
}

var (
	_ pool.Driver = (*sessions)(nil)
	_ pool.Writer = (*sessions)(nil)
)

func (d *sessions) Connect(ctx context.Context) (driver.Conn, error) {
	if d.create {
		if err := os.MkdirAll(filepath.Dir(d.path), 0o750); err != nil {
			return nil, fmt.Errorf("sqlite: folder of %s: %w", d.path, err)
		}
	}
	c, err := d.connector.Connect(ctx)
	if err != nil {
		return nil, d.openError(err)
	}
	s, err := newSession(c)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := d.prepare(ctx, s); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (d *sessions) openError(err error) error {
	if info, statErr := os.Stat(d.path); statErr == nil && info.IsDir() {
		return fmt.Errorf("sqlite: %s is a folder; NAME must be a file: %w", d.path, err)
	} else if errors.Is(statErr, fs.ErrNotExist) && !d.create {
		return fmt.Errorf("sqlite: %s does not exist, and OPTIONS mode forbids making it: %w", d.path, err)
	}
	return fmt.Errorf("sqlite: %s: %w", d.path, err)
}

func (d *sessions) prepare(ctx context.Context, s *session) error {
	for _, text := range d.pragmas {
		if _, err := s.ExecContext(ctx, text, nil); err != nil {
			return fmt.Errorf("sqlite: %s: %s: %w", d.path, text, err)
		}
	}
	if d.initCommand != "" {
		if _, err := s.ExecContext(ctx, d.initCommand, nil); err != nil {
			return fmt.Errorf("sqlite: %s: OPTIONS init_command: %w", d.path, err)
		}
	}
	if d.single {
		return nil
	}
	file, err := os.Stat(d.path)
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	s.file = file
	return nil
}

func (d *sessions) Close(c driver.Conn) error { return c.Close() }

// Kill interrupts what runs. There is no socket to close, and a connection must not
// be closed under a running statement; it counts as lost from now on.
func (d *sessions) Kill(c driver.Conn) {
	if s, ok := c.(*session); ok {
		s.killed.Store(true)
		s.handle.interrupt()
	}
}

func (d *sessions) Peek(c driver.Conn) error {
	s, ok := c.(*session)
	switch {
	case !ok:
		return errForeign
	case !s.IsValid():
		return errClosed
	case s.file == nil:
		return nil
	}
	if now, err := os.Stat(d.path); err != nil || !os.SameFile(now, s.file) {
		return errMoved
	}
	return nil
}

func (d *sessions) Ping(ctx context.Context, c driver.Conn) error {
	s, ok := c.(*session)
	if !ok {
		return errForeign
	}
	if !s.IsValid() {
		return errClosed
	}
	// this reads the file, which "SELECT 1" would not
	if _, err := s.ExecContext(ctx, "PRAGMA schema_version", nil); err != nil {
		return fmt.Errorf("sqlite: ping: %w", err)
	}
	return nil
}

// Cancel interrupts what runs. What begins afterwards is not hit: SQLite forgets an
// interrupt once nothing runs any more.
func (d *sessions) Cancel(_ context.Context, c driver.Conn) error {
	s, ok := c.(*session)
	if !ok {
		return errForeign
	}
	s.handle.interrupt()
	return nil
}

func (d *sessions) InTransaction(c driver.Conn) (in, known bool) {
	s, ok := c.(*session)
	if !ok {
		return false, false
	}
	return s.handle.inTransaction()
}

func (d *sessions) Dirties(query string) bool { return dirties(query) }

func (d *sessions) Classify(err error) pool.Class { return classify(err) }

// Demoted: a file does not change its mind.
func (d *sessions) Demoted(driver.Conn) bool { return false }

// Transient: another connection has the file locked, while it recovers or changes
// the journal.
func (d *sessions) Transient(err error) bool { return locked(err) }

func (d *sessions) Traits() pool.Traits {
	return pool.Traits{Single: d.single}
}
