package views_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/goquintet/quintet/views"
)

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
		"a generator that goes on": {func(yield func([]byte, error) bool, _ context.Context) {
			if !yield([]byte("b"), nil) || !yield([]byte("c"), nil) || yield([]byte("d"), nil) {
				t.Error("the chunk that was under way and a last word are taken, and no third")
			}
		}, errShutdown},
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
