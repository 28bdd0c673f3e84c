package app_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

func zipped(routes func(*app.Site)) app.Options {
	return app.Options{Middleware: []func(http.Handler) http.Handler{app.GZip}, Routes: routes}
}

var acceptGZip = header("Accept-Encoding", "br, gzip;q=0.5")

// unzip returns the body as its client understands it, and whether it was compressed.
func unzip(t *testing.T, w *httptest.ResponseRecorder) (body string, compressed bool) {
	t.Helper()
	if w.Header().Get("Content-Encoding") != "gzip" {
		return w.Body.String(), false
	}
	r, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain), true
}

// As Django's GZipMiddlewareTest, tests/middleware/tests.py, and what Django does not
// ask: types, ranges, no-transform.
func TestGZip_CompressesWhatIsWorthIt(t *testing.T) {
	t.Parallel()
	long, short := strings.Repeat("long ", 100), "short"
	said := func(contentType, body string, more ...string) views.View {
		return func(*views.Request) (views.Response, error) {
			return respond(func(w http.ResponseWriter, _ *views.Request) error {
				if contentType != "" {
					w.Header().Set("Content-Type", contentType)
				}
				for i := 0; i < len(more); i += 2 {
					w.Header().Set(more[i], more[i+1])
				}
				for rest := body; rest != ""; {
					n := min(len(rest), 70)
					if _, err := io.WriteString(w, rest[:n]); err != nil {
						return err
					}
					rest = rest[n:]
				}
				return nil
			}), nil
		}
	}
	chunks := func(contentType string, all ...string) views.View {
		return func(*views.Request) (views.Response, error) {
			return views.StreamingResponse{ContentType: contentType, Body: views.Chunks(func(yield func(string) bool) {
				for _, one := range all {
					if !yield(one) {
						return
					}
				}
			})}, nil
		}
	}
	for _, test := range []struct {
		name       string
		view       views.View
		body       string
		change     func(*http.Request)
		compressed bool
		vary       string
	}{
		{"text", text(long), long, acceptGZip, true, "Accept-Encoding"},
		{"a client that does not say so", text(long), long, header(), false, "Accept-Encoding"},
		{"a client that refuses", text(long), long, header("Accept-Encoding", "gzip;q=0, *"), false, "Accept-Encoding"},
		{"a client that takes anything", text(long), long, header("Accept-Encoding", "*"), true, "Accept-Encoding"},
		{"a short text", text(short), short, acceptGZip, false, ""},
		{"JSON", func(*views.Request) (views.Response, error) { return views.JSON{Value: long}, nil }, `"` + long + `"`, acceptGZip, true, "Accept-Encoding"},
		{"pieces", said("application/problem+json", long), long, acceptGZip, true, "Accept-Encoding"},
		{"pieces that are short together", said("text/css", short), short, acceptGZip, false, "Accept-Encoding"},
		{"no type, but text", said("", long), long, acceptGZip, true, "Accept-Encoding"},
		{"no type, and no text", said("", "\x89PNG\r\n\x1a\n"+long), "\x89PNG\r\n\x1a\n" + long, acceptGZip, false, ""},
		{"an image", said("image/png", long), long, acceptGZip, false, ""},
		{"an unknown type", said("application/x-mine", long), long, acceptGZip, false, ""},
		{"no type that can be read", said("text/", long), long, acceptGZip, false, ""},
		{"compressed already", said("text/css", long, "Content-Encoding", "br"), long, acceptGZip, false, ""},
		{"no-transform", said("text/css", long, "Cache-Control", "public, No-Transform"), long, acceptGZip, false, ""},
		{"varies already", said("text/css", long, "Vary", "Cookie, accept-encoding"), long, acceptGZip, true, "Cookie, accept-encoding"},
		{"varies by something else", said("text/css", long, "Vary", "Cookie"), long, acceptGZip, true, "Cookie|Accept-Encoding"},
		{"a stream", chunks("text/csv", short, long, short), short + long + short, acceptGZip, true, "Accept-Encoding"},
		{"a short stream", chunks("text/csv", "a", "b"), "ab", acceptGZip, true, "Accept-Encoding"},
		{"an empty stream", chunks("text/csv"), "", acceptGZip, true, "Accept-Encoding"},
		{"a large stream", chunks("text/csv", strings.Repeat(long, 1000), long), strings.Repeat(long, 1001), acceptGZip, true, "Accept-Encoding"},
		{"events", chunks("text/event-stream", "data: "+long+"\n\n"), "data: " + long + "\n\n", acceptGZip, false, ""},
		{"an archive", chunks("application/zip", long), long, acceptGZip, false, ""},
	} {
		w := get(newSite(t, anyHost(), zipped(oneRoute(test.view))), "/", test.change)
		body, compressed := unzip(t, w)
		if w.Code != 200 || body != test.body || compressed != test.compressed {
			t.Errorf("%s: %d, compressed %v, %d bytes", test.name, w.Code, compressed, len(body))
		}
		if vary := strings.Join(w.Header().Values("Vary"), "|"); vary != test.vary {
			t.Errorf("%s: Vary is %q", test.name, vary)
		}
		if length := w.Header().Get("Content-Length"); compressed && length != "" {
			t.Errorf("%s: Content-Length is %s", test.name, length)
		}
	}
}

