//go:build unix && !linux

package server

import "syscall"

// bind can do nothing here: only Linux ends a child with its parent. The server of
// a killed process is ended by the next Start.
func bind(*syscall.SysProcAttr, signal) {}
