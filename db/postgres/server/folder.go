package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// folder is the private folder of one server. A locked file in it says that its
// process lives.
type folder struct {
	path string
	lock *os.File
}

const (
	prefix     = "qpg"
	lockFile   = "lock"
	socketFile = ".s.PGSQL."
	// The address of a unix socket has 107 bytes; this leaves room for a folder
	// name with ten digits and a socket file with five.
	longestBase = 107 - len("/"+prefix+"0123456789"+"/"+socketFile+"65535")
	// A folder without a lock is one that is being made, unless it is this old.
	abandoned = time.Hour
)

func newFolder(ctx context.Context, owner *account) (*folder, error) {
	base, err := base(owner)
	if err != nil {
		return nil, err
	}
	sweep(ctx, base)
	path, err := os.MkdirTemp(base, prefix)
	if err != nil {
		return nil, fmt.Errorf("server: folder: %w", err)
	}
	f := &folder{path: path}
	if err := errors.Join(f.take(), owner.own(path)); err != nil {
		return nil, fmt.Errorf("server: folder: %w", errors.Join(err, f.remove()))
	}
	return f, nil
}

// base is the temporary folder, or /tmp when its name is too long for a socket or
// closed to the server's account.
func base(owner *account) (string, error) {
	candidates := []string{os.TempDir(), "/tmp"}
	for _, dir := range candidates {
		dir, err := filepath.EvalSymlinks(dir) // the server reports the real one
		if err != nil {
			continue
		}
		if len(dir) <= longestBase && (owner == nil || openToAll(dir)) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("server: no usable temporary folder among %s: it must have a name of at most %d bytes and be open to other users; set TMPDIR",
		strings.Join(slices.Compact(candidates), ", "), longestBase)
}

func openToAll(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// take locks the file before it gets its name, so that no other process sees it
// unlocked and takes the folder for a dead one.
func (f *folder) take() error {
	file, err := os.OpenFile(filepath.Join(f.path, lockFile+".new"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	f.lock = file
	if _, err := lock(file); err != nil {
		return err
	}
	return os.Rename(file.Name(), filepath.Join(f.path, lockFile))
}

func (f *folder) remove() error {
	err := os.RemoveAll(f.path)
	if f.lock != nil {
		err = errors.Join(err, f.lock.Close())
	}
	if err != nil {
		return fmt.Errorf("server: folder: %w", err)
	}
	return nil
}

// sweep removes what killed processes have left. Whatever cannot be removed, other
// users' folders above all, is left to the next one.
func sweep(ctx context.Context, base string) {
	paths, err := filepath.Glob(filepath.Join(base, prefix+"[0-9]*"))
	if err != nil {
		return
	}
	for _, path := range paths {
		file, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > abandoned {
				_ = os.RemoveAll(path)
			}
			continue
		}
		if err != nil {
			continue
		}
		if dead, err := lock(file); err == nil && dead && !orphaned(ctx, path) {
			_ = os.RemoveAll(path)
		}
		_ = file.Close()
	}
}

// orphaned ends the server that a killed process has left running in the folder. A
// process number alone would not do: it may be somebody else's by now.
func orphaned(ctx context.Context, path string) bool {
	sockets, err := filepath.Glob(filepath.Join(path, socketFile+"*[0-9]"))
	if err != nil || len(sockets) == 0 {
		return false
	}
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", sockets[0])
	if err != nil {
		// any other error may come from a server that is busy or on its way down
		return !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist)
	}
	_ = c.Close()
	if pid, err := postmaster(path); err == nil {
		_ = endOrphan(pid)
	}
	return true
}

func postmaster(path string) (int, error) {
	f, err := os.Open(filepath.Join(path, "data", "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line))
}
