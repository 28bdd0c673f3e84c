package commands

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/goquintet/quintet/app"
)

// listenWays are the options of serve: where it listens.
type listenWays struct {
	addresses []string
	paths     []string // of unix sockets
	mode      string   // of their files
	inherited []string // passedSockets, names, or numbers
	reusePort bool
	set       *pflag.FlagSet // which of them were given
}

const (
	defaultSocketMode = "660"
	passedSockets     = "passed" // of --fd without a value
)

func (w *listenWays) flags(set *pflag.FlagSet) {
	w.set = set
	set.SortFlags = false
	set.StringArrayVar(&w.addresses, "addr", nil, "listen at `ADDRESS`: a port or address:port")
	set.StringArrayVar(&w.paths, "unix", nil, "listen at a unix socket at `PATH`")
	set.StringVar(&w.mode, "unix-mode", defaultSocketMode, "the permissions of its file in octal `MODE` ("+defaultSocketMode+")")
	set.StringArrayVar(&w.inherited, "fd", nil, "listen at the sockets that systemd has passed, or at those called `NAME`")
	set.Lookup("fd").NoOptDefVal = passedSockets
	set.BoolVar(&w.reusePort, "reuse-port", false, "let further processes listen at the same addresses (Linux)")
}

// args says how a value of --fd is written to somebody who has put it behind a space.
func (w *listenWays) args(cmd *cobra.Command, args []string) error {
	if len(args) > 0 && w.set.Changed("fd") {
		return misuse("say --fd="+args[0], "serve does not know what to do with %q: the value of --fd follows a =", args[0])
	}
	return atMost(0)(cmd, args)
}

// validate refuses options that contradict each other.
func (w *listenWays) validate() error {
	if _, err := w.socketMode(); err != nil {
		return err
	}
	if w.set.Changed("unix-mode") && len(w.paths) == 0 {
		return misuse("add --unix PATH, or leave --unix-mode out", "serve: --unix-mode is about the file of --unix")
	}
	if w.reusePort && len(w.addresses) == 0 && len(w.paths)+len(w.inherited) > 0 {
		return misuse("add --addr ADDRESS, or leave --reuse-port out", "serve: --reuse-port is about addresses")
	}
	return nil
}

func (w *listenWays) socketMode() (fs.FileMode, error) {
	mode, err := strconv.ParseUint(w.mode, 8, 32)
	if err != nil || mode > 0o777 {
		return 0, misuse("write three octal digits, such as 660 or 666", "serve: --unix-mode: %q is no file mode", w.mode)
	}
	return fs.FileMode(mode), nil
}

// listeners opens everything that serve is told to listen at, or nothing.
func (c *cli) listeners(ctx context.Context, settings app.Settings, ways listenWays) (all []net.Listener, err error) {
	defer func() {
		if err == nil {
			return
		}
		for _, l := range all {
			err = errors.Join(err, l.Close())
		}
		all = nil
	}()
	mode, err := ways.socketMode()
	if err != nil {
		return nil, err
	}
	var config net.ListenConfig
	if ways.reusePort {
		if config.Control, err = reusePort(); err != nil {
			return nil, err
		}
	}
	addresses := ways.addresses
	if len(addresses)+len(ways.paths)+len(ways.inherited) == 0 {
		addresses = []string{settings.Listen}
	}
	for _, arg := range addresses {
		if arg == "" {
			return all, &Error{Problem: "--addr: the address is empty", Hint: "say for example --addr 127.0.0.1:8001, or leave it out for LISTEN"}
		}
		address, err := parseAddress(arg, settings.Listen)
		if err != nil {
			return all, err
		}
		l, err := listen(ctx, config, address, c.env.Name+" serve --addr")
		if err != nil {
			return all, err
		}
		all = append(all, l)
	}
	for _, path := range ways.paths {
		l, err := listenUnix(ctx, path, mode)
		if err != nil {
			return all, err
		}
		all = append(all, l)
	}
	for _, which := range ways.inherited {
		passed, err := inherit(c.env.Getenv, which)
		if err != nil {
			return all, err
		}
		all = append(all, passed...)
	}
	return all, nil
}

func fdError(hint, problem string, args ...any) *Error {
	return &Error{Problem: "--fd: " + fmt.Sprintf(problem, args...), Hint: hint}
}
