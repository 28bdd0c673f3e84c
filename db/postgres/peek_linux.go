package postgres

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hangUp is the event of a closed other side, whatever is still to be read.
const hangUp = unix.POLLRDHUP

// waiting copies what waits to be read, and leaves it there. It never blocks, so the
// runtime need not hear of it: a look is what every lease begins with, and this is half
// its price.
func waiting(fd uintptr, buf []byte) (n int, err error) {
	r, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}
