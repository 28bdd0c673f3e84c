//go:build unix

package reload

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// supported says that processes can inherit listeners.
const supported = true

func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func signalGroup(p *os.Process, s syscall.Signal) error { return syscall.Kill(-p.Pid, s) }

func closeOnExec(fd uintptr) { syscall.CloseOnExec(int(fd)) }

// outlive lets a child finish after its parent: nobody reads its words any more, and
// the signal that tells so comes once for each thread that the parent had.
func outlive() {
	signal.Ignore(syscall.SIGPIPE)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM)
}
