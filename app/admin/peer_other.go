//go:build !linux

package admin

import "net"

// isOurs leaves it to the folder.
func isOurs(net.Conn) bool { return true }
