package app_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// Whatever the first way to the client is, the connection has gone home before it.
func TestWriter_EveryWayReleasesFirst(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		for name, way := range map[string]func(http.ResponseWriter){
			"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) },
			"Write":       func(w http.ResponseWriter) { _, _ = w.Write([]byte("x")) },
			"WriteString": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "x") },
			"ReadFrom":    func(w http.ResponseWriter) { _, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader("x")) },
			"Flush":       func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
			"FlushError":  func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
			"Hijack": func(w http.ResponseWriter) {
				if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
					_ = conn.Close()
				}
			},
		} {
			for kind, raw := range map[string]bool{"raw handler": true, "response of a view": false} {
				t.Run(name+" of a "+kind, func(t *testing.T) {
					var before, after int
					goes := func(w http.ResponseWriter, r *views.Request) error {
						if err := query(r); err != nil {
							return err
						}
						stats := func() int { return app.From(r.Context()).Connections().Stats("default").InUse }
						before = stats()
						way(w)
						after = stats()
						err := query(r) // leases for its own time
						after += stats()
						return err
					}
					options := app.Options{Routes: oneRoute(func(*views.Request) (views.Response, error) { return respond(goes), nil })}
					s := play(t, withDatabase(database), options, func(site *app.Site) http.Handler {
						if !raw {
							return site
						}
						return site.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
							if err := goes(w, views.NewRequest(r, nil)); err != nil {
								panic(err)
							}
						}))
					}).over("HTTP/1.1")
					_, _, _ = s.fetch(t, "GET", "/", nil) // that of Hijack breaks off
					s.finished.Wait(1)
					if before != 1 || after != 0 {
						t.Errorf("in use before: %d, after: %d", before, after)
					}
				})
			}
		}
	})
}

// What a handler sets on the connection reaches it, and begins nothing.
func TestWriter_Controls(t *testing.T) {
	t.Parallel()
	var errs []error
	s := play(t, anyHost(), app.Options{Routes: oneRoute(func(*views.Request) (views.Response, error) {
		return respond(func(w http.ResponseWriter, _ *views.Request) error {
			control := http.NewResponseController(w)
			errs = []error{
				control.EnableFullDuplex(), control.SetReadDeadline(time.Now().Add(time.Minute)), control.SetWriteDeadline(time.Now().Add(time.Minute)),
			}
			return views.ErrPermission
		}), nil
	})}).over("HTTP/1.1")
	status, _, err := s.fetch(t, "GET", "/", nil)
	if status != 403 || err != nil || errors.Join(errs...) != nil {
		t.Errorf("got %d, %v, %v", status, err, errs)
	}
}

// There is no way around the release point to the writer of the server.
func TestWriter_HasNoUnwrap(t *testing.T) {
	t.Parallel()
	site := newSite(t, anyHost(), app.Options{})
	get(site.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
			t.Error("the writer unwraps")
		}
	})), "/")
}

// An early hint is no answer: nothing has begun, nothing is released.
func TestWriter_EarlyHints(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		inUse := 0
		s := play(t, withDatabase(database), app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
			return respond(func(w http.ResponseWriter, r *views.Request) error {
				if err := query(r); err != nil {
					return err
				}
				w.Header().Set("Link", "</style.css>; rel=preload")
				w.WriteHeader(http.StatusEarlyHints)
				inUse = app.From(r.Context()).Connections().Stats("default").InUse
				return views.ErrPermission
			}), nil
		})}).over("HTTP/1.1")
		var hints []int
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			hints = append(hints, code)
			return nil
		}}
		request, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, s.server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := s.server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if len(hints) != 1 || response.StatusCode != http.StatusForbidden || inUse != 1 {
			t.Errorf("hints %v, status %d, in use %d", hints, response.StatusCode, inUse)
		}
		equal(t, "the status of the event", s.finished.Wait(1)[0].Status, 403)
	})
}

// A status that is none panics in net/http before anything was sent: an ordinary
// failure.
func TestWriter_WrongStatus(t *testing.T) {
	t.Parallel()
	s := play(t, anyHost(), app.Options{}, func(site *app.Site) http.Handler {
		return site.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(7) }))
	}).over("HTTP/1.1")
	status, body, err := s.fetch(t, "GET", "/", nil)
	if status != 500 || body != "500 Internal Server Error\n" || err != nil {
		t.Errorf("got %d %q, %v", status, body, err)
	}
}

