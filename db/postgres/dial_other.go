//go:build !linux

package postgres

import (
	"syscall"
	"time"
)

// controlUserTimeout: only Linux has TCP_USER_TIMEOUT under a name that Go knows.
func controlUserTimeout(time.Duration) func(network, address string, c syscall.RawConn) error {
	return nil
}
