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

func TestStreamingResponse_AFailureBeforeTheFirstChunkSendsNothing(t *testing.T) {
	t.Parallel()
	for name, generator := range map[string]iter.Seq2[[]byte, error]{
		"at once":              failing(errBroken),
		"after an empty chunk": failing(errBroken, "", ""),
		"of Write":             views.Write(func(context.Context, io.Writer) error { return errBroken }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &life{}
			recorder, err := respond(t, l, views.StreamingResponse{Body: noting(l, generator), Header: http.Header{"X-A": {"b"}}})
			if !errors.Is(err, errBroken) || errors.Is(err, views.ErrClientGone) {
				t.Errorf("error %v, want the generator's", err)
			}
			wantNothingSent(t, recorder)
			wantEvents(t, l, "start", "release", "generator", "defer", "ended")
		})
	}
}

func TestStreamingResponse_AFailureBeforeTheFirstChunkHasItsOwnStatus(t *testing.T) {
	t.Parallel()
	_, err := respond(t, nil, views.StreamingResponse{Body: failing(fmt.Errorf("export: %w", views.ErrPermission))})
	if got := views.StatusOf(err); got != http.StatusForbidden {
		t.Errorf("status %d of %v, want 403", got, err)
	}
}

func TestStreamingResponse_AFailureAfterTheFirstChunkIsReturnedWhenAllWasSent(t *testing.T) {
	t.Parallel()
	for name, configure := range protocols() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &life{}
			s := stream(t, l, views.StreamingResponse{Body: noting(l, failing(errBroken, "a", "b", "c"))}, configure)
			response := s.get(t)
			got, err := io.ReadAll(response.Body)
			if string(got) != "abc" || err == nil {
				t.Errorf("the client read %q, %v, want abc and a broken body", got, err)
			}
			if end := <-s.over; !errors.Is(end.err, errBroken) {
				t.Errorf("ended with %v, want the generator's error", end)
			}
			wantEvents(t, l, "view", "start", "release", "generator", "defer", "ended")
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

func TestStreamingResponse_RefusesBeforeAnythingIsTouched(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		response views.StreamingResponse
		says     string
	}{
		"a nil Body":           {views.StreamingResponse{}, "Body is nil"},
		"a header's newline":   {views.StreamingResponse{Body: chunks(), Header: http.Header{"X-A": {"b\nc"}}}, `"X-A"`},
		"a type's newline":     {views.StreamingResponse{Body: chunks(), ContentType: "text/csv\r\nX-A: b"}, `"Content-Type"`},
		"an impossible status": {views.StreamingResponse{Body: chunks(), Status: 99}, "status 99"},
		"a bad cookie":         {views.StreamingResponse{Body: chunks(), Cookies: []*http.Cookie{{Name: "a b"}}}, `"a b"`},
		// Django: httpwrappers.tests.HttpResponseTests.test_content_type_mutually_exclusive (HD-054)
		"a type given twice": {views.StreamingResponse{Body: chunks(), ContentType: "text/csv", Header: http.Header{"content-type": {"text/html"}}}, "given twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &life{}
			c.response.Close = func() { l.note("close") }
			recorder, err := respond(t, l, c.response)
			wantError(t, err, "views: StreamingResponse: ", c.says)
			wantNothingSent(t, recorder)
			wantEvents(t, l, "close")
		})
	}
}

func TestStreamingResponse_IsNotStartedWhenThereAreTooMany(t *testing.T) {
	t.Parallel()
	l := &life{startErr: views.ErrUnavailable}
	recorder, err := respond(t, l, views.StreamingResponse{Body: noting(l, chunks("a")), Close: func() { l.note("close") }})
	if views.StatusOf(err) != http.StatusServiceUnavailable {
		t.Errorf("error %v, want 503", err)
	}
	wantNothingSent(t, recorder)
	wantEvents(t, l, "close")
}

func TestStreamingResponse_IsNotStartedInsideABlockOfItsOwn(t *testing.T) {
	t.Parallel()
	l := &life{releaseErr: errBroken}
	recorder, err := respond(t, l, views.StreamingResponse{Body: noting(l, chunks("a")), Close: func() { l.note("close") }})
	if !errors.Is(err, errBroken) {
		t.Errorf("error %v, want that of Release", err)
	}
	wantNothingSent(t, recorder)
	wantEvents(t, l, "start", "release", "close", "ended")
}

