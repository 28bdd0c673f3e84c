//go:build unix

package commands_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestServe runs the built program.
func TestServe(t *testing.T) {
	t.Parallel()
	program := buildServed(t)
	for name, test := range map[string]func(*testing.T, string){
		"drains at a signal":                               drains,
		"logs nothing but JSON":                            logsJSON,
		"says what it has cut off":                         cuts,
		"is gone at a second signal":                       secondSignal,
		"serves at every address it is given":              severalAddresses,
		"replaces a dead unix socket, and removes its own": unixSockets,
		"leaves a unix socket that is another's":           unixSocketOfAnother,
		"serves sockets that systemd passes":               passedSockets,
		"serves a socket by its number":                    numberedSocket,
		"tells systemd when it is ready and when it stops": notifies,
		"is started by a socket":                           socketActivated,
		"serves beside another with --reuse-port":          reusePort,
		"serves without its database":                      withoutDatabase,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, program)
		})
	}
}

// drains: a request that runs is finished, a stream is told to end, nothing new is
// accepted, and the status is 0; for both signals.
func drains(t *testing.T, program string) {
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := start(t, siteFolder(t, anyHost), nil, nil, program, "serve", "--addr", "127.0.0.1:0")
		address := p.serving(t, 1)[0]
		client := clientOf(t, "tcp", address, nil)
		_, stream := open(t, client, "/events", "data: first")
		_, request := open(t, client, "/wait", "begun")
		steps := clientOf(t, "tcp", address, nil)
		mustFetch(t, steps, http.MethodGet, "/who", "", nil) // a connection that is there already
		p.signal(t, signal)
		if _, err := io.ReadAll(stream); err != nil {
			t.Errorf("the stream ends with %v", err)
		}
		mustFetch(t, steps, http.MethodPost, "/next", "finished", nil)
		if body, err := io.ReadAll(request); string(body) != "finished" || err != nil {
			t.Errorf("the request is answered with %q, %v", body, err)
		}
		if status, said := p.ends(t); status != 0 || !strings.HasSuffix(said, `"msg":"serve: ended"}`) {
			t.Errorf("at %v it ends with %d:\n%s", signal, status, said)
		}
		if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", address); err == nil {
			t.Error("it still listens")
		}
	}
}

// logsJSON: also of net/http, and what it warns of.
func logsJSON(t *testing.T, program string) {
	settings := "DEBUG: true\nDATABASES: {default: {ENGINE: sqlite, NAME: ':memory:'}}\n"
	dir := siteFolder(t, settings)
	p := start(t, dir, nil, nil, program, "serve", "--addr", "127.0.0.1:0", "--unix", "s")
	addresses := p.serving(t, 2)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "rubbish\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Fatal(err)
	}
	mustFetch(t, clientOf(t, "unix", filepath.Join(dir, "s"), nil), http.MethodGet, "/who", "", http.Header{"Host": {"localhost"}})
	p.signal(t, syscall.SIGTERM)
	status, said := p.ends(t)
	if status != 0 {
		t.Errorf("it ends with %d", status)
	}
	seen := map[string]bool{}
	for line := range strings.SplitSeq(said, "\n") {
		var entry struct {
			Time, Level, Msg, Path, Client, From string
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time == "" || entry.Level == "" || entry.Msg == "" {
			t.Errorf("this is no line of the log: %s", line)
		}
		seen[strings.TrimSpace(entry.Level+" "+entry.Msg+" "+entry.Path+entry.From)] = true
	}
	for _, want := range []string{
		"WARN serve: DEBUG is true: clients see errors and settings settings.yaml:1",
		"WARN serve: there are unapplied migrations; the site may not work without them",
		"WARN serve: TRUSTED_PROXIES lacks unix: what the proxy says about clients is not believed default",
		"INFO request /who",
		"INFO app: draining",
		"INFO serve: ended",
	} {
		if !seen[want] {
			t.Errorf("it does not log %q:\n%s", want, said)
		}
	}
}

// cuts: what does not end is named, and the status is 1.
func cuts(t *testing.T, program string) {
	p := start(t, siteFolder(t, anyHost+"SHUTDOWN_TIMEOUT: 100ms\n"), nil, nil, program, "serve", "--addr", "127.0.0.1:0")
	client := clientOf(t, "tcp", p.serving(t, 1)[0], nil)
	_, body := open(t, client, "/wait", "begun")
	p.signal(t, syscall.SIGTERM)
	status, said := p.ends(t)
	if status != 1 || !strings.HasSuffix(said, `"level":"ERROR","msg":"serve: cut off after SHUTDOWN_TIMEOUT (100ms): GET /wait"}`) {
		t.Errorf("it ends with %d:\n%s", status, said)
	}
	if _, err := io.ReadAll(body); err == nil {
		t.Error("the client got a whole answer")
	}
}

