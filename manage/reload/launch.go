package reload

import (
	"os/exec"
	"runtime"
	"syscall"
)

// launch starts a command that does not outlive this process, and waits for it in
// the background. The channel gets what exec.Cmd.Wait returns.
func launch(cmd *exec.Cmd, last syscall.Signal) (<-chan error, error) {
	started, ended := make(chan error, 1), make(chan error, 1)
	dieWithParent(cmd, last)
	go func() {
		// On Linux it is the end of the thread that counts as the parent's end.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	return ended, <-started
}
