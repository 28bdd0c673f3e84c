//go:build unix

package commands_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// The networks between nginx, or a client, and the site.
func networks() []string { return []string{"tcp", "unix"} }

// TestServeBehindNginx runs the built program behind a real nginx, with the
// configuration that new projects get.
func TestServeBehindNginx(t *testing.T) {
	t.Parallel()
	installed(t, "nginx", "nginx")
	program := buildServed(t)
	for _, network := range networks() {
		t.Run("who the client is, over "+network, func(t *testing.T) {
			t.Parallel()
			clientBehindNginx(t, program, network)
		})
		t.Run("streams, over "+network, func(t *testing.T) {
			t.Parallel()
			streamsThroughNginx(t, program, network)
		})
	}
}

// TestRollingRestart restarts processes under load; not one request may fail. The
// load is bounded in requests, and the restarts are steps of the test, so that
// nothing here depends on time.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	program := buildServed(t)
	for _, network := range networks() {
		for _, how := range []struct {
			name      string
			nginx     bool
			processes int
		}{
			{"of two processes behind nginx", true, 2},
			{"of one process behind nginx", true, 1},
			{"of two processes", false, 2},
			{"of one process", false, 1},
		} {
			t.Run(how.name+", over "+network, func(t *testing.T) { // one after the other: each is a load
				rollingRestart(t, program, network, how.nginx, how.processes)
			})
		}
	}
}

// TestReusePortUnderLoad measures what a restart costs there: it is printed, and no
// promise.
func TestReusePortUnderLoad(t *testing.T) {
	t.Parallel()
	program := buildServed(t)
	dir := siteFolder(t, anyHost)
	serve := func(address string) *process {
		p := start(t, dir, nil, nil, program, "serve", "--reuse-port", "--addr", address)
		p.serving(t, 1)
		return p
	}
	first := serve("127.0.0.1:0")
	address := first.serving(t, 1)[0]
	second := serve(address)
	l := newLoad(t, func() *http.Client {
		client := clientOf(t, "tcp", address, nil)
		client.Transport.(*http.Transport).DisableKeepAlives = true // every request is accepted anew
		return client
	})
	l.answers(t, 200)
	for range 3 {
		first.stops(t)
		l.answers(t, 200)
		first, second = second, serve(address)
	}
	l.end()
	t.Logf("with --reuse-port, %d of %d requests failed in 3 restarts: %v", l.failed.Load(), l.answered.Load(), l.failure())
	for _, p := range []*process{first, second} {
		p.stops(t)
	}
}

// shared is a socket that is kept while processes come and go, as systemd keeps it.
func shared(t *testing.T, dir, network string) (file *os.File, address string) {
	t.Helper()
	if network == "unix" {
		return fileOf(t, network, filepath.Join(dir, "s"))
	}
	return fileOf(t, network, "127.0.0.1:0")
}

func rollingRestart(t *testing.T, program, network string, behindNginx bool, processes int) {
	dir := siteFolder(t, anyHost)
	socket, address := shared(t, dir, network)
	serve := func() *process {
		p := start(t, dir, []*os.File{socket}, []string{"LISTEN_FDS=1"}, program, "serve", "--fd")
		p.serving(t, 1)
		return p
	}
	var running []*process
	for range processes {
		running = append(running, serve())
	}
	clientNetwork, clientAddress := network, address
	if behindNginx {
		clientNetwork, clientAddress = "tcp", nginx(t, dir, network, address)
	}
	l := newLoad(t, func() *http.Client { return clientOf(t, clientNetwork, clientAddress, nil) })
	l.answers(t, 200)
	for range 2 { // every process twice
		for i := range running {
			running[i].stops(t)
			if processes > 1 {
				l.answers(t, 100) // the others serve
			}
			running[i] = serve()
			l.answers(t, 100)
		}
	}
	l.end()
	if failed := l.failed.Load(); failed > 0 {
		t.Errorf("%d of %d requests failed; the first: %v", failed, l.answered.Load(), l.failure())
	}
	t.Logf("%d restarts, %d requests by %d processes, %d failed", 2*processes, l.answered.Load(), len(l.by), l.failed.Load())
	if len(l.by) < processes+1 {
		t.Errorf("only the processes %v have answered", l.by)
	}
	for _, p := range running {
		p.stops(t)
	}
}

