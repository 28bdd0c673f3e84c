package admin_test

import (
	"net/http"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/goquintet/quintet/app/admin"
)

// Even with the doors of the folder open, another user is not talked to.
func TestOtherUsersAreHungUpOn(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	path := short(t)
	l := listen(t, admin.At(path), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a request of another user has come through")
	}))
	for _, p := range []string{path, l.Addr().String()} {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	type answer struct {
		bytes int
		err   error
	}
	answers := make(chan answer)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its user
		if _, _, err := syscall.RawSyscall(syscall.SYS_SETRESUID, 54321, 54321, 54321); err != 0 {
			answers <- answer{0, err}
			return
		}
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		if err == nil {
			err = syscall.Connect(fd, &syscall.SockaddrUnix{Name: l.Addr().String()})
		}
		if err != nil {
			answers <- answer{0, err}
			return
		}
		defer syscall.Close(fd)
		_, _ = syscall.Write(fd, []byte("GET / HTTP/1.1\r\nHost: admin\r\n\r\n")) // it may be hung up on already
		n, err := syscall.Read(fd, make([]byte, 100))
		answers <- answer{n, err}
	}()
	if got := <-answers; got.bytes > 0 || got.err != nil && got.err != syscall.ECONNRESET { //nolint:errorlint // plain numbers
		t.Errorf("another user reads %d bytes, %v", got.bytes, got.err)
	}
}
