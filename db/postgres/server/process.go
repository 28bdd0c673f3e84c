package server

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// process is one child with a goroutine that waits for it.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when nothing of it is left
	err   error         // how it ended; read it after ended
}

func (s *Server) launch(cmd *exec.Cmd, atDeath signal) (*process, error) {
	return launch(s.folder.path, s.account, cmd, atDeath)
}

// launch starts cmd as the unprivileged account, in the folder, and has it end with
// this process by the signal.
func launch(folder string, owner *account, cmd *exec.Cmd, atDeath signal) (*process, error) {
	cmd.Dir = folder
	cmd.Env = append(ambient(), "HOME="+folder, "LC_ALL="+locale(), "TZ=UTC")
	prepare(cmd, owner, atDeath)

	p := &process{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux ends the child together with the thread that started it, so
		// this one must not be given back before the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("server: %s: %w", filepath.Base(cmd.Path), err)
	}
	return p, nil
}

// ambient is this process's environment without what would steer PostgreSQL.
func ambient() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		key, _, _ := strings.Cut(entry, "=")
		return strings.HasPrefix(key, "PG") || strings.HasPrefix(key, "LC_") ||
			slices.Contains([]string{"LANG", "LANGUAGE", "HOME", "TZ"}, key)
	})
}

func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// failure is how a process ended that should still run.
func (p *process) failure() error {
	if p.err != nil {
		return p.err
	}
	return errors.New("it ended by itself")
}