func TestGZip_LeavesHeadAlone(t *testing.T) {
	t.Parallel()
	site := newSite(t, anyHost(), zipped(oneRoute(text(strings.Repeat("long ", 100)))))
	w := ask(site, http.MethodHead, "/", nil, acceptGZip)
	if w.Code != 200 || w.Header().Get("Content-Encoding") != "" || w.Header().Get("Content-Length") != "500" || w.Header().Get("Vary") != "Accept-Encoding" || w.Body.Len() > 0 {
		t.Errorf("HEAD is answered with %d %v", w.Code, w.Header())
	}
}

// A compressed answer is the same in other bytes: its tag is weak, a cache may ask
// again with it, and nobody resumes it in the middle.
func TestGZip_TagsAndRanges(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("content ", 100)
	files := fstest.MapFS{"a.txt": {Data: []byte(content)}}
	site := newSite(t, anyHost(), zipped(func(s *app.Site) {
		s.GET("/", func(*views.Request) (views.Response, error) {
			return views.File{FS: files, Name: "a.txt", Header: http.Header{"Etag": {`"tag"`}}}, nil
		})
	}))
	w := get(site, "/", acceptGZip)
	body, compressed := unzip(t, w)
	if body != content || !compressed || w.Header().Get("Etag") != `W/"tag"` || w.Header().Get("Accept-Ranges") != "" {
		t.Errorf("it is answered with %d %v", w.Code, w.Header())
	}
	if w = get(site, "/"); w.Header().Get("Etag") != `"tag"` || w.Header().Get("Accept-Ranges") != "bytes" || w.Body.String() != content {
		t.Errorf("without compression it is answered with %d %v", w.Code, w.Header())
	}
	if w = get(site, "/", acceptGZip, header("If-None-Match", `W/"tag"`)); w.Code != 304 || w.Header().Get("Etag") != `W/"tag"` || w.Header().Get("Vary") != "Accept-Encoding" {
		t.Errorf("who has it compressed is answered with %d %v", w.Code, w.Header())
	}
	if w = get(site, "/", acceptGZip, header("If-None-Match", `"tag"`)); w.Code != 304 || w.Header().Get("Etag") != `"tag"` {
		t.Errorf("who has it is answered with %d %v", w.Code, w.Header())
	}
	if w = get(site, "/", acceptGZip, header("Range", "bytes=8-15")); w.Code != 206 || w.Body.String() != "content " || w.Header().Get("Content-Encoding") != "" {
		t.Errorf("a range is answered with %d %v %q", w.Code, w.Header(), w.Body)
	}
	if w = get(site, "/", acceptGZip, header("Range", "bytes=8-15", "If-Range", `W/"tag"`)); w.Code != 200 {
		t.Errorf("a range of the compressed one is answered with %d", w.Code)
	}
}

// BREACH: the length of an answer tells less than it would.
func TestGZip_LengthsDiffer(t *testing.T) {
	t.Parallel()
	site := newSite(t, anyHost(), zipped(oneRoute(text(strings.Repeat("long ", 100)))))
	lengths := map[int]bool{}
	for range 100 { // as good as certain
		lengths[get(site, "/", acceptGZip).Body.Len()] = true
	}
	if len(lengths) < 10 {
		t.Errorf("a hundred answers have the lengths %v", lengths)
	}
}

// Each flush reaches the client through the compression, before the next chunk is made.
func TestGZip_AFlushReachesTheClient(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			next := make(chan string)
			s := play(t, anyHost(), zipped(func(s *app.Site) {
				s.GET("/stream", func(r *views.Request) (views.Response, error) {
					ctx := r.Context()
					return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
						for text := "first"; yield([]byte(text+"\n"), nil); {
							select {
							case text = <-next:
							case <-ctx.Done():
								return
							}
						}
					}}, nil
				})
			}), func(s *app.Site) http.Handler {
				mux := http.NewServeMux()
				mux.Handle("/stream", s)
				mux.Handle("/foreign", s.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					control := http.NewResponseController(w)
					w.Header().Set("Content-Type", "text/plain")
					for text := "first"; ; {
						_, _ = io.WriteString(w, text+"\n")
						if control.Flush() != nil {
							return
						}
						select {
						case text = <-next:
						case <-r.Context().Done():
							return
						}
					}
				})))
				return mux
			}).over(proto)
			for i, path := range []string{"/stream", "/foreign"} {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.server.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				response, err := s.server.Client().Do(request)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, path+" is compressed", response.Uncompressed, true)
				lines := bufio.NewReader(response.Body)
				want := "first"
				for n := range 20 {
					if line, err := lines.ReadString('\n'); line != want+"\n" || err != nil {
						t.Fatalf("%s says %q, %v, want %q", path, line, err, want)
					}
					want = "chunk " + strconv.Itoa(n)
					next <- want
				}
				if line, err := lines.ReadString('\n'); line != want+"\n" || err != nil {
					t.Fatalf("%s says %q, %v, want %q", path, line, err, want)
				}
				_ = response.Body.Close()
				s.finished.Wait(i + 1) // the client that has left was noticed: nobody else hears of next
			}
		})
	}
}

