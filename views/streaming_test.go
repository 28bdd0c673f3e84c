package views_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/views"
)

// chunks is a generator that cannot fail.
func chunks(texts ...string) iter.Seq2[[]byte, error] {
	return views.Chunks(slices.Values(texts))
}

// failing yields the texts and then an error.
func failing(err error, texts ...string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, text := range texts {
			if !yield([]byte(text), nil) {
				return
			}
		}
		yield(nil, err)
	}
}

// noting is a generator that notes when it runs and when its defers do.
func noting(l *life, body iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		l.note("generator")
		defer l.note("defer")
		body(yield)
	}
}

// wire notes in the life when the headers go out and how.
type wire struct {
	*httptest.ResponseRecorder
	life *life
}

func (w wire) WriteHeader(status int) {
	w.life.note("headers %d", status)
	w.ResponseRecorder.WriteHeader(status)
}

func TestStreamingResponse_LivesInOrder(t *testing.T) {
	t.Parallel()
	l := &life{}
	response := views.StreamingResponse{
		Body: noting(l, func(yield func([]byte, error) bool) {
			l.note("first")
			yield([]byte("a"), nil)
			l.note("second")
			yield([]byte("b"), nil)
		}),
		Close: func() { l.note("close") },
	}
	w := wire{httptest.NewRecorder(), l}
	if err := response.Respond(w, views.NewRequest(httptest.NewRequest(http.MethodGet, "/", nil), l)); err != nil {
		t.Fatal(err)
	}
	wantEvents(t, l, "start", "release", "generator", "first", "headers 200", "second", "defer", "close", "ended")
	if got := w.Body.String(); got != "ab" {
		t.Errorf("body %q, want ab", got)
	}
}

// Django: httpwrappers.tests.StreamingHttpResponseTests.test_streaming_response,
// handlers.tests.HandlerRequestTests.test_streaming (ST-001, ST-010).
func TestStreamingHttpResponse_StreamingResponse(t *testing.T) {
	t.Parallel()
	for name, configure := range protocols() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stream(t, &life{}, views.StreamingResponse{
				ContentType: "text/csv",
				Header:      http.Header{"x-export": {"sales"}},
				Cookies:     []*http.Cookie{{Name: "seen", Value: "1"}},
				Body:        chunks("hello", "", "wörld"),
			}, configure)
			response := s.get(t)
			if got := body(t, response); got != "hellowörld" {
				t.Errorf("body %q", got)
			}
			for name, want := range map[string]string{
				"Content-Type": "text/csv", "X-Export": "sales", "Set-Cookie": "seen=1",
				"X-Accel-Buffering": "no", "Content-Length": "", "Cache-Control": "", "Etag": "",
			} {
				if got := response.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if end := <-s.over; end.err != nil || end.panicked != nil {
				t.Errorf("ended with %v", end)
			}
		})
	}
}

func protocols() map[string]func(*httptest.Server) {
	return map[string]func(*httptest.Server){
		"HTTP1": func(*httptest.Server) {},
		"HTTP2": http2,
	}
}

// Django: asgi.tests.ASGITest.test_streaming (ST-014): parts are sent as they are
// produced. The generator goes on only when the client has read the last part.
func TestStreamingResponse_ChunksGoOutWhileTheGeneratorWaits(t *testing.T) {
	t.Parallel()
	for name, configure := range protocols() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			read := make(chan struct{})
			s := stream(t, &life{}, views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
				for part := range 20 {
					for line := range part + 1 { // alone, and as a burst with a tail
						if !yield(fmt.Appendf(nil, "%d.%d\n", part, line), nil) {
							return
						}
					}
					<-read
				}
			}}, configure)
			lines := bufio.NewReader(s.get(t).Body)
			for part := range 20 {
				for line := range part + 1 {
					got, err := lines.ReadString('\n')
					if want := fmt.Sprintf("%d.%d\n", part, line); err != nil || got != want {
						t.Fatalf("read %q, %v, want %q", got, err, want)
					}
				}
				read <- struct{}{}
			}
			if _, err := lines.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("after the last part: %v", err)
			}
		})
	}
}