// A transaction that a view leaves open is an error before the first byte: nobody
// can commit it any more.
func TestView_LeavesATransactionOpen(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		closed := false
		s := play(t, withDatabase(database), app.Options{Routes: func(s *app.Site) {
			for path, response := range map[string]views.Response{
				"/text":   views.Text{Body: "done"},
				"/stream": views.StreamingResponse{Body: views.Chunks(func(func(string) bool) {}), Close: func() { closed = true }},
			} {
				s.GET(path, func(r *views.Request) (views.Response, error) {
					_, err := db.From(r.Context()).BeginTx(r.Context(), nil)
					return response, err
				})
			}
		}})
		for i, path := range []string{"/text", "/stream"} {
			if w := get(s, path); w.Code != 500 {
				t.Errorf("%s is answered with %d", path, w.Code)
			}
			event := s.finished.Wait(i + 1)[i]
			if !errors.Is(event.Err, db.ErrInAtomicBlock) || !strings.Contains(event.Err.Error(), "app/writer_test.go:") {
				t.Errorf("%s ended with %v", path, event.Err)
			}
			s.atHome(t)
		}
		equal(t, "failures", len(s.failed.Events()), 2)
		equal(t, "closed", closed, true)
	})
}

// What a raw handler leaves uncommitted is lost, and that is not silent.
func TestWrap_AHandlerLeavesATransactionOpen(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		s := play(t, withDatabase(database), app.Options{})
		w := get(s.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := db.From(r.Context()).BeginTx(r.Context(), nil); err != nil {
				panic(err)
			}
			_, _ = io.WriteString(w, "done")
		})), "/raw")
		equal(t, "the answer", w.Body.String(), "done")
		event := s.finished.Wait(1)[0]
		if !errors.Is(event.Err, db.ErrInAtomicBlock) || len(s.failed.Events()) != 1 {
			t.Errorf("it ended with %v and %d failures", event.Err, len(s.failed.Events()))
		}
		s.atHome(t)
	})
}

// A body beyond 64 KiB is not waited for with a connection in hand, nor one that
// the client sends only when it is asked to.
func TestBody_IsNotWaitedForWithAConnection(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		for _, expect := range []bool{false, true} {
			s := play(t, withDatabase(database), app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
				if err := query(r); err != nil {
					return nil, err
				}
				return readsBody(r)
			})})
			source := &watched{size: 256 << 10, look: func(sent int) {
				inUse, want := s.Connections().Stats("default").InUse, 1
				if expect || sent >= 64<<10 {
					want = 0
				}
				if inUse != want {
					t.Errorf("expect %t: after %d bytes %d connections are in use, want %d", expect, sent, inUse, want)
				}
			}}
			w := ask(s, http.MethodPost, "/", source, func(r *http.Request) {
				if expect {
					r.Header.Set("Expect", "100-continue")
				}
			})
			equal(t, "what was read", w.Body.String(), "262144")
		}
	})
}

// watched is a body that looks around when it is read.
type watched struct {
	size, sent int
	look       func(sent int)
}

func (b *watched) Read(p []byte) (int, error) {
	b.look(b.sent)
	n := min(len(p), b.size-b.sent)
	if n == 0 {
		return 0, io.EOF
	}
	b.sent += n
	return n, nil
}

func TestLease_OfARoute(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		inUse := func(r *views.Request) (views.Response, error) {
			if err := query(r); err != nil {
				return nil, err
			}
			return views.JSON{Value: app.From(r.Context()).Connections().Stats("default").InUse}, nil
		}
		site := newSite(t, withDatabase(database), app.Options{Routes: func(s *app.Site) {
			s.GET("/request", inUse)
			s.GET("/transaction", inUse, app.Lease(db.LeaseTransaction))
		}})
		equal(t, "request", get(site, "/request").Body.String(), "1")
		equal(t, "transaction", get(site, "/transaction").Body.String(), "0")
	})
}
