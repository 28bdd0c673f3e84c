package commands

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxSocketPath is what the kernel has room for, without the zero at its end.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// unixSocket listens at a file of its own, and removes it when it closes: unless the
// file has become another's by then.
type unixSocket struct {
	*net.UnixListener
	path string
	file fs.FileInfo
}

// listenUnix makes a socket with the permissions. A file that is left of a process
// that has died is replaced; one that somebody listens at is not.
func listenUnix(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	switch {
	case path == "":
		return nil, &Error{Problem: "--unix: the path is empty", Hint: "say for example --unix /run/site/site.sock"}
	case strings.HasPrefix(path, "@"): // Go would take it for one of Linux's names that are no files
		path = "./" + path
	}
	if len(path) > maxSocketPath {
		return nil, &Error{
			Problem: fmt.Sprintf("the path of the unix socket is too long: %d bytes, and %d is the most: %q", len(path), maxSocketPath, path),
			Hint:    "choose a shorter one, such as /run/site/site.sock",
		}
	}
	// Of two processes that find a dead file, the second must not remove the file of
	// the first.
	unlock, err := lockFolder(filepath.Dir(path))
	if err != nil {
		return nil, socketError(path, err)
	}
	defer unlock()
	if err := removeDead(ctx, path); err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, socketError(path, err)
	}
	s := &unixSocket{UnixListener: l.(*net.UnixListener), path: path}
	s.SetUnlinkOnClose(false)
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, os.Remove(path), l.Close())
	}
	if s.file, err = os.Lstat(path); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return s, nil
}

// removeDead makes room for the socket.
func removeDead(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return socketError(path, err)
	case info.Mode().Type() != fs.ModeSocket:
		return &Error{Problem: fmt.Sprintf("%q is there already, and is no socket", path), Hint: "remove it, or choose another path"}
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close() // it was a question only
	}
	if !errors.Is(err, syscall.ECONNREFUSED) { // also when it may not be asked, or has no time
		return &Error{
			Problem: path + " is in use: another program listens there",
			Hint:    "stop that program, or choose another path", Err: err,
		}
	}
	if err := os.Remove(path); err != nil {
		return socketError(path, err)
	}
	return nil
}

func socketError(path string, err error) error {
	e := &Error{Problem: fmt.Sprintf("cannot listen at %s: %v", path, err), Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		e.Problem = fmt.Sprintf("there is no folder %q for the unix socket", filepath.Dir(path))
		e.Hint = "make it, or choose another path"
	case errors.Is(err, fs.ErrPermission):
		e.Problem = "this user may not make a unix socket at " + path
		e.Hint = "choose a folder that it may write to"
	}
	return e
}

// Close removes the file, if it is still this socket's, and ends listening.
func (s *unixSocket) Close() error {
	unlock, err := lockFolder(filepath.Dir(s.path))
	if err == nil {
		defer unlock()
	}
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.file) {
		_ = os.Remove(s.path) // what stays is replaced by the next one
	}
	return s.UnixListener.Close()
}
