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

// lastWord is the signal for a child whose parent is gone. It ends one that does not
// listen to its pipe yet.
const lastWord = syscall.SIGHUP

// outlive lets a child finish after its parent: nobody reads its words any more, and
// the last word comes once for each thread that the parent had. Programs that the
// child starts are not to inherit that, so that nothing is ignored.
func outlive() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE, lastWord) }
