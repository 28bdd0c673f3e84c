//go:build unix && !linux

package postgres

import "golang.org/x/sys/unix"

// hangUp: only Linux tells, with bytes still to be read.
const hangUp = 0

// waiting copies what waits to be read, and leaves it there. It never blocks.
func waiting(fd uintptr, buf []byte) (n int, err error) {
	n, _, err = unix.Recvfrom(int(fd), buf, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return n, err
}
