//go:build !unix

package server

import (
	"errors"
	"os"
	"os/exec"
)

type signal struct{}

var quit, killed, promotion signal

func (Mode) signal() signal { return quit }

// signal ends the process at once: there are no gentler ways here.
func (p *process) signal(signal) { _ = p.cmd.Process.Kill() }

type account struct{}

func unprivileged() (*account, error)       { return nil, nil }
func (*account) own(string) error           { return nil }
func prepare(*exec.Cmd, *account, signal)   {}
func endOrphan(int) error                   { return errors.ErrUnsupported }
func lock(*os.File) (taken bool, err error) { return false, nil }
