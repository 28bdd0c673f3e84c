//go:build !unix

package postgres

import (
	"errors"
	"net"
)

var errGone = errors.New("postgres: the server has ended the session")

// peeker: sockets cannot be looked into here; CONN_HEALTH_CHECKS finds what a peek
// would have found.
type peeker struct{}

func (*peeker) attach(net.Conn) {}
func (*peeker) peek() error     { return nil }
