package views_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/views"
)

// ticking yields a line and then waits as a generator should, for ever.
func ticking(l *life, ctx func() context.Context) func(yield func([]byte, error) bool) {
	return noting(l, func(yield func([]byte, error) bool) {
		for yield([]byte("tick\n"), nil) {
			if err := views.Sleep(ctx(), time.Hour); err != nil {
				l.note("woken")
				return
			}
		}
	})
}

// Django: asgi.tests.ASGITest.test_asyncio_streaming_cancel_error (ST-016).
func TestStreamingResponse_AClientThatLeavesWakesAWaitingGenerator(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method    string
		body      string
		configure func(*httptest.Server)
	}{
		"GET":                   {http.MethodGet, "", nil},
		"GET over HTTP2":        {http.MethodGet, "", http2},
		"POST with unread body": {http.MethodPost, strings.Repeat("x", views.DropSize), nil},
		"POST over HTTP2":       {http.MethodPost, strings.Repeat("x", 100), http2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &life{}
			s := serve(t, l, func(r *views.Request) (views.Response, error) {
				return views.StreamingResponse{
					Body:  ticking(l, r.Context),
					Close: func() { l.note("close") },
				}, nil
			}, func(s *httptest.Server) {
				if c.configure != nil {
					c.configure(s)
				}
			})
			ctx, leave := context.WithCancel(t.Context())
			request, err := http.NewRequestWithContext(ctx, c.method, s.URL, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			response, err := s.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			if line, err := bufio.NewReader(response.Body).ReadString('\n'); line != "tick\n" {
				t.Fatalf("read %q, %v", line, err)
			}
			leave()
			if end := <-s.over; !errors.Is(end.err, views.ErrClientGone) || !errors.Is(end.err, context.Canceled) {
				t.Errorf("ended with %v, want ErrClientGone", end)
			}
			wantEvents(t, l, "view", "start", "release", "generator", "woken", "defer", "close", "ended")
		})
	}
}

func TestStreamingResponse_YieldReturnsFalseOnceTheClientHasLeft(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	s := serve(t, &life{}, func(r *views.Request) (views.Response, error) {
		return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
			if !yield([]byte("a"), nil) {
				t.Error("the first yield was refused")
			}
			<-r.Context().Done()
			if yield([]byte("b"), nil) {
				t.Error("yield returned true after the context had ended")
			}
			close(left)
		}}, nil
	})
	conn := s.dial(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	<-left
	if end := <-s.over; !errors.Is(end.err, views.ErrClientGone) {
		t.Errorf("ended with %v", end)
	}
}

func TestStreamingResponse_AClientThatLeavesInTheMiddleOfItsBodyWakesTheGenerator(t *testing.T) {
	t.Parallel()
	l := &life{}
	s := serve(t, l, func(r *views.Request) (views.Response, error) {
		return views.StreamingResponse{Body: ticking(l, r.Context)}, nil
	})
	conn := s.dial(t, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if end := <-s.over; !errors.Is(end.err, views.ErrClientGone) {
		t.Errorf("ended with %v, want ErrClientGone", end)
	}
	wantEvents(t, l, "view", "start", "release", "generator", "woken", "defer", "ended")
}

// readNoter notes when the body of a request is read.
type readNoter struct {
	io.ReadCloser
	life *life
}

func (r readNoter) Read(p []byte) (int, error) {
	if l := r.life; l.count("read") == 0 {
		l.note("read")
	}
	return r.ReadCloser.Read(p)
}

func TestStreamingResponse_DropsAnUnreadBodyAfterTheRelease(t *testing.T) {
	t.Parallel()
	l := &life{}
	s := serve(t, l, func(r *views.Request) (views.Response, error) {
		r.Body = readNoter{r.Body, l}
		return views.StreamingResponse{Body: noting(l, chunks("a"))}, nil
	})
	response := s.do(t, http.MethodPost, "", strings.NewReader("unread"))
	if body(t, response) != "a" || response.Close {
		t.Errorf("got %v", response)
	}
	<-s.over
	wantEvents(t, l, "view", "start", "release", "read", "generator", "defer", "ended")
}

func TestStreamingResponse_DoesNotWaitLongForAnUnreadBody(t *testing.T) {
	t.Parallel()
	slow := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"
	large := fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", 4*views.DropSize, strings.Repeat("x", views.DropSize+1))
	for name, c := range map[string]struct {
		request   string
		readsBody bool
	}{
		"one that is too slow":            {slow, false},
		"one that is too large":           {large, false},
		"one that the generator left":     {slow, true},
		"a large one that is left unread": {large, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stream(t, &life{}, views.StreamingResponse{Body: chunks("a", "b"), ReadsBody: c.readsBody})
			conn := s.dial(t, c.request)
			// The client sends no more and reads: the server must end the connection.
			if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			everything := bufio.NewReader(conn)
			response, err := http.ReadResponse(everything, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			if got := body(t, response); got != "ab" || !response.Close {
				t.Errorf("got %q, Connection: close %v, want ab and true", got, response.Close)
			}
			if end := <-s.over; end.err != nil {
				t.Errorf("ended with %v", end)
			}
			if _, err := everything.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after the response: %v, want the end of the connection", err)
			}
		})
	}
}

