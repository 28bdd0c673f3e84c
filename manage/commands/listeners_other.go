//go:build !unix

package commands

import (
	"net"
	"runtime"
)

func lockFolder(string) (unlock func(), err error) { return func() {}, nil }

func inherit(func(string) string, string) ([]net.Listener, error) {
	return nil, fdError("say --addr", "sockets cannot be passed on %s", runtime.GOOS)
}