func TestStreamingResponse_WithoutAChunkHasHeadersAndNoBody(t *testing.T) {
	t.Parallel()
	s := stream(t, &life{}, views.StreamingResponse{Status: http.StatusAccepted, ContentType: "text/csv", Body: chunks()})
	response := s.get(t)
	if response.StatusCode != http.StatusAccepted || response.Header.Get("Content-Type") != "text/csv" || body(t, response) != "" {
		t.Errorf("got %v", response)
	}
}

func TestStreamingResponse_WithoutABodyNeverRuns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method string
		status int
	}{
		{http.MethodHead, http.StatusOK},
		{http.MethodGet, http.StatusNoContent},
		{http.MethodGet, http.StatusNotModified},
	} {
		t.Run(fmt.Sprint(c.method, c.status), func(t *testing.T) {
			t.Parallel()
			l := &life{}
			s := stream(t, l, views.StreamingResponse{
				Status:      c.status,
				ContentType: "text/csv",
				Header:      http.Header{"Content-Length": {"11"}}, // Django: WSGIRequestHandlerTestCase.test_non_zero_content_length_set_head_request
				Body:        noting(l, chunks("a")),
				Close:       func() { l.note("close") },
			})
			response := s.do(t, c.method, "", nil)
			if response.StatusCode != c.status || body(t, response) != "" {
				t.Errorf("got %v", response)
			}
			if c.method == http.MethodHead && (response.ContentLength != 11 || response.Header.Get("Content-Type") != "text/csv") {
				t.Errorf("got %v", response)
			}
			<-s.over
			wantEvents(t, l, "view", "release", "close")
		})
	}
}

func TestStreamingResponse_KeepConnectionMayHold(t *testing.T) {
	t.Parallel()
	l := &life{heldErr: func() error { return errBroken }}
	recorder, err := respond(t, l, views.StreamingResponse{Body: noting(l, chunks("a", "b")), KeepConnection: true})
	if err != nil || recorder.Body.String() != "ab" {
		t.Errorf("got %q, %v", recorder.Body, err)
	}
	wantEvents(t, l, "start", "keep", "generator", "defer", "ended")
}

func TestStreamingResponse_MayBeYieldedFromAnotherGoroutine(t *testing.T) {
	t.Parallel()
	recorder, err := respond(t, nil, views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = yield([]byte("a"), nil) && yield([]byte("b"), nil)
		}()
		<-done
		yield([]byte("c"), nil)
	}})
	if err != nil || recorder.Body.String() != "abc" {
		t.Errorf("got %q, %v", recorder.Body, err)
	}
}

func TestStreamingResponse_MayReuseTheMemoryOfAChunk(t *testing.T) {
	t.Parallel()
	recorder, err := respond(t, nil, views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
		var chunk [1]byte
		for c := byte('a'); c <= 'z'; c++ {
			if chunk[0] = c; !yield(chunk[:], nil) {
				return
			}
		}
	}})
	if want := "abcdefghijklmnopqrstuvwxyz"; err != nil || recorder.Body.String() != want {
		t.Errorf("got %q, %v, want %q", recorder.Body, err, want)
	}
}

func TestStreamingResponse_KeepsALengthThatItSays(t *testing.T) {
	t.Parallel()
	s := stream(t, &life{}, views.StreamingResponse{Header: http.Header{"content-length": {"3"}}, Body: chunks("abc")})
	response := s.get(t)
	if response.ContentLength != 3 || body(t, response) != "abc" {
		t.Errorf("got %v", response)
	}
}

