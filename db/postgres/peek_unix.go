//go:build unix

package postgres

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"golang.org/x/sys/unix"
)

var errGone = errors.New("postgres: the server has ended the session")

// peeker looks at a socket without taking anything out of it. Only the goroutine
// that holds the connection may call peek.
type peeker struct {
	raw       syscall.RawConn
	look      func(fd uintptr) // kept, so that a look allocates nothing
	encrypted bool
	poll      [1]unix.PollFd
	waiting   int // bytes in buf
	err       error
	buf       [512]byte
}

func (p *peeker) attach(c net.Conn) {
	_, p.encrypted = c.(*tls.Conn)
	if sc, ok := socket(c).(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			p.raw = raw
		}
	}
	p.look = func(fd uintptr) {
		if p.waiting, p.err = waiting(fd, p.buf[:]); p.waiting > 0 {
			p.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN | hangUp}
			p.err = again(func() error { _, err := unix.Poll(p.poll[:], 0); return err })
		}
	}
}

// again repeats a system call that a signal has interrupted.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// peek returns nil while nothing says that the server has gone. Waiting bytes alone
// say nothing: notices, notifications and changed parameters come unasked.
func (p *peeker) peek() error {
	if p.raw == nil {
		return nil
	}
	if err := p.raw.Control(p.look); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	switch {
	case p.err == unix.EAGAIN: //nolint:errorlint // it comes as it is, and from every look
		return nil
	case p.err != nil:
		return fmt.Errorf("%w: %w", errGone, p.err)
	case p.waiting == 0:
		return fmt.Errorf("%w: %w", errGone, io.EOF)
	}
	if !p.encrypted {
		if err := lastWords(p.buf[:p.waiting]); err != nil {
			return fmt.Errorf("%w: %w", errGone, err)
		}
	}
	if p.poll[0].Revents&^unix.POLLIN != 0 {
		return fmt.Errorf("%w: %w", errGone, io.EOF)
	}
	return nil
}

// lastWords finds the error with which a server ends an idle session: it sends no
// other. The bytes begin with a message, since pgx has read the last one whole.
func lastWords(b []byte) error {
	for len(b) >= 5 {
		length := int(binary.BigEndian.Uint32(b[1:5]))
		if b[0] == 'E' {
			var msg pgproto3.ErrorResponse
			if length < 4 || len(b) < 1+length || msg.Decode(b[5:1+length]) != nil {
				return io.ErrUnexpectedEOF
			}
			return pgconn.ErrorResponseToPgError(&msg)
		}
		if length < 4 || len(b) < 1+length {
			return nil
		}
		b = b[1+length:]
	}
	return nil
}
