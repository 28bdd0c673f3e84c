//go:build unix

package commands

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// lockFolder keeps other processes that do the same out, without a file that would
// be left.
func lockFolder(folder string) (unlock func(), err error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(&os.PathError{Op: "lock", Path: folder, Err: err}, f.Close())
	}
	return func() { _ = f.Close() }, nil // the lock goes with it
}

// firstPassed is the first descriptor that systemd passes: sd_listen_fds(3).
const firstPassed = 3

// inherit takes over sockets that another process has opened and listens at: all that
// systemd has passed, those of a name, or one descriptor.
func inherit(getenv func(string) string, which string) ([]net.Listener, error) {
	if fd, err := strconv.ParseUint(which, 10, 31); err == nil {
		l, err := adopt(int(fd))
		if err != nil {
			return nil, err
		}
		return []net.Listener{l}, nil
	}
	n, err := countPassed(getenv)
	if err != nil {
		return nil, err
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	if which != passedSockets && !slices.Contains(names, which) {
		return nil, fdError("LISTEN_FDNAMES has "+strings.Join(names, ", "), "no socket named %q was passed", which)
	}
	var all []net.Listener
	for i := range n {
		if which != passedSockets && (i >= len(names) || names[i] != which) {
			continue
		}
		l, err := adopt(firstPassed + i)
		if err != nil {
			for _, l := range all {
				err = errors.Join(err, l.Close())
			}
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// countPassed is how many sockets systemd has passed to this process.
func countPassed(getenv func(string) string) (int, error) {
	count, pid := getenv("LISTEN_FDS"), getenv("LISTEN_PID")
	if count == "" {
		return 0, fdError("start the program by a socket unit of systemd, or say which descriptor: --fd=3", "no socket was passed: LISTEN_FDS is not set")
	}
	n, err := strconv.ParseUint(count, 10, 16)
	if err != nil || n == 0 {
		return 0, fdError("systemd sets it; say --fd=3 for a descriptor of another program", "no socket was passed: LISTEN_FDS is %q", count)
	}
	if own := strconv.Itoa(os.Getpid()); pid != own {
		return 0, fdError("start the program itself, without \"go run\"; a shell has to exec it",
			"the sockets were passed to another process: LISTEN_PID is %q, and this is %s", pid, own)
	}
	return int(n), nil
}

// adopt makes a listener of a descriptor. What it is must be asked before the
// descriptor is touched: it may be one that the runtime uses itself.
func adopt(fd int) (net.Listener, error) {
	listens, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	switch {
	case errors.Is(err, syscall.EBADF):
		return nil, fdError("pass a socket that listens", "descriptor %d is not open", fd)
	case errors.Is(err, syscall.ENOTSOCK):
		return nil, fdError("pass a socket that listens", "descriptor %d is no socket", fd)
	case err != nil:
		return nil, &Error{Problem: fmt.Sprintf("--fd: descriptor %d: %v", fd, err), Hint: "pass a socket that listens", Err: err}
	case listens == 0:
		return nil, fdError("in a socket unit say ListenStream=, and leave Accept= out", "descriptor %d is a socket that does not listen", fd)
	}
	syscall.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), "socket "+strconv.Itoa(fd))
	l, err := net.FileListener(file)
	if err := errors.Join(err, file.Close()); err != nil { // the listener has a descriptor of its own
		return nil, &Error{Problem: fmt.Sprintf("--fd: descriptor %d: %v", fd, err), Err: err}
	}
	return l, nil
}