func TestStreamingResponse_ReadsBodyWhileItWrites(t *testing.T) {
	t.Parallel()
	for name, configure := range protocols() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, &life{}, func(r *views.Request) (views.Response, error) {
				return views.StreamingResponse{ReadsBody: true, Body: func(yield func([]byte, error) bool) {
					lines := bufio.NewScanner(r.Body)
					for lines.Scan() {
						if !yield(append(bytes.ToUpper(lines.Bytes()), '\n'), nil) {
							return
						}
					}
				}}, nil
			}, configure)
			from, to := io.Pipe()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, from)
			if err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.WriteString(to, "first\n") }()
			response, err := s.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			answers := bufio.NewReader(response.Body)
			for _, want := range []string{"FIRST\n", "SECOND\n", "THIRD\n"} {
				got, err := answers.ReadString('\n')
				if err != nil || got != want {
					t.Fatalf("read %q, %v, want %q", got, err, want)
				}
				switch want {
				case "FIRST\n":
					_, _ = io.WriteString(to, "second\n")
				case "SECOND\n":
					_, _ = io.WriteString(to, "third\n")
				}
			}
			_ = to.Close()
			if got := body(t, response); got != "" {
				t.Errorf("then %q", got)
			}
			if end := <-s.over; end.err != nil {
				t.Errorf("ended with %v", end)
			}
		})
	}
}

// getReusing returns whether the connection of an earlier request was used.
func (s *site) getReusing(t *testing.T, method string, upload io.Reader) (text string, reused bool) {
	t.Helper()
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
	})
	request, err := http.NewRequestWithContext(ctx, method, s.URL, upload)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	return body(t, response), reused
}

// Django: servers.tests.LiveServerViews.test_closes_connection_without_content_length
// and test_keep_alive_on_connection_with_content_length (ST-022, ST-023). Django's
// server closes a connection after a stream of unknown length; chunked encoding
// makes that unnecessary.
func TestLiveServerViews_KeepAliveAfterAStream(t *testing.T) {
	t.Parallel()
	const short = 250 * time.Millisecond
	requests := 0
	s := serve(t, &life{}, func(*views.Request) (views.Response, error) {
		if requests++; requests > 1 {
			time.Sleep(short + short/4) // a slow view: a deadline left behind would have passed
		}
		return views.WithWriteTimeout(views.StreamingResponse{Body: chunks("a", "b")}, short), nil
	})
	for i := range 3 {
		text, reused := s.getReusing(t, http.MethodPost, strings.NewReader("upload"))
		if text != "ab" || reused != (i > 0) {
			t.Errorf("request %d: %q, reused %v", i, text, reused)
		}
		if end := <-s.over; end.err != nil {
			t.Errorf("request %d ended with %v", i, end)
		}
	}
}

