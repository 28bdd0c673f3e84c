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

// ignoreBrokenPipes lets a process finish whose parent does not read its words any
// more.
func ignoreBrokenPipes() { signal.Ignore(syscall.SIGPIPE) }
