package commands

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/manage/reload"
)

// prepareReload returns what serves the site in processes that follow its source,
// or plain when that is not possible, and says which.
func (c *cli) prepareReload(ctx context.Context, site *app.Site, listener net.Listener, plain func() error) func() error {
	program, err := reload.Find(ctx)
	if err != nil {
		c.sayf(c.env.Stdout, "Reload: off; %v\n", err)
		return plain
	}
	c.sayf(c.env.Stdout, "Reload: when a file of %s changes (--noreload: never)\n", program.Package)
	settings := site.Settings()
	return func() error {
		err := reload.Run(ctx, reload.Options{
			Listener: listener, Program: program, Args: os.Args[1:], Settings: settingsFiles(settings), Browser: settings.Debug,
			ReadHeaderTimeout: settings.ReadHeaderTimeout, IdleTimeout: settings.IdleTimeout,
			Grace:  settings.ShutdownTimeout + settings.CleanupTimeout + time.Second,
			Stdout: c.env.Stdout, Stderr: c.env.Stderr, Terminal: c.env.isTerminal(c.env.Stderr),
			Report: c.reportReload,
		})
		if errors.Is(err, reload.ErrUnclean) {
			return errSaid
		}
		return err
	}
}

// settingsFiles are the files that the settings come from, as far as it can be told.
func settingsFiles(settings app.Settings) []string {
	var files []string
	if path, err := filepath.Abs(source(settings)); err == nil {
		if _, err := os.Stat(path); err == nil {
			files = append(files, path)
		}
	}
	return files
}

func (c *cli) reportReload(e reload.Event) {
	switch {
	case len(e.Files) > 3:
		c.sayf(c.env.Stdout, "%s and %d more files have changed...\n", strings.Join(e.Files[:2], ", "), len(e.Files)-2)
	case len(e.Files) > 1:
		c.sayf(c.env.Stdout, "%s have changed...\n", strings.Join(e.Files, ", "))
	case len(e.Files) == 1:
		c.sayf(c.env.Stdout, "%s has changed...\n", e.Files[0])
	case e.Took > 0:
		c.sayf(c.env.Stdout, "%s after %s\n", c.out.paint(green, "Reloaded"), e.Took.Round(10*time.Millisecond))
	case e.Healed:
		c.sayf(c.env.Stdout, "%s, what serves is up to date\n", c.out.paint(green, "All is well again"))
	case e.Failure != nil:
		c.reportFailure(e.Failure)
	case e.Polling != nil:
		c.sayf(c.env.Stderr, "%s the system cannot watch the folders, so they are looked at every half second: %v\n", c.err.paint(yellow, "warning:"), e.Polling)
	case e.Err != nil:
		c.sayf(c.env.Stderr, "%s reload: %v\n", c.err.paint(red, "error:"), e.Err)
	}
}

// reportFailure says what the compiler has said. What a process has said stands there
// already.
func (c *cli) reportFailure(f *reload.Failure) {
	hint := "the last good build serves on until the next save"
	switch f.Stage {
	case reload.Building:
		c.sayf(c.env.Stderr, "%s\n", f.Output)
	case reload.Serving:
		hint = "it starts again with the next save"
	}
	c.sayf(c.env.Stderr, "%s %s\n%s %s\n", c.err.paint(red, "error:"), f, c.err.paint(cyan, "hint:"), hint)
}

// serveChild serves in a process that runserver has started. The parent has checked
// what it has started itself, and has said where the site is served.
func (c *cli) serveChild(ctx context.Context, site *app.Site) error {
	if c.env.child.Again() {
		if err := c.check(site); err != nil {
			return err
		}
		if err := c.warnOfPending(ctx, site); err != nil {
			return err
		}
	}
	return site.Serve(ctx, c.env.child.Listener())
}