// load is a number of clients that ask without a pause.
type load struct {
	answered, failed atomic.Int64
	tick             chan struct{} // one for each answer that somebody waits for
	stop             context.CancelFunc
	clients          sync.WaitGroup

	mu    sync.Mutex // guards the rest
	first error
	by    map[string]int // answers of each process
}

const (
	loadClients  = 6
	loadRequests = 20_000 // at most, of each client
)

func newLoad(t *testing.T, client func() *http.Client) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{tick: make(chan struct{}), stop: stop, by: make(map[string]int)}
	t.Cleanup(stop)
	for i := range loadClients {
		c := client()
		l.clients.Go(func() {
			for n := range loadRequests {
				if ctx.Err() != nil {
					return
				}
				l.ask(c, i, n)
				select {
				case l.tick <- struct{}{}:
				default:
				}
			}
		})
	}
	return l
}

// ask asks in turn what may be asked again and what may not.
func (l *load) ask(client *http.Client, i, n int) {
	method, path, body, want := http.MethodGet, "/who", "", `"host":"blog.example.com"`
	if n%2 == 1 {
		method, path, body = http.MethodPost, "/echo", fmt.Sprintf("%d of client %d", n, i)
		want = body
	}
	response, text, err := fetch(context.Background(), client, method, path, body, nil)
	if err == nil && (response.StatusCode != http.StatusOK || !strings.Contains(text, want)) {
		err = fmt.Errorf("%s %s: %s: %s", method, path, response.Status, text)
	}
	l.answered.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed.Add(1)
		if l.first == nil {
			l.first = err
		}
		return
	}
	l.by[response.Header.Get("X-Process")]++
}

// answers waits for a number of answers.
func (l *load) answers(t *testing.T, n int) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		l.clients.Wait()
		close(done)
	}()
	for range n {
		select {
		case <-l.tick:
		case <-done:
			t.Fatal("the clients have asked all they may")
		}
	}
}

func (l *load) end() {
	l.stop()
	l.clients.Wait()
}

func (l *load) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

// nginx starts an nginx with the configuration of the scaffold, and returns where it
// listens. Static files are those of the folder.
func nginx(t *testing.T, static, network, upstream string) (address string) {
	t.Helper()
	return nginxAt(t, static, network, upstream, func(address string) string { return "listen " + address + ";" })
}

// nginxAt is nginx with a listen directive, and what belongs to it, of the test's own.
func nginxAt(t *testing.T, static, network, upstream string, listen func(address string) string) (address string) {
	t.Helper()
	program := installed(t, "nginx", "nginx")
	if network == "unix" {
		upstream = "unix:" + upstream
	}
	for {
		address = freeAddress(t)
		folder := t.TempDir()
		conf := nginxConf(t, folder, map[string]string{ // what differs from one machine to the next
			"server unix:/run/blog.sock;": "server " + upstream + ";",
			"listen 80;":                  listen(address),
			"alias /srv/blog/static/;":    "alias " + static + "/;",
		})
		args := []string{"-p", folder, "-c", conf, "-e", "stderr"}
		p := start(t, folder, nil, nil, program, args...)
		if p.writes(t, "event method", "Address already in use") == 0 {
			return address
		}
		p.ends(t) // another program has taken the port meanwhile
	}
}

// nginxConf makes a whole configuration of that of the scaffold.
func nginxConf(t *testing.T, folder string, changes map[string]string) (path string) {
	t.Helper()
	site := read(t, started(t), "deploy", "nginx.conf")
	for from, to := range changes {
		if strings.Count(site, from) != 1 {
			t.Fatalf("nginx.conf has not one %q", from)
		}
		site = strings.Replace(site, from, to, 1)
	}
	// One process, so that it ends whole when the test does.
	conf := "daemon off; master_process off; pid nginx.pid; error_log stderr notice; events {}\nhttp {\naccess_log off;\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		conf += kind + "_temp_path " + filepath.Join(folder, kind) + ";\n"
	}
	path = filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf+site+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// freeAddress is one that nobody listened at a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// believed is what the site believes about a client.
