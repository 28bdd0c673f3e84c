package views_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/goquintet/quintet/views"
)

// life is the seam where package app stands: it writes down what a response asks
// of the life cycle, and answers what the test wants.
type life struct {
	releaseErr error
	startErr   error
	heldErr    func() error
	templates  *views.Templates
	progress   views.Progress
	settings   views.StreamSettings
	stop       context.CancelCauseFunc

	mu     sync.Mutex
	events []string
}

func (o outcome) String() string { return fmt.Sprintf("error %v, panic %v", o.err, o.panicked) }

func (l *life) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, fmt.Sprintf(format, args...))
}

func (l *life) noted() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

func (l *life) count(event string) (n int) {
	for _, e := range l.noted() {
		if e == event {
			n++
		}
	}
	return n
}

func (l *life) Release(context.Context) error {
	l.note("release")
	return l.releaseErr
}

func (l *life) Keep(context.Context) { l.note("keep") }

func (l *life) Held(context.Context) error {
	if l.heldErr == nil {
		return nil
	}
	return l.heldErr()
}

func (l *life) StreamSettings() views.StreamSettings { return l.settings }
func (l *life) Leases() *atomic.Int32                { return nil }

func (l *life) Stop(cause error) {
	if l.stop != nil {
		l.stop(cause)
	}
}

func (l *life) StartStream(context.Context) (*views.Progress, func(), error) {
	if l.startErr != nil {
		return nil, nil, l.startErr
	}
	l.note("start")
	return &l.progress, func() { l.note("ended") }, nil
}

func (l *life) Reverse(name string, args ...any) (string, error) {
	if name != "poll" {
		return "", fmt.Errorf("no route is named %q", name)
	}
	return "/polls/" + strings.Trim(fmt.Sprint(args...), "[]"), nil
}

func (l *life) Templates() *views.Templates { return l.templates }

// site serves one view in the simplest life cycle there is.
type site struct {
	*httptest.Server
	life *life
	over chan outcome // of each request, after it
}

// outcome is how a response ended.
type outcome struct {
	err      error
	panicked any
}

// serve starts a site on a real connection.
func serve(t testing.TB, l *life, view views.View, configure ...func(*httptest.Server)) *site {
	t.Helper()
	s := &site{life: l, over: make(chan outcome, 16)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := &writer{ResponseWriter: w}
		var end outcome
		defer func() {
			end.panicked = recover()
			s.over <- end
			switch {
			case end.panicked == nil && end.err == nil:
			case to.wrote:
				panic(http.ErrAbortHandler)
			default:
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		request := views.NewRequest(r, l)
		response, err := view(request)
		if err == nil {
			l.note("view")
			err = response.Respond(to, request)
		}
		end.err = err
	}))
	for _, c := range configure {
		c(s.Server)
	}
	if s.EnableHTTP2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// writer knows whether anything was sent, as the life cycle's writer does.
type writer struct {
	http.ResponseWriter
	wrote bool
}

func (w *writer) WriteHeader(status int) {
	w.wrote = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(p []byte) (int, error) {
	w.wrote = true
	return w.ResponseWriter.Write(p)
}

func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func http2(s *httptest.Server) { s.EnableHTTP2 = true }

// stream serves one streaming response.
func stream(t testing.TB, l *life, response views.StreamingResponse, configure ...func(*httptest.Server)) *site {
	t.Helper()
	return serve(t, l, func(*views.Request) (views.Response, error) { return response, nil }, configure...)
}

func (s *site) get(t testing.TB) *http.Response {
	t.Helper()
	return s.do(t, http.MethodGet, "", nil)
}

func (s *site) do(t testing.TB, method, path string, body io.Reader) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// dial opens a connection and sends text on it.
func (s *site) dial(t testing.TB, text string) net.Conn {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

func body(t testing.TB, response *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("read the body: %v", err)
	}
	return string(text)
}

// respond sends a response to a recorder.
func respond(t testing.TB, l *life, response views.Response) (*httptest.ResponseRecorder, error) {
	t.Helper()
	return respondTo(t, l, response, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
}

func respondTo(t testing.TB, l *life, response views.Response, r *http.Request) (*httptest.ResponseRecorder, error) {
	t.Helper()
	recorder := httptest.NewRecorder()
	var cycle views.Cycle
	if l != nil {
		cycle = l
	}
	err := response.Respond(recorder, views.NewRequest(r, cycle))
	return recorder, err
}

func wantNothingSent(t testing.TB, recorder *httptest.ResponseRecorder) {
	t.Helper()
	if len(recorder.Header()) > 0 || recorder.Body.Len() > 0 || recorder.Flushed {
		t.Errorf("something was sent: %v %q", recorder.Header(), recorder.Body)
	}
}

func wantEvents(t testing.TB, l *life, want ...string) {
	t.Helper()
	if got := l.noted(); !slices.Equal(got, want) {
		t.Errorf("events:\n  %q, want\n  %q", got, want)
	}
}

func wantError(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", words)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}

var errBroken = errors.New("the source is broken")
