package reload

import (
	"os/exec"
	"syscall"
)

// dieWithParent lets the kernel send the signal when this process is gone, however
// it went.
func dieWithParent(cmd *exec.Cmd, last syscall.Signal) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = last
}
