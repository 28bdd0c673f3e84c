//go:build unix

package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goquintet/quintet/db/postgres/server"
)

// shortTemp makes the process's temporary folder a new one, open to the server's
// account.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "q") //nolint:usetesting // that folder is closed to other users, and its name too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	return dir
}

func folders(t *testing.T, base string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(base, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestStart_EndsWithItsContextAndLeavesNothing(t *testing.T) {
	installed(t)
	base := shortTemp(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := server.Start(ctx, server.Options{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left := folders(t, base); len(left) != 0 {
		t.Errorf("left %q", left)
	}
}

func TestStart_SweepsTheFoldersOfTheDead(t *testing.T) {
	base := shortTemp(t)
	dead, young, old, foreign := filepath.Join(base, "qpg1"), filepath.Join(base, "qpg2"), filepath.Join(base, "qpg3"), filepath.Join(base, "qpgx")
	for _, dir := range []string{dead, young, old, foreign} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{dead, foreign} { // a lock that nobody holds
		if err := os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, long, long); err != nil { // made, never locked
		t.Fatal(err)
	}
	alive := start(t, server.Options{})
	start(t, server.Options{})

	for dir, want := range map[string]bool{dead: false, young: true, old: false, foreign: true, alive.SocketDir: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: is there: %v, want %v", dir, err == nil, want)
		}
	}
	if query(t, alive, "SELECT 1") != "1" {
		t.Error("a living server was swept")
	}
}

func TestStart_AvoidsATemporaryFolderTooDeepForASocket(t *testing.T) {
	base := shortTemp(t)
	deep := filepath.Join(base, strings.Repeat("d", 100))
	if err := os.Mkdir(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", deep)
	if srv := start(t, server.Options{}); strings.HasPrefix(srv.SocketDir, deep) {
		t.Errorf("socket in %q", srv.SocketDir)
	}
}

func TestKilledParent_LeavesNoServer(t *testing.T) {
	if os.Getenv(helper) != "" {
		srv := start(t, server.Options{})
		fmt.Printf("%s\n%s\n", srv.SocketDir, socket(srv))
		<-t.Context().Done() // never: the parent kills this process
	}
	base := shortTemp(t)
	installed(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self, "-test.run=^TestKilledParent_LeavesNoServer$")
	child.Env = append(os.Environ(), helper+"=1", "TMPDIR="+base)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var said []string
	for len(said) < 2 && lines.Scan() {
		said = append(said, lines.Text())
	}
	if len(said) < 2 {
		t.Fatalf("the child said %q", said)
	}
	session, err := net.Dial("unix", said[1])
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	login(t, session, "postgres", "orphan")

	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err == nil {
		t.Error("the child ended well")
	}
	if runtime.GOOS != "linux" {
		start(t, server.Options{}) // ends the orphan
	}
	// The sessions end first, and a server removes this file last of all.
	if _, err := io.Copy(io.Discard, session); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(said[0], "data", "postmaster.pid")); errors.Is(err, os.ErrNotExist) {
			break
		}
		runtime.Gosched()
	}
	start(t, server.Options{})
	if _, err := os.Stat(said[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of the killed process: %v", err)
	}
}