// net/http panics in the next request of a connection whose full-duplex handler
// left the body unread.
func TestStreamingResponse_EndsTheConnectionWhoseBodyItReads(t *testing.T) {
	t.Parallel()
	s := stream(t, &life{}, views.StreamingResponse{ReadsBody: true, Body: chunks("a", "b")})
	for range 2 {
		text, reused := s.getReusing(t, http.MethodPost, strings.NewReader("upload"))
		if text != "ab" || reused {
			t.Errorf("got %q, reused %v", text, reused)
		}
		if end := <-s.over; end.err != nil {
			t.Errorf("ended with %v", end)
		}
	}
}

func TestStreamingResponse_IsNotCutByTimeoutsWhileItIsSilent(t *testing.T) {
	t.Parallel()
	const timeout = 1500 * time.Millisecond // the TLS handshake has no more either
	for name, configure := range protocols() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, &life{}, func(r *views.Request) (views.Response, error) {
				return views.WithWriteTimeout(views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
					for range 2 {
						if views.Sleep(r.Context(), timeout+timeout/10) != nil || !yield([]byte("a"), nil) {
							return
						}
					}
				}}, timeout), nil
			}, configure, func(s *httptest.Server) { s.Config.WriteTimeout = timeout })
			if got := body(t, s.get(t)); got != "aa" {
				t.Errorf("body %q, want aa", got)
			}
			if end := <-s.over; end.err != nil {
				t.Errorf("ended with %v", end)
			}
		})
	}
}

func TestStreamingResponse_AReaderThatDoesNotReadHasGone(t *testing.T) {
	t.Parallel()
	for name, chunk := range map[string][]byte{"large chunks": make([]byte, views.HoldSize), "short lines": []byte("a line\n")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &life{}
			s := stream(t, l, views.WithWriteTimeout(views.StreamingResponse{
				Body: noting(l, func(yield func([]byte, error) bool) {
					for yield(chunk, nil) {
						continue
					}
				}),
				Close: func() { l.note("close") },
			}, 100*time.Millisecond), func(s *httptest.Server) {
				s.Config.ConnState = func(conn net.Conn, state http.ConnState) {
					if tcp, ok := conn.(*net.TCPConn); ok && state == http.StateNew {
						_ = tcp.SetWriteBuffer(4 << 10)
					}
				}
			})
			s.dial(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			if end := <-s.over; !errors.Is(end.err, views.ErrClientGone) || !errors.Is(end.err, os.ErrDeadlineExceeded) {
				t.Errorf("ended with %v, want ErrClientGone for its deadline", end)
			}
			wantEvents(t, l, "view", "start", "release", "generator", "defer", "close", "ended")
		})
	}
}

func TestStreamingResponse_AGeneratorWithoutContextNoticesByWriting(t *testing.T) {
	t.Parallel()
	// Its body is too large to be dropped, so that only a write finds out.
	s := stream(t, &life{}, views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
		for yield(bytes.Repeat([]byte("x"), 1<<10), nil) {
			continue
		}
	}})
	conn := s.dial(t, fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", 4*views.DropSize, strings.Repeat("x", views.DropSize+1)))
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if end := <-s.over; !errors.Is(end.err, views.ErrClientGone) {
		t.Errorf("ended with %v, want ErrClientGone", end)
	}
}

func TestStreamingResponse_SendsLargeChunksWhole(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("0123456789abcdef"), 4<<20/16)
	for name, configure := range protocols() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parts := [][]byte{[]byte("a"), large, []byte("b"), large[:views.HoldSize], large[:views.HoldSize-1], []byte("cd"), large[:views.HoldSize/2+1]}
			s := stream(t, &life{}, views.StreamingResponse{Body: views.Chunks(slices.Values(parts))}, configure)
			if got, want := body(t, s.get(t)), string(bytes.Join(parts, nil)); got != want {
				t.Errorf("got %d bytes, want %d, and the same", len(got), len(want))
			}
		})
	}
}
