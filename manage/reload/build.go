package reload

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// builder builds a program into a folder.
type builder struct {
	program Program
	dir     string
}

// path is always the same: "go build" leaves a file alone that is up to date.
func (b builder) path() string { return filepath.Join(b.dir, "manage") }

// build returns what the compiler says when it does not like the source. The error
// is for everything else; that of the context when the build was given up.
func (b builder) build(ctx context.Context) (complaint string, err error) {
	work := filepath.Join(b.dir, "work")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return "", err
	}
	args := slices.Concat([]string{"build", "-o", b.path(), "-buildvcs=false"}, b.program.Flags, []string{b.program.Package})
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.program.Dir
	cmd.Env = append(os.Environ(), "GOTMPDIR="+work, "TMPDIR="+work) // a C compiler that is interrupted leaves things
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		// A fifth of a small build would be spent on collecting garbage.
		cmd.Env = append(cmd.Env, "GOGC=off", "GOMEMLIMIT=1GiB")
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// A group of its own: Ctrl-C is ours to pass on, and reaches the compilers too.
	ownGroup(cmd)
	cmd.Cancel = func() error { return signalGroup(cmd.Process, syscall.SIGINT) }
	cmd.WaitDelay = 5 * time.Second

	ended, err := launch(cmd, syscall.SIGINT)
	if err != nil {
		return "", err
	}
	err = <-ended
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if _, failed := errors.AsType[*exec.ExitError](err); failed {
		return out.String(), nil
	}
	return "", err
}
