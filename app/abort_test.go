package app_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/views"
)

// recovering is what every router's middleware folder has: it makes a 500 of a
// panic, and lets nothing through.
func recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = io.WriteString(w, "recovered")
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// A response that has begun and fails is broken for the client, whoever recovers
// the panic: a clean end would pass for the whole answer.
func TestAbort_TheClientSeesABrokenBody(t *testing.T) {
	t.Parallel()
	half := func(w http.ResponseWriter) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
	}
	views := map[string]views.View{
		"stream with an error": stream(0, func(_ context.Context, yield func([]byte, error) bool) {
			yield([]byte("half"), nil)
			yield(nil, errScene)
		}),
		"stream with a panic": stream(0, func(_ context.Context, yield func([]byte, error) bool) { yield([]byte("half"), nil); panic(errScene) }),
		"response with an error": func(*views.Request) (views.Response, error) {
			return respond(func(w http.ResponseWriter, _ *views.Request) error {
				half(w)
				return errScene
			}), nil
		},
		"response that is not flushed": func(*views.Request) (views.Response, error) {
			return respond(func(w http.ResponseWriter, _ *views.Request) error {
				_, _ = io.WriteString(w, "half")
				return errScene
			}), nil
		},
		"foreign handler with a panic": nil,
	}
	inside := func(s *app.Site) http.Handler { return s }
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for name, view := range views {
			for where, around := range map[string]func(*app.Site) http.Handler{
				"nobody recovers":  inside,
				"inside recovers":  inside,
				"outside recovers": func(s *app.Site) http.Handler { return recovering(s) },
			} {
				t.Run(name+", "+where+", "+proto, func(t *testing.T) {
					t.Parallel()
					options := app.Options{Routes: func(s *app.Site) { s.GET("/", view) }}
					if view == nil {
						options.Routes = nil
					}
					if where == "inside recovers" {
						options.Middleware = append(options.Middleware, recovering)
					}
					s := play(t, anyHost(), options, func(s *app.Site) http.Handler {
						if view != nil {
							return around(s)
						}
						wrapped := s.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
							half(w)
							panic(errScene)
						}))
						if where == "outside recovers" {
							return recovering(wrapped)
						}
						return wrapped
					}).over(proto)
					status, body, err := s.fetch(t, "GET", "/", nil)
					if err == nil {
						t.Errorf("the client got a whole answer: %d %q", status, body)
					}
					event := s.finished.Wait(1)[0]
					if !errors.Is(event.Err, errScene) {
						t.Errorf("RequestFinished says %v", event.Err)
					}
					failed := s.failed.Events()
					if len(failed) != 1 || !failed[0].Streaming || !errors.Is(failed[0].Err, errScene) {
						t.Errorf("RequestFailed was sent as %+v", failed)
					}
				})
			}
		}
	}
}

// respond is a kind of response that a site has made itself.
type respond func(http.ResponseWriter, *views.Request) error

func (f respond) Respond(w http.ResponseWriter, r *views.Request) error { return f(w, r) }

// Before the first byte a panic is the middleware's, and nothing has failed.
func TestAbort_MiddlewareThatRecoversInTimeAnswers(t *testing.T) {
	t.Parallel()
	s := play(t, anyHost(), app.Options{
		Middleware: []func(http.Handler) http.Handler{recovering},
		Routes:     func(s *app.Site) { s.GET("/", func(*views.Request) (views.Response, error) { panic(errScene) }) },
	}).over("HTTP/1.1")
	status, body, err := s.fetch(t, "GET", "/", nil)
	if status != 500 || body != "recovered" || err != nil {
		t.Errorf("got %d %q, %v", status, body, err)
	}
	if event := s.finished.Wait(1)[0]; event.Err != nil || len(s.failed.Events()) != 0 {
		t.Errorf("the site calls it a failure: %v", event.Err)
	}
}

// After an abort nothing more can be written, by whatever way.
func TestAbort_TheWriterRefuses(t *testing.T) {
	t.Parallel()
	var refused []error
	s := play(t, anyHost(), app.Options{
		Middleware: []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() {
					_ = recover()
					control := http.NewResponseController(w)
					_, write := w.Write([]byte("x"))
					_, writeString := io.WriteString(w, "x")
					_, readFrom := w.(io.ReaderFrom).ReadFrom(strings.NewReader("x"))
					_, _, hijack := control.Hijack()
					refused = []error{write, writeString, readFrom, hijack, control.Flush(), control.SetWriteDeadline(time.Time{})}
					w.WriteHeader(http.StatusOK)
				}()
				next.ServeHTTP(w, r)
			})
		}},
		Routes: func(s *app.Site) { s.GET("/", stream(1, fails)) },
	}).over("HTTP/1.1")
	if _, _, err := s.fetch(t, "GET", "/", nil); err == nil {
		t.Error("the client got a whole answer")
	}
	s.finished.Wait(1)
	for i, err := range refused {
		if err == nil {
			t.Errorf("way %d was open", i)
		}
	}
}

