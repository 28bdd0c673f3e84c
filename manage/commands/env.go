package commands

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/manage/reload"
)

// Env is what the command line of a site runs in: everything that it reads from the
// process and says to it, so that a test can run commands without one.
type Env struct {
	// Name is how the program is called, for help and hints; "" is manage.
	Name string
	// Args are the arguments without the program's name.
	Args []string
	// Dir is the working directory of programs that commands start, and what paths
	// are shown and meant from; "" is the process' own.
	Dir string

	Stdin          io.Reader // of dbshell; nil is empty
	Stdout, Stderr io.Writer // nil throws away what is written

	// Getenv and Setenv are the environment: NO_COLOR, TERM and PATH are read, --settings
	// sets QUINTET_SETTINGS. Nil is the process' own.
	Getenv func(key string) string
	Setenv func(key, value string) error

	// NewSite makes the site. It is called once at most: for commands that need a
	// site, and to find those of its apps. Run closes it.
	NewSite func() (*app.Site, error)
	// Commands are added to those of this package and of the site's apps.
	Commands []app.Command

	// process says that the environment is a whole process, whose default logger
	// is ours to set.
	process bool
	// child is set in the process that runserver has started to serve.
	child *reload.Child
}

// Main is the main function of a site's manage program. It runs the command that
// the program was called with and ends the process with its exit status.
func Main(newSite func() (*app.Site, error), extra ...app.Command) {
	child, err := reload.Inherit()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(statusFailed)
	}
	ctx, stop := untilSignal()
	if child != nil {
		ctx = child.Context(ctx)
	}
	status := Run(ctx, Env{
		Name: programName(), Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		NewSite: newSite, Commands: extra, process: true, child: child,
	})
	stop()
	if child != nil {
		child.Close()
	}
	os.Exit(status)
}

// untilSignal is a context that ends at an interrupt or SIGTERM. A second one ends the
// process as if nobody had listened to the first.
func untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := []os.Signal{os.Interrupt, syscall.SIGTERM}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, ended...)
	go func() {
		<-signals
		cancel()
		again := <-signals
		signal.Reset(ended...)
		if self, err := os.FindProcess(os.Getpid()); err != nil || self.Signal(again) != nil {
			os.Exit(statusFailed) // where a process cannot signal itself
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
	}
}

// programName is how the user has called this program. What "go run" has built and
// started lies in a temporary folder: the name of that would help nobody.
func programName() string {
	path := os.Args[0]
	base := strings.TrimSuffix(filepath.Base(path), ".exe")
	if strings.Contains(filepath.ToSlash(path), "/go-build") {
		return "go run ./" + base
	}
	return base
}

func (e Env) withDefaults() Env {
	if e.Name == "" {
		e.Name = "manage"
	}
	if e.Stdout == nil {
		e.Stdout = io.Discard
	}
	if e.Stderr == nil {
		e.Stderr = io.Discard
	}
	if e.Getenv == nil {
		e.Getenv = os.Getenv
	}
	if e.Setenv == nil {
		e.Setenv = os.Setenv
	}
	return e
}