// What is broken off is broken for the client as well when it is compressed: there is no
// end that would make it look whole.
func TestGZip_AnAbortIsSeen(t *testing.T) {
	t.Parallel()
	half := strings.Repeat("half ", 100)
	views := map[string]views.View{
		"an error": stream(0, func(_ context.Context, yield func([]byte, error) bool) {
			yield([]byte(half), nil)
			yield(nil, errScene)
		}),
		"a panic": stream(0, func(_ context.Context, yield func([]byte, error) bool) {
			yield([]byte(half), nil)
			panic(errScene)
		}),
		"an error of a response": func(*views.Request) (views.Response, error) {
			return respond(func(w http.ResponseWriter, _ *views.Request) error {
				_, _ = io.WriteString(w, half)
				return errScene
			}), nil
		},
	}
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for name, view := range views {
			for order, middleware := range map[string][]func(http.Handler) http.Handler{
				"":                          {app.GZip},
				", recovered outside of it": {recovering, app.GZip},
				", recovered inside of it":  {app.GZip, recovering},
			} {
				t.Run(name+order+", "+proto, func(t *testing.T) {
					t.Parallel()
					s := play(t, anyHost(), app.Options{Middleware: middleware, Routes: oneRoute(view)}).over(proto)
					if status, body, err := s.fetch(t, "GET", "/", nil); err == nil {
						t.Errorf("the client got a whole answer: %d %q", status, body)
					}
					if event := s.finished.Wait(1)[0]; !errors.Is(event.Err, errScene) || len(s.failed.Events()) != 1 {
						t.Errorf("RequestFinished says %v", event.Err)
					}
				})
			}
		}
	}
}

// A failure before anything was sent is an ordinary error page.
func TestGZip_AFailureBeforeTheFirstByte(t *testing.T) {
	t.Parallel()
	s := play(t, anyHost(), zipped(oneRoute(func(*views.Request) (views.Response, error) {
		return respond(func(w http.ResponseWriter, _ *views.Request) error { return errScene }), nil
	}))).over("HTTP/1.1")
	if status, body, err := s.fetch(t, "GET", "/", nil); status != 500 || !strings.Contains(body, "500") || err != nil {
		t.Errorf("it is answered with %d %q, %v", status, body, err)
	}
}

// The connections of a request are home before its first byte leaves the server, with
// the compression in between.
func TestGZip_ConnectionsGoHomeBeforeTheFirstByte(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		long := strings.Repeat("long ", 100)
		var site *app.Site
		var inUse []int
		s := play(t, withDatabase(database), zipped(func(s *app.Site) {
			s.GET("/text", afterQuery(views.Text{Body: long}, nil))
			s.GET("/stream", stream(2, nil))
		}), func(s *app.Site) http.Handler {
			site = s
			mux := http.NewServeMux()
			mux.Handle("/", s)
			mux.Handle("/foreign", s.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := query(views.NewRequest(r, nil)); err != nil {
					t.Error(err)
				}
				w.Header().Set("Content-Type", "text/plain")
				_, _ = io.WriteString(w, long)
			})))
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mux.ServeHTTP(&firstByte{ResponseWriter: w, sent: func() {
					inUse = append(inUse, site.Connections().Stats("default").InUse)
				}}, r)
			})
		}).over("HTTP/1.1")
		for _, path := range []string{"/text", "/stream", "/foreign"} {
			if status, _, err := s.fetch(t, "GET", path, nil); status != 200 || err != nil {
				t.Errorf("%s: %d, %v", path, status, err)
			}
		}
		s.finished.Wait(3)
		equal(t, "connections in use at the first byte of each", inUse, []int{0, 0, 0})
	})
}

// firstByte tells when the headers are sent.
type firstByte struct {
	http.ResponseWriter
	sent func()
}

func (w *firstByte) WriteHeader(status int) {
	w.sent()
	w.ResponseWriter.WriteHeader(status)
}

func (w *firstByte) Unwrap() http.ResponseWriter { return w.ResponseWriter }