func TestStreamingResponse_YieldFailsWhileSomethingIsHeld(t *testing.T) {
	t.Parallel()
	for _, after := range []int{0, 2} {
		t.Run(fmt.Sprintf("after %d chunks", after), func(t *testing.T) {
			t.Parallel()
			held := 0
			l := &life{heldErr: func() error {
				if held++; held > after {
					return errBroken
				}
				return nil
			}}
			recorder, err := respond(t, l, views.StreamingResponse{Body: noting(l, chunks("a", "b", "c"))})
			if !errors.Is(err, errBroken) || errors.Is(err, views.ErrClientGone) {
				t.Errorf("error %v, want that of Held", err)
			}
			if got, want := recorder.Body.String(), "abc"[:after]; got != want {
				t.Errorf("sent %q, want %q", got, want)
			}
			if after == 0 {
				wantNothingSent(t, recorder)
			}
			wantEvents(t, l, "start", "release", "generator", "defer", "ended")
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

func TestStreamingResponse_APanicPassesThroughAfterTheCleanUp(t *testing.T) {
	t.Parallel()
	for name, before := range map[string][]string{"before the first chunk": nil, "later": {"a", "b"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &life{}
			response := views.StreamingResponse{
				Body: noting(l, func(yield func([]byte, error) bool) {
					for _, text := range before {
						yield([]byte(text), nil)
					}
					panic(errBroken)
				}),
				Close: func() { l.note("close") },
			}
			recorder := httptest.NewRecorder()
			panicked := panicOf(func() {
				_ = response.Respond(recorder, views.NewRequest(httptest.NewRequest(http.MethodGet, "/", nil), l))
			})
			if panicked != errBroken { //nolint:errorlint // the value itself
				t.Errorf("panic %v, want the generator's", panicked)
			}
			if got := recorder.Body.String(); got != strings.Join(before, "") {
				t.Errorf("sent %q, want what was yielded", got)
			}
			if before == nil {
				wantNothingSent(t, recorder)
			}
			wantEvents(t, l, "start", "release", "generator", "defer", "close", "ended")
		})
	}
}

func panicOf(f func()) (panicked any) {
	defer func() { panicked = recover() }()
	f()
	return nil
}

func TestStreamingResponse_APanicOfCloseSkipsNothing(t *testing.T) {
	t.Parallel()
	l := &life{}
	response := views.StreamingResponse{Body: noting(l, chunks("a")), Close: func() { panic("close") }}
	panicked := panicOf(func() { _, _ = respond(t, l, response) })
	if panicked != "close" {
		t.Errorf("panic %v, want that of Close", panicked)
	}
	wantEvents(t, l, "start", "release", "generator", "defer", "ended")
}

func TestStreamingResponse_AGeneratorThatIgnoresTheEndPanics(t *testing.T) {
	t.Parallel()
	held := 0
	l := &life{heldErr: func() error {
		if held++; held > 1 {
			return errBroken
		}
		return nil
	}}
	response := views.StreamingResponse{
		Body: func(yield func([]byte, error) bool) {
			for yield([]byte("a"), nil) || true {
				continue
			}
		},
		Close: func() { l.note("close") },
	}
	panicked := panicOf(func() { _, _ = respond(t, l, response) })
	if err, ok := panicked.(error); !ok || !strings.Contains(err.Error(), "continued iteration") {
		t.Errorf("panic %v, want the runtime's", panicked)
	}
	wantEvents(t, l, "start", "release", "close", "ended")
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

func TestStreamingResponse_LongerThanItSaysIsNoFaultOfTheClient(t *testing.T) {
	t.Parallel()
	s := stream(t, &life{}, views.StreamingResponse{Header: http.Header{"Content-Length": {"3"}}, Body: chunks("abc", "d")})
	_, _ = io.ReadAll(s.get(t).Body)
	if end := <-s.over; !errors.Is(end.err, http.ErrContentLength) || errors.Is(end.err, views.ErrClientGone) {
		t.Errorf("ended with %v, want http.ErrContentLength", end)
	}
}

func TestStreamingResponse_EndsWithTheCauseOfItsContext(t *testing.T) {
	t.Parallel()
	errShutdown := errors.New("the site shuts down")
	for name, c := range map[string]struct {
		stop func(yield func([]byte, error) bool, ctx context.Context)
		want error
	}{
		"a generator that goes on":       {func(yield func([]byte, error) bool, _ context.Context) { yield([]byte("b"), nil) }, errShutdown},
		"a generator that returns it":    {func(yield func([]byte, error) bool, ctx context.Context) { yield(nil, ctx.Err()) }, errShutdown},
		"a generator that ends in order": {func(func([]byte, error) bool, context.Context) {}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			response := views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
				yield([]byte("a"), nil)
				cancel(errShutdown)
				c.stop(yield, ctx)
			}}
			_, err := respondTo(t, nil, response, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
			if !errors.Is(err, c.want) || errors.Is(err, views.ErrClientGone) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

// Django: asgi.tests.ASGITest.test_delayed_disconnect_with_body (ST-020).
func TestStreamingResponse_DoesNotStartForAClientThatLeftDuringTheView(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{nil, errBroken} {
		ctx, leave := context.WithCancelCause(t.Context())
		leave(cause)
		l := &life{}
		recorder, err := respondTo(t, l, views.StreamingResponse{Body: noting(l, chunks("a"))}, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
		if errors.Is(err, views.ErrClientGone) != (cause == nil) || !errors.Is(err, context.Cause(ctx)) {
			t.Errorf("error %v", err)
		}
		wantNothingSent(t, recorder)
		wantEvents(t, l, "start", "release", "ended")
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
