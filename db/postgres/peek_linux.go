package postgres

import "golang.org/x/sys/unix"

// hangUp is the event of a closed other side, whatever is still to be read.
const hangUp = unix.POLLRDHUP
