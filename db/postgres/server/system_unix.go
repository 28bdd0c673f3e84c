//go:build unix

package server

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

type signal = syscall.Signal

const (
	quit   = syscall.SIGQUIT // PostgreSQL's immediate shutdown
	killed = syscall.SIGKILL

	promotion = syscall.SIGUSR1 // look for a file that says so
)

func (m Mode) signal() signal {
	switch m {
	case Smart:
		return syscall.SIGTERM
	case Immediate:
		return syscall.SIGQUIT
	default:
		return syscall.SIGINT
	}
}

func (p *process) signal(s signal) {
	// the only error is that it has ended, which the caller waits for anyway
	_ = p.cmd.Process.Signal(s)
}

// account is who the server runs as when this process is root's.
type account struct{ uid, gid int }

// unprivileged returns nil when this process may run PostgreSQL as itself.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{superuser, "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return nil, fmt.Errorf("server: user %q: %w", name, err)
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return nil, fmt.Errorf("server: user %q: %w", name, err)
		}
		return &account{uid, gid}, nil
	}
	return nil, errors.New("server: PostgreSQL refuses to run as root, and there is no user postgres or nobody; create one")
}

func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

func prepare(cmd *exec.Cmd, a *account, atDeath signal) {
	cmd.SysProcAttr = new(syscall.SysProcAttr)
	bind(cmd.SysProcAttr, atDeath)
	if a != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
}

// lock takes the file for this process, and says so when another one has it. The
// kernel gives it back when the process ends, however it ends.
func lock(f *os.File) (taken bool, err error) {
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

func endOrphan(pid int) error { return syscall.Kill(pid, quit) }