type believed struct{ Client, Scheme, Host, ID string }

func clientBehindNginx(t *testing.T, program, network string) {
	dir := siteFolder(t, "ALLOWED_HOSTS: [blog.example.com]\n")
	spoofed := http.Header{
		"X-Forwarded-For": {"203.0.113.9, 127.0.0.1"}, "X-Forwarded-Proto": {"https"},
		"X-Forwarded-Host": {"evil.example.com"}, "X-Request-Id": {"spoofed"}, "Forwarded": {"for=203.0.113.9;proto=https"},
	}
	ask := func(client *http.Client, header http.Header) (b believed) {
		text := mustFetch(t, client, http.MethodGet, "/who", "", header)
		if err := json.Unmarshal([]byte(text), &b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, trusted := range []string{"unix", "127.0.0.1", "unix,127.0.0.1", "192.0.2.1"} {
		socket, address := shared(t, t.TempDir(), network)
		p := start(t, dir, []*os.File{socket}, []string{"LISTEN_FDS=1", "QUINTET_TRUSTED_PROXIES=" + trusted}, program, "serve", "--fd")
		p.serving(t, 1)
		trusts := strings.Contains(trusted, map[string]string{"tcp": "127.0.0.1", "unix": "unix"}[network])

		// A client with an address that is nobody's proxy.
		front := nginx(t, t.TempDir(), network, address)
		client := clientOf(t, "tcp", front, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 7)})
		want := believed{"127.0.0.7", "http", "blog.example.com", ""}
		if !trusts {
			want.Client = map[string]string{"tcp": "127.0.0.1", "unix": "invalid IP"}[network]
		}
		for _, header := range []http.Header{nil, spoofed} {
			got := ask(client, header)
			if id := got.ID; id == "" || id == "spoofed" {
				t.Errorf("%s trusts %s: the id is %q", network, trusted, id)
			}
			if got.ID = ""; got != want {
				t.Errorf("%s trusts %s: with %v the site believes %+v, want %+v", network, trusted, header, got, want)
			}
		}

		// Who comes past nginx is believed exactly when it could be nginx.
		got := ask(clientOf(t, network, address, nil), http.Header{"X-Forwarded-For": {"203.0.113.9"}, "X-Forwarded-Proto": {"https"}})
		if (got.Client == "203.0.113.9") != trusts || (got.Scheme == "https") != trusts {
			t.Errorf("%s trusts %s: a neighbour is believed to be %+v", network, trusted, got)
		}
		p.stops(t)
	}
}

// streamsThroughNginx: each part arrives before the next one is made. The next one is
// made when the test says so, after it has read the last.
func streamsThroughNginx(t *testing.T, program, network string) {
	dir := siteFolder(t, anyHost)
	socket, address := shared(t, dir, network)
	p := start(t, dir, []*os.File{socket}, []string{"LISTEN_FDS=1"}, program, "serve", "--fd")
	p.serving(t, 1)
	front := nginx(t, dir, network, address)
	client := clientOf(t, "tcp", front, nil)
	for path, prefix := range map[string]string{"/events": "data: ", "/chunks": ""} {
		response, body := open(t, client, path, prefix+"first")
		if server := response.Header.Get("Server"); !strings.HasPrefix(server, "nginx") {
			t.Errorf("%s is answered by %q", path, server)
		}
		for n := range 5 {
			want := strconv.Itoa(n)
			mustFetch(t, client, http.MethodPost, "/next", want, nil)
			for {
				line, err := body.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if line == prefix+want+"\n" {
					break
				}
				if line != "\n" { // between events
					t.Fatalf("%s says %q", path, line)
				}
			}
		}
		// A client that leaves is noticed through nginx, and the stream ends.
		if err := response.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p.logs(t, "request", 2*6)
	large := strings.Repeat("x", 1<<20)
	if got := mustFetch(t, client, http.MethodPost, "/echo", large, nil); got != large {
		t.Errorf("a body of %d bytes comes back with %d", len(large), len(got))
	}
	p.stops(t)
}
