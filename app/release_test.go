package app_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/echov4"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
)

const large = 5 << 20

// slowly sends a request and hands back the connection with the answer's headers
// read. Its receive buffer is small, so that the server waits for the reader.
func slowly(t *testing.T, s *stage, request string) (net.Conn, *bufio.Reader) {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
		})
		if err != nil {
			return err
		}
		return failed
	}}
	conn, err := dialer.DialContext(t.Context(), "tcp", s.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReaderSize(conn, 1<<10)
}

func slowGet(t *testing.T, s *stage, path string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, r := slowly(t, s, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n")
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(line, "HTTP/1.1 ") {
		t.Fatalf("the answer begins with %q", line)
	}
	return conn, r
}

// samples looks so often at who holds a connection while a client reads a KiB in
// between, and fails when the request is over: then nobody had to wait.
func samples(t *testing.T, s *stage, r *bufio.Reader, look func(holders []db.Holder, inUse int)) {
	t.Helper()
	kib := make([]byte, 1<<10)
	for range 20 {
		if n := s.Stats().Requests; n != 1 {
			t.Fatalf("%d requests are under way, want the one that waits for its client", n)
		}
		look(s.Connections().Holders(), s.Connections().Stats("default").InUse)
		if _, err := io.ReadFull(r, kib); err != nil {
			t.Fatal(err)
		}
	}
}

func noneHeld(t *testing.T) func([]db.Holder, int) {
	return func(holders []db.Holder, inUse int) {
		t.Helper()
		if len(holders) > 0 || inUse > 0 {
			t.Errorf("%d connections are in use while the request waits for its client, held by %v", inUse, holders)
		}
	}
}

// lazy is data of a template that queries while it is rendered.
type lazy struct{ ctx context.Context }

func (l lazy) Lines() ([]string, error) {
	var n int
	if err := db.From(l.ctx).NewRaw("SELECT 1").Scan(l.ctx, &n); err != nil {
		return nil, err
	}
	return []string{strings.Repeat("x", large)}, nil
}

// TestNoResponseWaitsForItsClientWithAConnection is the promise, for every kind of
// response and handler.
func TestNoResponseWaitsForItsClientWithAConnection(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "large.bin"), make([]byte, large), 0o600); err != nil {
		t.Fatal(err)
	}
	page := fstest.MapFS{
		"lazy.html": {Data: []byte("{{range .Lines}}{{.}}{{end}}")},
	}
	answer := func(make func(r *views.Request) views.Response) views.View {
		return func(r *views.Request) (views.Response, error) {
			if err := query(r); err != nil {
				return nil, err
			}
			return make(r), nil
		}
	}
	routes := func(site *app.Site) {
		site.GET("/json", answer(func(*views.Request) views.Response { return views.JSON{Value: strings.Repeat("x", large)} }))
		site.GET("/text", answer(func(*views.Request) views.Response { return views.Text{Body: strings.Repeat("x", large)} }))
		site.GET("/template", answer(func(r *views.Request) views.Response {
			return views.Template{Name: "lazy.html", Data: lazy{r.Context()}}
		}))
		site.GET("/file", answer(func(*views.Request) views.Response {
			return views.File{FS: os.DirFS(folder), Name: "large.bin"}
		}))
		site.GET("/echo", echov4.View(func(c echo.Context) error {
			if err := touch(c.Request().Context()); err != nil {
				return err
			}
			return c.String(http.StatusOK, strings.Repeat("x", large))
		}))
		site.GET("/stream", answer(func(*views.Request) views.Response {
			return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
				chunk := bytes.Repeat([]byte("x"), 32<<10)
				for range large / len(chunk) {
					if !yield(chunk, nil) {
						return
					}
				}
			}}
		}))
	}
	raw := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := touch(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, strings.Repeat("x", large))
	})
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		for _, path := range []string{"/json", "/text", "/template", "/file", "/echo", "/stream"} {
			t.Run(strings.TrimPrefix(path, "/"), func(t *testing.T) {
				t.Parallel()
				s := play(t, withDatabase(settings), app.Options{Routes: routes, Templates: page}).over("HTTP/1.1")
				conn, r := slowGet(t, s, path)
				samples(t, s, r, noneHeld(t))
				_ = conn.Close()
				s.finished.Wait(1)
				s.atHome(t)
			})
		}
		t.Run("a raw handler under Wrap", func(t *testing.T) {
			t.Parallel()
			s := play(t, withDatabase(settings), app.Options{}, func(site *app.Site) http.Handler { return site.Wrap(raw) }).over("HTTP/1.1")
			conn, r := slowGet(t, s, "/")
			samples(t, s, r, noneHeld(t))
			_ = conn.Close()
			s.finished.Wait(1)
			s.atHome(t)
		})
		t.Run("an error page that queries", func(t *testing.T) {
			t.Parallel()
			s := play(t, withDatabase(settings), app.Options{Routes: func(site *app.Site) {
				site.GET("/", func(r *views.Request) (views.Response, error) {
					return nil, fmt.Errorf("no: %w", query(r))
				})
			}, Templates: fstest.MapFS{"500.html": {Data: []byte(strings.Repeat("x", large))}}, Middleware: []func(http.Handler) http.Handler{
				func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						next.ServeHTTP(queriesFirst{w, r}, r)
					})
				},
			}}).over("HTTP/1.1")
			conn, r := slowGet(t, s, "/")
			samples(t, s, r, noneHeld(t))
			_ = conn.Close()
			s.finished.Wait(1)
			s.atHome(t)
		})
	})
}

