//go:build unix

package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/app/admin"
)

const listenerKey = "QUINTET_TEST_LISTEN"

// TestMain is also the program of a process that listens until it is killed.
func TestMain(m *testing.M) {
	path := os.Getenv(listenerKey)
	if path == "" {
		os.Exit(m.Run())
	}
	l, err := admin.At(path).Listen()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("listening")
	_ = http.Serve(l, http.NotFoundHandler())
}

// short is a folder whose sockets have short paths, whatever the test is called.
func short(t *testing.T) string {
	t.Helper()
	path, err := os.MkdirTemp("", "admin") //nolint:usetesting // that has a long name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(path) })
	return path
}

func listen(t *testing.T, f admin.Folder, handler http.Handler) net.Listener {
	t.Helper()
	l, err := f.Listen()
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return l
}

func processes(t *testing.T, folders ...admin.Folder) []admin.Process {
	t.Helper()
	found, err := admin.Processes(t.Context(), folders...)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func names(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestAProcessIsFoundAskedAndGone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(short(t), "a", "b")
	folder := admin.At(path)
	if found := processes(t, folder); len(found) != 0 {
		t.Errorf("before anybody listens there are %v", found)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("fine")) })
	l := listen(t, folder, mux)
	for _, p := range []string{filepath.Dir(path), path} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", p, info.Mode(), err)
		}
	}
	found := processes(t, folder)
	if len(found) != 1 || found[0].PID != os.Getpid() || found[0].Socket != l.Addr().String() {
		t.Fatalf("found %v", found)
	}
	if body, err := found[0].Get(t.Context(), "/status"); string(body) != "fine" || err != nil {
		t.Errorf("it says %q, %v", body, err)
	}
	if _, err := found[0].Get(t.Context(), "/nothing"); err == nil || err.Error() != "admin: /nothing is answered with 404 Not Found" {
		t.Errorf("what it does not have: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left := names(t, path); len(left) != 0 {
		t.Errorf("after its end there are %v", left)
	}
	if _, err := found[0].Get(t.Context(), "/status"); err == nil || !strings.HasPrefix(err.Error(), "admin: no answer: ") {
		t.Errorf("after its end: %v", err)
	}
}

func TestAProcessThatDoesNotAnswerCostsNoMoreThanTheContext(t *testing.T) {
	t.Parallel()
	l, err := admin.At(short(t)).Listen() // and nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = admin.Process{Socket: l.Addr().String()}.Get(ctx, "/status")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "admin: no answer in time") {
		t.Errorf("it says %v", err)
	}
}

// A process that is killed leaves its socket; who looks removes it, and no other.
func TestSocketsOfDeadProcessesAreRemoved(t *testing.T) {
	t.Parallel()
	path := short(t)
	folder := admin.At(path)
	victim := exec.CommandContext(t.Context(), os.Args[0])
	victim.Env = append(os.Environ(), listenerKey+"="+path)
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscanln(out, new(string)); err != nil {
		t.Fatal(err)
	}
	mine := listen(t, folder, http.NotFoundHandler())
	pids := func() (pids []int) {
		for _, p := range processes(t, folder) {
			pids = append(pids, p.PID)
		}
		return pids
	}
	both := []int{os.Getpid(), victim.Process.Pid}
	slices.Sort(both)
	if got := pids(); !slices.Equal(got, both) {
		t.Errorf("alive are %v, want %v", got, both)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // it was killed
	if left := names(t, path); len(left) != 2 {
		t.Fatalf("a killed process leaves %v", left)
	}
	if got := pids(); !slices.Equal(got, []int{os.Getpid()}) {
		t.Errorf("alive are %v", got)
	}
	if left := names(t, path); !slices.Equal(left, []string{filepath.Base(mine.Addr().String())}) {
		t.Errorf("left are %v", left)
	}
}

// Before it listens a socket refuses, as those of the dead do. It has no name then.
func TestASocketThatIsBeingMadeIsLeftAlone(t *testing.T) {
	t.Parallel()
	path := short(t)
	refusing := func(name string) string {
		socket := filepath.Join(path, name)
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return socket
	}
	pid := strconv.Itoa(os.Getpid())
	refusing("." + pid + "-1.sock")
	old := refusing("." + pid + "-2.sock")
	refusing(pid + "-3.sock") // it has listened once, whoever has its number now
	refusing("another.sock")
	long := time.Now().Add(-2 * time.Minute)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "99999-1.sock"), nil, 0o600); err != nil { // no socket
		t.Fatal(err)
	}
	if found := processes(t, admin.At(path)); len(found) != 0 {
		t.Errorf("alive are %v", found)
	}
	if left, want := names(t, path), []string{"." + pid + "-1.sock", "99999-1.sock", "another.sock"}; len(left) != 3 || !slices.Equal(slices.Sorted(slices.Values(want)), left) {
		t.Errorf("left are %v, want %v", left, want)
	}
}