func secondSignal(t *testing.T, program string) {
	p := start(t, siteFolder(t, anyHost+"SHUTDOWN_TIMEOUT: 1h\n"), nil, nil, program, "serve", "--addr", "127.0.0.1:0")
	client := clientOf(t, "tcp", p.serving(t, 1)[0], nil)
	open(t, client, "/wait", "begun")
	p.signal(t, syscall.SIGTERM)
	p.logs(t, "app: draining", 1)
	p.signal(t, syscall.SIGTERM)
	if status, said := p.ends(t); status != 128+int(syscall.SIGTERM) {
		t.Errorf("it ends with %d:\n%s", status, said)
	}
}

func severalAddresses(t *testing.T, program string) {
	dir := siteFolder(t, anyHost+"LISTEN: 127.0.0.1:0\n")
	p := start(t, dir, nil, nil, program, "serve", "--addr", "127.0.0.1:0", "--addr", "0", "--unix", "one", "--unix", "two", "--unix-mode", "600")
	for _, address := range p.serving(t, 4) {
		network := "tcp"
		if !strings.Contains(address, ":") {
			network, address = "unix", filepath.Join(dir, address)
			info, err := os.Stat(address)
			if err != nil || info.Mode() != 0o600|os.ModeSocket {
				t.Errorf("%s: %v, %v", address, info, err)
			}
		}
		mustFetch(t, clientOf(t, network, address, nil), http.MethodGet, "/who", "", nil)
	}
	p.stops(t)
	p = start(t, dir, nil, nil, program, "serve") // LISTEN
	mustFetch(t, clientOf(t, "tcp", p.serving(t, 1)[0], nil), http.MethodGet, "/who", "", nil)
	p.stops(t)
}

func unixSockets(t *testing.T, program string) {
	dir := siteFolder(t, anyHost)
	path := filepath.Join(dir, "s")
	first := start(t, dir, nil, nil, program, "serve", "--unix", path)
	first.serving(t, 1)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o660|os.ModeSocket {
		t.Errorf("the file of the socket is %v, %v", info.Mode(), err)
	}
	second := start(t, dir, nil, nil, program, "serve", "--unix", path)
	want := "error: " + path + " is in use: another program listens there\nhint: stop that program, or choose another path"
	if status, said := second.ends(t); status != 1 || said != want {
		t.Errorf("a second one ends with %d:\n%s", status, said)
	}
	mustFetch(t, clientOf(t, "unix", path, nil), http.MethodGet, "/who", "", nil)

	first.signal(t, syscall.SIGKILL)
	first.ends(t)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("a killed one has removed its file: %v", err)
	}
	third := start(t, dir, nil, nil, program, "serve", "--unix", path)
	third.serving(t, 1)
	mustFetch(t, clientOf(t, "unix", path, nil), http.MethodGet, "/who", "", nil)
	third.stops(t)
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 {
		t.Errorf("it leaves %q, %v", left, err)
	}
}

func unixSocketOfAnother(t *testing.T, program string) {
	dir := siteFolder(t, anyHost)
	path := filepath.Join(dir, "s")
	first := start(t, dir, nil, nil, program, "serve", "--unix", path)
	first.serving(t, 1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second := start(t, dir, nil, nil, program, "serve", "--unix", path)
	second.serving(t, 1)
	first.stops(t)
	mustFetch(t, clientOf(t, "unix", path, nil), http.MethodGet, "/who", "", nil)
	second.stops(t)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the second one leaves its file: %v", err)
	}
}

// fileOf opens a socket for others and keeps nothing of it but the descriptor, as
// systemd does.
func fileOf(t *testing.T, network, address string) (file *os.File, at string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	if local, ok := l.(*net.UnixListener); ok {
		local.SetUnlinkOnClose(false)
	}
	raw, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	// Not File: the file that it returns makes the socket blocking each time it is passed
	// on, also for a process that accepts on it already: that may then wait in a system
	// call which its signal does not end.
	if controlled := raw.Control(func(fd uintptr) {
		var own int
		if own, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			file = os.NewFile(uintptr(own), "socket")
		}
	}); controlled != nil || err != nil {
		t.Fatal(controlled, err)
	}
	t.Cleanup(func() { file.Close() })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return file, l.Addr().String()
}

func passedSockets(t *testing.T, program string) {
	dir := siteFolder(t, anyHost)
	tcp, address := fileOf(t, "tcp", "127.0.0.1:0")
	unix, path := fileOf(t, "unix", filepath.Join(dir, "s"))
	files := []*os.File{tcp, unix}
	environ := []string{"LISTEN_FDS=2", "LISTEN_FDNAMES=web:local"}
	both := [][2]string{{"tcp", address}, {"unix", path}}
	for _, test := range []struct {
		fd     string
		serves [][2]string
	}{{"--fd", both}, {"--fd=local", both[1:]}, {"--fd=web", both[:1]}} {
		p := start(t, dir, files, environ, program, "serve", test.fd)
		p.serving(t, len(test.serves))
		for _, at := range test.serves {
			mustFetch(t, clientOf(t, at[0], at[1], nil), http.MethodGet, "/who", "", nil)
		}
		p.stops(t)
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s has removed the file of a socket that it was passed: %v", test.fd, err)
		}
	}
	for fd, says := range map[string]string{
		"--fd=wrong": "error: --fd: no socket named \"wrong\" was passed\nhint: LISTEN_FDNAMES has web, local",
	} {
		p := start(t, dir, files, environ, program, "serve", fd)
		if status, said := p.ends(t); status != 1 || said != says {
			t.Errorf("%s ends with %d:\n%s", fd, status, said)
		}
	}
}

