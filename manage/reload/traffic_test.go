package reload_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// browser is a page that listens for another site.
type browser struct {
	t     *testing.T
	lines *bufio.Scanner
}

func (r *running) listen() *browser {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+"/__quintet__/reload", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { response.Body.Close() })
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		r.t.Errorf("the events are %q", got)
	}
	return &browser{r.t, bufio.NewScanner(response.Body)}
}

// next is the next id that a page is told.
func (b *browser) next() string {
	b.t.Helper()
	for b.lines.Scan() {
		if id, ok := strings.CutPrefix(b.lines.Text(), "data: "); ok {
			return id
		}
	}
	b.t.Fatalf("the events have ended: %v", b.lines.Err())
	return ""
}

// TestNoRequestFailsDuringASwap: readers and writers, on connections that are kept,
// while one build replaces the other.
func TestNoRequestFailsDuringASwap(t *testing.T) {
	t.Parallel()
	r := newModule(t).serve()
	r.version()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var answered, failed atomic.Int64
	var clients sync.WaitGroup
	for n := range 4 {
		clients.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			for i := 0; ctx.Err() == nil; i++ {
				method, path := http.MethodGet, "/version"
				if n%2 == 1 {
					method, path = http.MethodPost, "/echo" // which no client sends again
				}
				request, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(fmt.Sprint(i)))
				if err != nil {
					t.Error(err)
					return
				}
				response, err := transport.RoundTrip(request)
				if err != nil {
					failed.Add(1)
					t.Errorf("%s %s: %v", method, path, err)
					continue
				}
				body, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || response.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), "v") {
					failed.Add(1)
					t.Errorf("%s %s: %s, %q, %v", method, path, response.Status, body, err)
				}
				answered.Add(1)
			}
		})
	}
	for n := range 4 {
		r.write("blog/version.go", version(fmt.Sprintf("v%d", n+2)))
		r.reloaded()
	}
	stop()
	clients.Wait()
	t.Logf("%d requests answered during 4 swaps, %d failed", answered.Load(), failed.Load())
}

// TestARequestEndsOnTheProcessThatHasBegunIt also when its body is still on its way.
func TestARequestEndsOnTheProcessThatHasBegunIt(t *testing.T) {
	t.Parallel()
	r := newModule(t).serve()
	body, send := io.Pipe()
	sent := make(chan struct{})
	trace := &httptrace.ClientTrace{WroteHeaders: func() { close(sent) }}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodPost, r.url+"/echo", body)
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		response, err := r.client.Do(request)
		if err != nil {
			answers <- answer{err: err}
			return
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		answers <- answer{string(text), err}
	}()
	<-sent
	if _, err := io.WriteString(send, "half "); err != nil {
		t.Fatal(err)
	}
	r.write("blog/version.go", version("v2"))
	r.reloaded()
	if got := r.version(); got != "v2" {
		t.Errorf("new requests get %q", got)
	}
	if _, err := io.WriteString(send, "whole"); err != nil {
		t.Fatal(err)
	}
	send.Close()
	if got := <-answers; got.err != nil || got.text != "v1 half whole <nil>" {
		t.Errorf("the old one gets %q, %v", got.text, got.err)
	}
}

// TestStreamsAreToldAndNotBuffered: the first chunk comes while the stream runs, and
// the stream ends cleanly when another process takes over.
func TestStreamsAreToldAndNotBuffered(t *testing.T) {
	t.Parallel()
	r := newModule(t).serve()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	if first, err := lines.ReadString('\n'); err != nil || first != "v1 first\n" {
		t.Fatalf("the stream begins with %q, %v", first, err)
	}
	r.write("blog/version.go", version("v2"))
	r.reloaded()
	if rest, err := io.ReadAll(lines); err != nil || string(rest) != "told\n" {
		t.Errorf("the stream ends with %q, %v", rest, err)
	}
}

// TestTheSiteSeesTheClient as if there were nothing in between.
func TestTheSiteSeesTheClient(t *testing.T) {
	t.Parallel()
	r := newModule(t).serve()
	var client, server string
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		client, server = info.Conn.LocalAddr().String(), info.Conn.RemoteAddr().String()
	}}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, r.url+"/who?a=1;b=%zz&c", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "blog.example:81"
	request.Header["X-Forwarded-For"] = []string{"192.0.2.1"}
	response, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if want := client + "|blog.example:81|[192.0.2.1]|a=1;b=%zz&c|" + server; err != nil || string(body) != want {
		t.Errorf("it sees %q, %v, want %q", body, err, want)
	}
}

// TestAnAnswerMayComeBeforeTheWholeRequest: a site that refuses a large body is heard.
func TestAnAnswerMayComeBeforeTheWholeRequest(t *testing.T) {
	t.Parallel()
	r := newModule(t).serve()
	for range 20 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/version", io.LimitReader(zeros{}, 4<<20))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		written := make(chan error, 1)
		go func() { written <- request.Write(conn) }() // which may fail, as it would without us
		response, err := http.ReadResponse(bufio.NewReader(conn), request)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Errorf("it answers %v, %v", response, err)
		}
		conn.Close()
		<-written
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestABrokenResponseStaysBroken(t *testing.T) {
	t.Parallel()
	r := newModule(t).serve()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/abort", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err == nil || string(body) != "half" {
		t.Errorf("it reads %q, %v", body, err)
	}
}

func TestUpgradedConnectionsArePassedOn(t *testing.T) {
	t.Parallel()
	r := newModule(t).serve()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /upgrade HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	answer := bufio.NewReader(conn)
	response, err := http.ReadResponse(answer, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("it answers %v, %v", response, err)
	}
	fmt.Fprintf(conn, "hello\n")
	if line, err := answer.ReadString('\n'); err != nil || line != "heard hello\n" {
		t.Errorf("it says %q, %v", line, err)
	}
}