// queriesFirst queries before the first byte of whatever is answered, an error
// page too: the latest moment at which a request can take a connection again.
type queriesFirst struct {
	http.ResponseWriter
	r *http.Request
}

func (w queriesFirst) WriteHeader(status int) {
	if err := touch(w.r.Context()); err != nil {
		panic(err)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w queriesFirst) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// touch makes a handler take a connection.
func touch(ctx context.Context) error {
	var n int
	return db.From(ctx).NewRaw("SELECT 1").Scan(ctx, &n)
}

// TestARawLoopOverRowsIsNamedAndLogged: the one way left to wait for a client with
// a connection is a handler of somebody else that prints while it reads.
func TestARawLoopOverRowsIsNamedAndLogged(t *testing.T) {
	t.Parallel()
	loop := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rows, err := db.From(r.Context()).QueryContext(r.Context(), "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer rows.Close()
		for rows.Next() {
			_, _ = io.WriteString(w, strings.Repeat("x", large))
		}
	})
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		s := play(t, withDatabase(settings), app.Options{}, func(site *app.Site) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("GET /loop", loop)
			return site.Wrap(mux)
		}).over("HTTP/1.1")
		conn, r := slowGet(t, s, "/loop")
		samples(t, s, r, func(holders []db.Holder, inUse int) {
			if len(holders) != 1 || inUse != 1 {
				t.Fatalf("%d in use by %v, want the loop alone", inUse, holders)
			}
			h := holders[0]
			if !strings.Contains(h.Name, "/loop") || !h.Streaming || !h.Open || !strings.Contains(h.At, "release_test.go:") {
				t.Errorf("the holder is %+v, want the loop by its name, with open rows, and where it took them", h)
			}
		})
		if n := s.Site.Stats().HeldResponses; n != 1 {
			t.Errorf("%d responses are counted as holding, want 1", n)
		}
		if log := s.journal.String(); !strings.Contains(log, "release_test.go:") || !strings.Contains(log, "/loop") {
			t.Errorf("the log does not name the loop and its place:\n%s", log)
		}
		_ = conn.Close()
		s.finished.Wait(1)
		s.atHome(t)
	})
}

// TestAnUploadIsNotWaitedForWithAConnection sends 64 MiB to a view that has queried
// before it reads.
func TestAnUploadIsNotWaitedForWithAConnection(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		held := make(chan string, 1)
		all := withDatabase(settings)
		all.MaxBody = 2 * size
		s := play(t, all, app.Options{Routes: func(site *app.Site) {
			site.POST("/upload", func(r *views.Request) (views.Response, error) {
				if err := query(r); err != nil {
					return nil, err
				}
				for _, h := range site.Connections().Holders() {
					held <- h.Name
				}
				n, err := io.Copy(io.Discard, r.Body)
				if err != nil {
					return nil, err
				}
				if err := query(r); err != nil { // it leases again
					return nil, err
				}
				return views.Text{Body: fmt.Sprint(n)}, nil
			})
		}}).over("HTTP/1.1")
		conn, r := slowly(t, s, fmt.Sprintf("POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", size))
		if name := <-held; name != "POST /upload" {
			t.Errorf("the view's query is held by %q, want its route", name)
		}
		mib := make([]byte, 1<<20)
		for sent := 0; sent < size; sent += len(mib) {
			if _, err := conn.Write(mib); err != nil {
				t.Fatal(err)
			}
			// What was written has mostly been read: the view waits for the next.
			if holders := s.Connections().Holders(); sent > 8<<20 && len(holders) > 0 {
				t.Fatalf("after %d bytes the upload is waited for by %v", sent, holders)
			}
		}
		response, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if body, err := io.ReadAll(response.Body); err != nil || string(body) != fmt.Sprint(size) {
			t.Errorf("the answer is %q, %v, want %d", body, err, size)
		}
		s.finished.Wait(1)
		s.atHome(t)
	})
}

