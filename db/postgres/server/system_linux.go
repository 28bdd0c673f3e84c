package server

import "syscall"

// bind makes the kernel end the child with the thread that started it, and keeps
// Ctrl-C of a terminal from it: the parent decides when it stops.
func bind(attr *syscall.SysProcAttr, atDeath signal) {
	attr.Pdeathsig = atDeath
	attr.Setpgid = true
}
