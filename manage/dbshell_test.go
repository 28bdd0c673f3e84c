package main_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// leavesInterrupts presses Ctrl-C twice, as a terminal does: for the whole process
// group. The client hears of both, and the program waits for the client.
func leavesInterrupts(t *testing.T, program string) {
	path := t.TempDir()
	client := "#!/bin/sh\ntrap 'echo cancelled' INT\necho ready\nread line || read line || read line\necho got $line\n"
	if err := os.WriteFile(filepath.Join(path, "sqlite3"), []byte(client), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := command(t.Context(), t, program, "dbshell")
	cmd.Env = append(cmd.Env, "PATH="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	expect := func(want string) {
		t.Helper()
		if lines.Scan(); lines.Text() != want {
			t.Fatalf("the client says %q, want %q (%v)", lines.Text(), want, lines.Err())
		}
	}
	expect("ready")
	for range 2 {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		expect("cancelled")
	}
	if _, err := fmt.Fprintln(stdin, "a line"); err != nil {
		t.Fatal(err)
	}
	expect("got a line")
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
}