// TestCloseOldConnectionsBeforeAStream is the question that started it, as code: the
// view closes its old connections and returns a stream.
func TestCloseOldConnectionsBeforeAStream(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		for name, age := range map[string]time.Duration{"age 0": 0, "age 60": time.Minute, "age null": db.Forever} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				own := settings
				own.ConnMaxAge = age
				var site *app.Site
				inUse := make(chan int, 3)
				s := play(t, withDatabase(own), app.Options{Routes: func(made *app.Site) {
					site = made
					made.GET("/", func(r *views.Request) (views.Response, error) {
						ctx := r.Context()
						if err := query(r); err != nil {
							return nil, err
						}
						inUse <- site.Connections().Stats("default").InUse
						if err := db.CloseOldConnections(ctx); err != nil {
							return nil, err
						}
						inUse <- site.Connections().Stats("default").InUse
						return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
							inUse <- site.Connections().Stats("default").InUse
							yield([]byte("done"), nil)
						}}, nil
					})
				}}).over("HTTP/1.1")
				released := signalsReleased(t, s)
				status, body, err := s.fetch(t, http.MethodGet, "/", nil)
				if err != nil || status != http.StatusOK || body != "done" {
					t.Fatalf("%d %q, %v", status, body, err)
				}
				if before, after, stream := <-inUse, <-inUse, <-inUse; before != 1 || after != 0 || stream != 0 {
					t.Errorf("in use: %d after the query, %d after the boundary, %d in the generator; want 1, 0, 0", before, after, stream)
				}
				s.finished.Wait(1)
				if events := released(); len(events) != 1 || events[0].Reason != "boundary" {
					t.Errorf("released: %+v, want once, at the boundary", events)
				}
			})
		}
	})
}

func signalsReleased(t *testing.T, s *stage) func() []signals.ConnectionReleased {
	t.Helper()
	events := make(chan signals.ConnectionReleased, 16)
	disconnect := s.Bus().ConnectionReleased.Connect(func(_ context.Context, e signals.ConnectionReleased) error {
		events <- e
		return nil
	})
	t.Cleanup(func() { disconnect() })
	return func() []signals.ConnectionReleased {
		var all []signals.ConnectionReleased
		for {
			select {
			case e := <-events:
				all = append(all, e)
			default:
				return all
			}
		}
	}
}

// TestYieldWithRowsOpenIsRefused names both places and the way out.
func TestYieldWithRowsOpenIsRefused(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		s := play(t, withDatabase(settings), app.Options{Routes: func(site *app.Site) {
			site.GET("/", func(r *views.Request) (views.Response, error) {
				ctx := r.Context()
				return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
					rows, err := db.From(ctx).QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
					if err != nil {
						yield(nil, err)
						return
					}
					defer rows.Close()
					for rows.Next() {
						if !yield([]byte("x"), nil) {
							return
						}
					}
				}}, nil
			})
		}}).over("HTTP/1.1")
		status, _, err := s.fetch(t, http.MethodGet, "/", nil)
		if err != nil || status != http.StatusInternalServerError {
			t.Errorf("the answer is %d, %v; nothing was sent, so it is a 500", status, err)
		}
		failure := s.failed.Wait(1)[0].Err
		held, ok := failure.(*db.HeldError) //nolint:errorlint // looked at whole
		if !ok {
			t.Fatalf("the stream failed with %v, want ErrHeldAcrossYield", failure)
		}
		if !strings.Contains(held.Opened, "release_test.go:") || !strings.Contains(held.Yielded, "release_test.go:") || held.Opened == held.Yielded {
			t.Errorf("it names %q and %q, want both places", held.Opened, held.Yielded)
		}
		if !strings.Contains(held.Error(), "db.Iterate") {
			t.Errorf("%q does not name the way out", held)
		}
		s.finished.Wait(1)
		s.atHome(t)
	})
}
