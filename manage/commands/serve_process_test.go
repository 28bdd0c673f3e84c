//go:build unix

package commands_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// processLimit ends a process whose test has lost it.
const processLimit = 2 * time.Minute

// process is a program that runs beside the test.
type process struct {
	*exec.Cmd
	mu    sync.Mutex // guards the rest
	more  *sync.Cond
	lines []string // of the standard error
	ended bool
}

// buildServed builds testdata/served as anybody builds a site.
func buildServed(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "served")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./testdata/served").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// siteFolder has the settings of a site; what is there already is not written again.
func siteFolder(t *testing.T, settings string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "settings.yaml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

const anyHost = "ALLOWED_HOSTS: ['*']\n"

// start starts a program in a folder. What it inherits are sockets, passed as systemd
// does: LISTEN_PID is that of the program itself.
func start(t *testing.T, dir string, inherited []*os.File, environ []string, program string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), processLimit)
	t.Cleanup(cancel)
	argv := append([]string{program}, args...)
	if len(inherited) > 0 {
		argv = append([]string{"/bin/sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh"}, argv...)
	}
	p := &process{Cmd: exec.CommandContext(ctx, argv[0], argv[1:]...)}
	p.more = sync.NewCond(&p.mu)
	p.Dir, p.ExtraFiles = dir, inherited
	p.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "QUINTET_") || strings.HasPrefix(v, "LISTEN_") || strings.HasPrefix(v, "NOTIFY_")
	}), environ...)
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.read(stderr)
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-read
		_ = p.Wait()
	})
	return p
}

func (p *process) read(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		p.more.Broadcast()
		p.mu.Unlock()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.more.Broadcast()
}

// logs waits until the program has logged n lines about something, and returns them.
func (p *process) logs(t *testing.T, msg string, n int) (found []map[string]any) {
	t.Helper()
	p.until(t, msg, func(lines []string) bool {
		found = nil
		for _, line := range lines {
			var entry map[string]any
			if json.Unmarshal([]byte(line), &entry) == nil && entry["msg"] == msg {
				found = append(found, entry)
			}
		}
		return len(found) >= n
	})
	return found
}

// writes waits until a line has one of the texts, and returns which.
func (p *process) writes(t *testing.T, texts ...string) (which int) {
	t.Helper()
	p.until(t, strings.Join(texts, ", or "), func(lines []string) bool {
		for _, line := range lines {
			which = slices.IndexFunc(texts, func(text string) bool { return strings.Contains(line, text) })
			if which >= 0 {
				return true
			}
		}
		return false
	})
	return which
}

func (p *process) until(t *testing.T, what string, said func(lines []string) bool) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !said(p.lines) {
		if p.ended {
			t.Fatalf("it has ended and not said %s:\n%s", what, strings.Join(p.lines, "\n"))
		}
		p.more.Wait()
	}
}

// serving waits until the program serves, and returns the addresses.
func (p *process) serving(t *testing.T, n int) (addresses []string) {
	t.Helper()
	for _, entry := range p.logs(t, "app: serving", n) {
		addresses = append(addresses, entry["address"].(string))
	}
	return addresses
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// ends waits for the end and returns the exit status, and what was said.
func (p *process) ends(t *testing.T) (status int, said string) {
	t.Helper()
	p.mu.Lock()
	for !p.ended {
		p.more.Wait()
	}
	said = strings.Join(p.lines, "\n")
	p.mu.Unlock()
	err := p.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if signal := exit.Sys().(syscall.WaitStatus); signal.Signaled() {
			return 128 + int(signal.Signal()), said
		}
		return exit.ExitCode(), said
	} else if err != nil {
		t.Error(err)
	}
	return 0, said
}

// stops ends a server in order.
func (p *process) stops(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	if status, said := p.ends(t); status != 0 {
		t.Errorf("it ends with %d:\n%s", status, said)
	}
}

// clientOf is a client that connects to one address, whatever the URL says, from
// an address of this machine.
func clientOf(t *testing.T, network, address string, from net.Addr) *http.Client {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: from}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, address)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// fetch asks, and returns the whole answer.
func fetch(ctx context.Context, client *http.Client, method, path, body string, header http.Header) (*http.Response, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://blog.example.com"+path, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Host = cmp.Or(header.Get("Host"), r.Host)
	response, err := client.Do(r)
	if err != nil {
		return nil, "", err
	}
	all, err := io.ReadAll(response.Body)
	return response, string(all), errors.Join(err, response.Body.Close())
}

// mustFetch is fetch for an answer of 200.
func mustFetch(t *testing.T, client *http.Client, method, path, body string, header http.Header) string {
	t.Helper()
	response, text, err := fetch(t.Context(), client, method, path, body, header)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s: %s", method, path, response.Status, text)
	}
	return text
}

// open begins to read an answer: its first line is there.
func open(t *testing.T, client *http.Client, path, firstLine string) (*http.Response, *bufio.Reader) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://blog.example.com"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	body := bufio.NewReader(response.Body)
	if line, err := body.ReadString('\n'); line != firstLine+"\n" || err != nil {
		t.Fatalf("%s begins with %q, %v", path, line, err)
	}
	return response, body
}
