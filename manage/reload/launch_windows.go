package reload

import (
	"os"
	"os/exec"
	"syscall"
)

// supported says that processes can inherit listeners.
const supported = false

func ownGroup(*exec.Cmd) {}

func signalGroup(p *os.Process, _ syscall.Signal) error { return p.Kill() }

const lastWord = syscall.SIGHUP

func closeOnExec(uintptr) {}

func outlive() {}