func TestStreamingResponse_HasNoLengthThatAMiddlewareSaid(t *testing.T) {
	t.Parallel()
	recorder := httptest.NewRecorder()
	recorder.Header().Set("Content-Length", "7")
	err := views.StreamingResponse{Body: chunks("abc")}.Respond(recorder, views.NewRequest(httptest.NewRequest(http.MethodGet, "/", nil), nil))
	if got := recorder.Header().Get("Content-Length"); err != nil || got != "" {
		t.Errorf("Content-Length %q, %v", got, err)
	}
}

// duplex notes whether it was asked to let the handler read while it writes.
type duplex struct {
	*httptest.ResponseRecorder
	asked int
	err   error
}

func (d *duplex) EnableFullDuplex() error {
	d.asked++
	return d.err
}

func TestStreamingResponse_AsksNetHTTPNotToWaitForTheBody(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, errors.ErrUnsupported} {
		for readsBody, want := range map[bool]int{true: 1, false: 0} {
			w := &duplex{httptest.NewRecorder(), 0, err}
			request := views.NewRequest(httptest.NewRequest(http.MethodPost, "/", strings.NewReader("body")), nil)
			if err := (views.StreamingResponse{Body: chunks("a"), ReadsBody: readsBody}).Respond(w, request); err != nil || w.asked != want {
				t.Errorf("ReadsBody %v: %v, asked %d times, want %d", readsBody, err, w.asked, want)
			}
			if rest, _ := io.ReadAll(request.Body); (len(rest) == 4) != readsBody {
				t.Errorf("ReadsBody %v: %q is left of the body", readsBody, rest)
			}
		}
	}
}

func TestStreamingResponse_MayBeAPointer(t *testing.T) {
	t.Parallel()
	recorder, err := respond(t, nil, &views.StreamingResponse{Body: chunks("a")})
	if err != nil || recorder.Body.String() != "a" {
		t.Errorf("got %q, %v", recorder.Body, err)
	}
}

func TestStreamingResponse_WithoutASiteKeepsNothing(t *testing.T) {
	t.Parallel()
	recorder, err := respond(t, nil, views.StreamingResponse{Body: chunks("a"), KeepConnection: true})
	if err != nil || recorder.Body.String() != "a" {
		t.Errorf("%q, %v", recorder.Body, err)
	}
}

func TestStreamingResponse_ByHandMayBeServerSentEvents(t *testing.T) {
	t.Parallel()
	recorder, err := respond(t, nil, views.StreamingResponse{Header: http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}}, Body: failing(errBroken)})
	if !errors.Is(err, errBroken) || !recorder.Flushed || recorder.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("%v, %v, want the headers at once", err, recorder.Header())
	}
}

func TestStreamingResponse_DropsABodyThatComesFromNoConnection(t *testing.T) {
	t.Parallel()
	from, to := io.Pipe()
	defer func() { _ = to.Close() }()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", from)
	recorder, err := respondTo(t, nil, views.StreamingResponse{Body: chunks("a")}, request)
	if err != nil || recorder.Body.String() != "a" {
		t.Errorf("%q, %v", recorder.Body, err)
	}
}

func TestDiscard_RunsTheCloseOfAStream(t *testing.T) {
	t.Parallel()
	closed := 0
	s := views.StreamingResponse{Close: func() { closed++ }}
	var none *views.StreamingResponse
	for _, response := range []views.Response{s, &s, none, nil, views.Text{}, views.StreamingResponse{}} {
		views.Discard(response)
	}
	if closed != 2 {
		t.Errorf("Close ran %d times, want once for each stream that has one", closed)
	}
}

func TestSleep(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	for _, d := range []time.Duration{0, time.Hour} {
		if err := views.Sleep(ended, d); !errors.Is(err, cause) {
			t.Errorf("Sleep(ended, %v): %v, want the cause", d, err)
		}
	}
	for _, d := range []time.Duration{-1, 0, time.Nanosecond} {
		if err := views.Sleep(t.Context(), d); err != nil {
			t.Errorf("Sleep(%v): %v", d, err)
		}
	}
}
