package commands

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// reusePort lets several processes of a user listen at one address; the kernel
// spreads the connections.
func reusePort() (control func(network, address string, c syscall.RawConn) error, err error) {
	return func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		if err != nil {
			return err
		}
		return failed
	}, nil
}