// A middleware that fails after the handler has answered breaks the answer, too.
func TestAbort_ByMiddleware(t *testing.T) {
	t.Parallel()
	s := play(t, anyHost(), app.Options{
		Middleware: []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r)
				panic(errScene)
			})
		}},
		Routes: func(s *app.Site) { s.GET("/", stream(1, nil)) },
	}).over("HTTP/1.1")
	if status, body, err := s.fetch(t, "GET", "/", nil); err == nil {
		t.Errorf("the client got a whole answer: %d %q", status, body)
	}
	if event := s.finished.Wait(1)[0]; !errors.Is(event.Err, errScene) || len(s.failed.Events()) != 1 {
		t.Errorf("RequestFinished says %v", event.Err)
	}
}

// A connection that a handler has taken is its own, also when the handler panics.
func TestAbort_NotOfAHijackedConnection(t *testing.T) {
	t.Parallel()
	for _, v := range []error{errScene, http.ErrAbortHandler} {
		s := play(t, anyHost(), app.Options{}, func(site *app.Site) http.Handler {
			return site.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, buffer, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				go func() {
					_, _ = buffer.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					_ = buffer.Flush()
					_ = conn.Close()
				}()
				panic(v)
			}))
		}).over("HTTP/1.1")
		if status, body, err := s.fetch(t, "GET", "/", nil); status != 200 || body != "ok" || err != nil {
			t.Errorf("%v: got %d %q, %v", v, status, body, err)
		}
		if event := s.finished.Wait(1)[0]; !event.Hijacked || event.Err == nil || (len(s.failed.Events()) == 1) != errors.Is(v, errScene) {
			t.Errorf("%v: RequestFinished says %+v", v, event)
		}
	}
}

// http.ErrAbortHandler is net/http's word for "I know": it is passed on, and is no
// failure of the site.
func TestAbort_ErrAbortHandlerIsPassedOn(t *testing.T) {
	t.Parallel()
	s := play(t, anyHost(), app.Options{Routes: func(s *app.Site) {
		s.GET("/", func(*views.Request) (views.Response, error) { panic(http.ErrAbortHandler) })
	}})
	defer func() {
		if v := recover(); v != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
			t.Errorf("the panic is %v", v)
		}
		if len(s.failed.Events()) != 0 || len(s.journal.entries(t, "app: panic")) != 0 {
			t.Error("it was reported as a failure")
		}
		if events := s.finished.Events(); len(events) != 1 || !errors.Is(events[0].Err, http.ErrAbortHandler) || events[0].Status != 0 {
			t.Errorf("RequestFinished was sent as %+v", events)
		}
	}()
	get(s, "/")
	t.Error("there was no panic")
}

// Where a server recovers nothing, in a test with a recorder, a client that has
// left does not panic; a failing stream does.
func TestAbort_WithoutAServer(t *testing.T) {
	t.Parallel()
	s := play(t, anyHost(), app.Options{Routes: func(s *app.Site) { s.GET("/", stream(1, waits)) }})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := &leaving{httptest.NewRecorder(), cancel}
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx))
	if events := s.finished.Events(); len(events) != 1 || !errors.Is(events[0].Err, views.ErrClientGone) || len(s.failed.Events()) != 0 {
		t.Errorf("RequestFinished was sent as %+v", events)
	}
}

// leaving cancels the request after the first chunk.
type leaving struct {
	*httptest.ResponseRecorder
	cancel func()
}

func (w *leaving) Flush() {
	w.ResponseRecorder.Flush()
	w.cancel()
}

// A handler that http.TimeoutHandler has given up waiting for may panic as late as
// it likes: the connection is another request's by then.
func TestAbort_NotByAHandlerThatNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	goOn, gone := make(chan struct{}), make(chan struct{})
	s := play(t, anyHost(), app.Options{
		Middleware: []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
			return http.TimeoutHandler(next, time.Millisecond, "too slow")
		}},
		Routes: func(s *app.Site) {
			s.GET("/slow", func(*views.Request) (views.Response, error) {
				return respond(func(w http.ResponseWriter, _ *views.Request) error {
					defer close(gone)
					_, _ = io.WriteString(w, "half")
					<-goOn
					panic(errScene)
				}), nil
			})
		},
	}).over("HTTP/1.1")
	status, body, err := s.fetch(t, "GET", "/slow", nil)
	if status != 503 || body != "too slow" || err != nil {
		t.Errorf("got %d %q, %v", status, body, err)
	}
	s.finished.Wait(1)
	close(goOn)
	<-gone
	if status, _, err = s.fetch(t, "GET", "/nothing", nil); status != 404 || err != nil {
		t.Errorf("the next request on the connection got %d, %v", status, err)
	}
}
