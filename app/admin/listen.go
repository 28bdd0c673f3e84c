package admin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

const (
	suffix = ".sock"
	// unnamed begins the name of a socket that does not listen yet. Between its making
	// and its listening it refuses, as those of dead processes do: only one that has
	// listened gets its name.
	unnamed = "."
)

// Listen listens on a socket of this process, and removes those of dead ones. Closing
// the listener removes the socket. What keeps it from listening is an *[Error].
func (f Folder) Listen() (net.Listener, error) {
	if !Supported {
		return nil, &Error{Folder: f.path, Problem: "this system has no sockets with owners"}
	}
	for again := 3; ; again-- {
		l, err := f.listen()
		if errors.Is(err, fs.ErrNotExist) && again > 0 { // another process has left the folder just now, as the last one
			continue
		}
		return l, err
	}
}

func (f Folder) listen() (net.Listener, error) {
	if err := f.prepare(); err != nil {
		return nil, err
	}
	if _, err := f.sockets(context.Background()); err != nil {
		return nil, err
	}
	f.tidyUp()
	var random [4]byte
	_, _ = rand.Read(random[:]) // it never fails
	name := strconv.Itoa(os.Getpid()) + "-" + hex.EncodeToString(random[:]) + suffix
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(f.path, unnamed+name), Net: "unix"})
	if err != nil {
		return nil, f.wrong(err)
	}
	l.SetUnlinkOnClose(false)
	path := filepath.Join(f.path, name)
	if err := os.Rename(l.Addr().String(), path); err != nil {
		return nil, errors.Join(f.wrong(err), os.Remove(l.Addr().String()), l.Close())
	}
	return &listener{Listener: l, folder: f, path: path}, nil
}

// tidyUp removes what killed processes of other sites have left beside a default folder:
// a site that is not served any more has nobody who comes by.
func (f Folder) tidyUp() {
	if !f.own {
		return
	}
	above := filepath.Dir(f.path)
	entries, err := os.ReadDir(above)
	if err != nil {
		return // nothing depends on it
	}
	for _, entry := range entries {
		other := Folder{path: filepath.Join(above, entry.Name())}
		if other.path == f.path || other.private() != nil {
			continue
		}
		if alive, err := other.sockets(context.Background()); err == nil && len(alive) == 0 {
			_ = os.Remove(other.path) // fails when it has something else in it; who has just made it makes it again
		}
	}
}

type listener struct {
	net.Listener
	folder Folder
	path   string
}

// Addr is where the socket is.
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Accept refuses other users.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || isOurs(c) {
			return c, err
		}
		_ = c.Close() // whoever that is need not be told
	}
}

// Close removes the socket, and the folder after the last one.
func (l *listener) Close() error {
	err := l.Listener.Close()
	if gone := os.Remove(l.path); !errors.Is(gone, fs.ErrNotExist) { // who looked in between has done it
		err = errors.Join(err, gone)
	}
	if l.folder.own {
		_ = os.Remove(l.folder.path) // fails while others are in it
	}
	return err
}
