//go:build !linux

package commands

import (
	"runtime"
	"syscall"
)

// reusePort is Linux's: elsewhere the option of that name spreads nothing.
func reusePort() (control func(network, address string, c syscall.RawConn) error, err error) {
	return nil, &Error{Problem: "--reuse-port does not work on " + runtime.GOOS, Hint: "let the processes share one socket: --fd"}
}