// What is not ours alone is neither listened in nor looked into.
func TestFoldersThatOthersCanReachAreRefused(t *testing.T) {
	t.Parallel()
	open := short(t)
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(short(t), "link")
	if err := os.Symlink(short(t), link); err != nil {
		t.Fatal(err)
	}
	foreign, owner := foreignFolder(t)
	file := filepath.Join(short(t), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		open:    "is open to other users (mode 0755); say chmod 700, or choose a folder below it",
		link:    "is no folder; choose another one, or remove what is there",
		foreign: "belongs to another user, " + owner + "; become " + owner + ", or choose another folder",
		file:    "is no folder; choose another one, or remove what is there",
	} {
		want = "admin: " + path + ": " + want
		_, err := admin.Processes(t.Context(), admin.At(path), admin.At(short(t)))
		if err == nil || err.Error() != want {
			t.Errorf("looking says   %v\nwant           %s", err, want)
		}
		if path == file {
			want = "admin: " + path + ": not a directory; choose another folder"
		}
		l, err := admin.At(path).Listen()
		if err == nil || err.Error() != want {
			t.Errorf("listening says %v\nwant           %s", err, want)
		}
		if _, ok := errors.AsType[*admin.Error](err); !ok {
			t.Errorf("it is a %T", err)
		}
		if l != nil {
			_ = l.Close()
		}
	}
}

// foreignFolder is one that belongs to another user.
func foreignFolder(t *testing.T) (path, owner string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return "/", "root"
	}
	path = short(t)
	if err := os.Chown(path, 54321, -1); err != nil {
		t.Fatal(err)
	}
	return path, "54321"
}

func TestAPathThatIsTooLongSaysSo(t *testing.T) {
	t.Parallel()
	above := short(t)
	fits := filepath.Join(above, strings.Repeat("x", admin.LongestPath-admin.LongestName-len(above)-2))
	l, err := admin.At(fits).Listen()
	if err != nil {
		t.Fatalf("a path that fits: %v", err)
	}
	_ = l.Close()
	want := fmt.Sprintf("admin: %sx: a socket in it has a path of up to %d bytes, and the system's limit is %d; choose a folder with a shorter path",
		fits, admin.LongestPath+1, admin.LongestPath)
	if _, err := admin.At(fits + "x").Listen(); err == nil || err.Error() != want {
		t.Errorf("it says %v\nwant    %s", err, want)
	}
}

func TestDefaultFoldersAreOurOwn(t *testing.T) {
	t.Parallel()
	runtime, foreign := short(t), ""
	if os.Geteuid() == 0 {
		foreign, _ = foreignFolder(t)
	}
	mine := "quintet-" + strconv.Itoa(os.Geteuid())
	for _, test := range []struct {
		what, runtime, temp string
		want                []string
	}{
		{"a runtime folder", runtime, "/tmp", []string{runtime + "/quintet/blog", "/tmp/" + mine + "/blog"}},
		{"none", "", "/var/tmp", []string{"/var/tmp/" + mine + "/blog", "/tmp/" + mine + "/blog"}},
		{"that of another user", foreign, "/tmp", []string{"/tmp/" + mine + "/blog"}},
		{"one that is not there", runtime + "/nothing", "/tmp", []string{"/tmp/" + mine + "/blog"}},
		{"a relative one", "run", "/tmp", []string{"/tmp/" + mine + "/blog"}},
		{"a long temporary folder", "", "/" + strings.Repeat("x", 90), []string{"/tmp/" + mine + "/blog"}},
	} {
		var got []string
		for _, f := range admin.Defaults("blog", func(string) string { return test.runtime }, test.temp) {
			got = append(got, f.String())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("with %s: %v, want %v", test.what, got, test.want)
		}
	}
}

// Processes come and go at the same time; the last takes the folder with it.
func TestManyComeAndGo(t *testing.T) {
	t.Parallel()
	temp := short(t)
	folder := admin.Defaults("blog", func(string) string { return "" }, temp)[0]
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 40 {
				l, err := folder.Listen()
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := admin.Processes(t.Context(), folder); err != nil {
					t.Error(err)
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if _, err := os.Stat(folder.String()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is left, with %v (%v)", names(t, folder.String()), err)
	}
}

// What processes of other sites have left behind goes, what they use stays.
func TestWhatOtherSitesHaveLeftIsRemoved(t *testing.T) {
	t.Parallel()
	temp := short(t)
	site := func(name string) admin.Folder {
		return admin.Defaults(name, func(string) string { return "" }, temp)[0]
	}
	living := listen(t, site("living"), http.NotFoundHandler())
	dead := site("dead").String()
	if err := os.Mkdir(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dead, "4711-1.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	foreign := site("foreign").String()
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(foreign, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	listen(t, site("blog"), http.NotFoundHandler())
	if left := names(t, filepath.Dir(dead)); !slices.Equal(left, []string{"blog", "foreign", "living"}) {
		t.Errorf("left are %v", left)
	}
	if left := names(t, site("living").String()); !slices.Equal(left, []string{filepath.Base(living.Addr().String())}) {
		t.Errorf("of a site that is served %v are left", left)
	}
}

// In a temporary folder anybody may have made the one above ours.
func TestTheFolderAboveADefaultOneIsInsistedOnAsWell(t *testing.T) {
	t.Parallel()
	temp := short(t)
	folder := admin.Defaults("blog", func(string) string { return "" }, temp)[0]
	above := filepath.Dir(folder.String())
	if err := os.Mkdir(above, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Listen(); err == nil || !strings.Contains(err.Error(), above+": is open to other users") {
		t.Errorf("listening: %v", err)
	}
	if _, err := admin.Processes(t.Context(), folder); err == nil || !strings.Contains(err.Error(), above+": is open to other users") {
		t.Errorf("looking: %v", err)
	}
}