// numberedSocket: without systemd's variables, and not through a process between.
func numberedSocket(t *testing.T, program string) {
	dir := siteFolder(t, anyHost)
	file, address := fileOf(t, "tcp", "127.0.0.1:0")
	p := start(t, dir, []*os.File{file}, nil, program, "serve", "--fd=3")
	p.serving(t, 1)
	mustFetch(t, clientOf(t, "tcp", address, nil), http.MethodGet, "/who", "", nil)
	p.stops(t)

	talks, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer talks.Close()
	deaf, err := talks.(*net.UDPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	p = start(t, dir, []*os.File{deaf}, nil, program, "serve", "--fd=3")
	want := "error: --fd: descriptor 3 is a socket that does not listen\nhint: in a socket unit say ListenStream=, and leave Accept= out"
	if status, said := p.ends(t); status != 1 || said != want {
		t.Errorf("a socket of UDP: it ends with %d:\n%s", status, said)
	}
}

func notifies(t *testing.T, program string) {
	dir := siteFolder(t, anyHost)
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	next := func() string {
		message := make([]byte, 100)
		n, err := manager.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		return string(message[:n])
	}
	p := start(t, dir, nil, []string{"NOTIFY_SOCKET=" + filepath.Join(dir, "notify")}, program, "serve", "--unix", "s")
	if got := next(); got != "READY=1" {
		t.Errorf("it says %q", got)
	}
	mustFetch(t, clientOf(t, "unix", filepath.Join(dir, "s"), nil), http.MethodGet, "/who", "", nil) // it is
	p.signal(t, syscall.SIGTERM)
	if got := next(); got != "STOPPING=1" {
		t.Errorf("it says %q", got)
	}
	if status, said := p.ends(t); status != 0 {
		t.Errorf("it ends with %d:\n%s", status, said)
	}
}

// socketActivated: systemd's own program listens, and starts the site for the first
// client.
func socketActivated(t *testing.T, program string) {
	activate := installed(t, "systemd", "systemd-socket-activate")
	dir := siteFolder(t, anyHost)
	path := filepath.Join(dir, "s")
	p := start(t, dir, nil, nil, activate, "-l", path, program, "serve", "--fd")
	p.writes(t, "Listening on ")
	pid := strconv.Itoa(p.Process.Pid)
	response, _, err := fetch(t.Context(), clientOf(t, "unix", path, nil), http.MethodGet, "/who", "", nil)
	if err != nil || response.StatusCode != http.StatusOK || response.Header.Get("X-Process") != pid {
		t.Errorf("%v, %v", response, err)
	}
	p.stops(t)
}

// reusePort: both listen at one address. What that costs at a restart is measured
// beside the rolling restarts.
func reusePort(t *testing.T, program string) {
	dir := siteFolder(t, anyHost)
	first := start(t, dir, nil, nil, program, "serve", "--addr", "127.0.0.1:0", "--reuse-port")
	address := first.serving(t, 1)[0]
	third := start(t, dir, nil, nil, program, "serve", "--addr", address)
	if status, said := third.ends(t); status != 1 || !strings.HasPrefix(said, "error: "+address+" is in use: another program listens there\nhint: ") {
		t.Errorf("one without the option ends with %d:\n%s", status, said)
	}
	second := start(t, dir, nil, nil, program, "serve", "--addr", address, "--reuse-port")
	second.serving(t, 1)
	first.stops(t)
	response, _, err := fetch(t.Context(), clientOf(t, "tcp", address, nil), http.MethodGet, "/who", "", nil)
	if err != nil || response.Header.Get("X-Process") != strconv.Itoa(second.Process.Pid) {
		t.Errorf("the second one alone: %v, %v", response, err)
	}
	second.stops(t)
}

// withoutDatabase: a database that is away for a while does not keep the site from
// being served; it is told.
func withoutDatabase(t *testing.T, program string) {
	settings := anyHost + "DATABASES: {default: {ENGINE: sqlite, NAME: settings.yaml/db.sqlite3}}\n"
	p := start(t, siteFolder(t, settings), nil, nil, program, "serve", "--addr", "127.0.0.1:0")
	mustFetch(t, clientOf(t, "tcp", p.serving(t, 1)[0], nil), http.MethodGet, "/who", "", nil)
	p.logs(t, "serve: the migrations cannot be looked up", 1)
	p.stops(t)
}

// installed finds a program, or skips the test; when it is required it fails.
func installed(t *testing.T, name, program string) string {
	t.Helper()
	for _, candidate := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	if strings.Contains(os.Getenv("QUINTET_REQUIRE"), name) {
		t.Fatalf("%s is not installed: run \"apt-get install %s\"", name, name)
	}
	t.Skipf("%s is not installed: run \"apt-get install %s\"", name, name)
	return ""
}
