package app_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// end is one way in which a stream ends: what its source does, what its client does,
// and what the site says about it.
type end struct {
	name    string
	source  source
	ignores bool // the generator does not care what yield returns
	act     func(t *testing.T, s *stage, atOnce bool)
	is      error // what RequestFinished says; nil is a whole answer
	says    string
	failed  int
	aged    bool // MaxAge is short
}

func untilEnded(ctx context.Context) error { <-ctx.Done(); return nil }

func ends() []end {
	const some = 2000
	failing := func(context.Context) error { return errScene }
	return []end{
		{name: "read to the end", source: source{lines: some}, act: reads(http.MethodGet, some)},
		{name: "an empty source", source: source{lines: 0}, act: reads(http.MethodGet, 0)},
		{name: "a slow reader", source: source{lines: some}, act: readsSlowly(some)},
		{name: "a POST with an unread body", source: source{lines: some}, act: reads(http.MethodPost, some)},
		{name: "HEAD", source: source{lines: -1}, act: reads(http.MethodHead, 0)},
		{name: "a reader that leaves a silent source", source: source{lines: 3, end: untilEnded}, act: goesAway, is: views.ErrClientGone},
		{name: "a reader that leaves a busy source", source: source{lines: -1}, act: goesAway, is: views.ErrClientGone},
		{name: "a dead reader", source: source{lines: -1}, act: isDead, is: views.ErrClientGone},
		{name: "a reader that leaves a generator that ignores it", source: source{lines: -1}, ignores: true, act: goesAway, says: "continued iteration", failed: 1},
		{name: "an error at once", source: source{lines: 0, end: failing}, act: failsAtOnce, is: errScene, failed: 1},
		{name: "an error in the middle", source: source{lines: some, end: failing}, act: isBroken(some), is: errScene, failed: 1},
		{name: "a panic in the middle", source: source{lines: some, end: func(context.Context) error { panic(errScene) }}, act: isBroken(some), is: errScene, failed: 1},
		{name: "its age, and it hears of it", source: source{lines: 3, end: untilEnded}, act: reads(http.MethodGet, 3), aged: true},
		{name: "its age, and it does not hear", source: source{lines: -1}, act: isBroken(1), is: views.ErrMaxAge, aged: true},
	}
}

// TestStreams_EndInOrder is each shape in each of its ends: one RequestFinished, no
// connection held, no goroutine left.
func TestStreams_EndInOrder(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		for _, shape := range shapes() {
			if database.Engine == "postgres" && shape.name != "bytes" && shape.name != "Events" {
				continue // the engine does not know the shapes, and two of them show it
			}
			for _, end := range ends() {
				t.Run(shape.name+", "+end.name, func(t *testing.T) {
					t.Parallel()
					labelled(t, func() { endsInOrder(t, database, shape, end) })
				})
			}
		}
	})
}

func endsInOrder(t *testing.T, database db.Settings, shape shape, end end) {
	settings := withDatabase(database)
	settings.StreamWriteTimeout = time.Minute
	if end.name == "a dead reader" {
		settings.StreamWriteTimeout = 200 * time.Millisecond
	}
	if end.aged {
		settings.StreamMaxAge = 300 * time.Millisecond
	}
	closed := 0
	view := func(r *views.Request) (views.Response, error) {
		response := shape.stream(r.Context(), end.source)
		response.Close = func() { closed++ }
		if end.ignores {
			inner := response.Body
			response.Body = func(yield func([]byte, error) bool) {
				inner(func(chunk []byte, err error) bool { yield(chunk, err); return true })
			}
		}
		return response, query(r) // a connection to give back
	}
	s := play(t, settings, app.Options{Routes: func(s *app.Site) { s.GET("/", view); s.POST("/", view) }}).narrow(t).over("HTTP/1.1")
	end.act(t, s, shape.atOnce)
	event := s.finished.Wait(1)[0]
	s.server.Close()
	if events := s.finished.Events(); len(events) != 1 {
		t.Errorf("RequestFinished was sent %d times", len(events))
	}
	if end.says != "" {
		if event.Err == nil || !strings.Contains(event.Err.Error(), end.says) {
			t.Errorf("it ended with %v, want %q", event.Err, end.says)
		}
	} else if !errors.Is(event.Err, end.is) {
		t.Errorf("it ended with %v, want %v", event.Err, end.is)
	}
	wantFailed(t, s, end.failed)
	if closed != 1 {
		t.Errorf("Close ran %d times", closed)
	}
	if stats := s.Stats(); stats.Streams != 0 || stats.Requests != 0 {
		t.Errorf("it is still counted: %+v", stats)
	}
	s.atHome(t)
	s.isClosed(t)
}

// isClosed ends the site, so that no goroutine of it has a reason to be left.
func (s *stage) isClosed(t *testing.T) {
	t.Helper()
	s.server.Close()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func wantFailed(t *testing.T, s *stage, n int) {
	t.Helper()
	if events := s.failed.Events(); len(events) != n {
		t.Errorf("RequestFailed was sent %d times, want %d: %v", len(events), n, events)
	}
}

// labelled runs a test in goroutines with a label, and waits until none of them is
// left but this one.
func labelled(t *testing.T, test func()) {
	t.Helper()
	name := t.Name()
	pprof.Do(t.Context(), pprof.Labels("end", name), func(context.Context) { test() })
	deadline := time.Now().Add(20 * time.Second)
	for {
		var all strings.Builder
		if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
			t.Fatal(err)
		}
		var left []string
		for record := range strings.SplitSeq(all.String(), "\n\n") {
			if strings.Contains(record, `"end":`) && strings.Contains(record, name+`"`) {
				left = append(left, record)
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("goroutines are left:\n%s", strings.Join(left, "\n\n"))
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

func send(t *testing.T, s *stage, method string, body io.Reader) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.server.URL+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func reads(method string, n int) func(*testing.T, *stage, bool) {
	return func(t *testing.T, s *stage, _ bool) {
		t.Helper()
		var body io.Reader
		if method == http.MethodPost {
			body = strings.NewReader(strings.Repeat("unread", 10_000))
		}
		response := send(t, s, method, body)
		got, err := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusOK || err != nil || wholeLines(string(got)) != n {
			t.Errorf("%d with %d lines, %v, want %d", response.StatusCode, wholeLines(string(got)), err, n)
		}
	}
}

func readsSlowly(n int) func(*testing.T, *stage, bool) {
	return func(t *testing.T, s *stage, _ bool) {
		t.Helper()
		_, r := slowGet(t, s, "/")
		response, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\n"), r)), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		var got strings.Builder
		for part := make([]byte, 1<<10); err == nil; {
			var n int
			n, err = response.Body.Read(part)
			got.Write(part[:n])
		}
		if !errors.Is(err, io.EOF) || wholeLines(got.String()) != n {
			t.Errorf("%d lines, %v", wholeLines(got.String()), err)
		}
	}
}

func goesAway(t *testing.T, s *stage, _ bool) {
	t.Helper()
	response := send(t, s, http.MethodGet, nil)
	if _, err := io.ReadFull(response.Body, make([]byte, 2)); err != nil {
		t.Errorf("nothing came: %v", err)
	}
	_ = response.Body.Close()
}

// isDead has its kernel take what it takes, and no more.
func isDead(t *testing.T, s *stage, _ bool) {
	t.Helper()
	slowGet(t, s, "/")
	s.finished.Wait(1)
}

func failsAtOnce(t *testing.T, s *stage, atOnce bool) {
	t.Helper()
	response := send(t, s, http.MethodGet, nil)
	body, err := io.ReadAll(response.Body)
	if atOnce && (response.StatusCode != http.StatusOK || err == nil) || !atOnce && (response.StatusCode != http.StatusInternalServerError || err != nil) {
		t.Errorf("%d %q, %v", response.StatusCode, body, err)
	}
}

func isBroken(atLeast int) func(*testing.T, *stage, bool) {
	return func(t *testing.T, s *stage, _ bool) {
		t.Helper()
		response := send(t, s, http.MethodGet, nil)
		body, err := io.ReadAll(response.Body)
		if n := wholeLines(string(body)); response.StatusCode != http.StatusOK || err == nil || n < atLeast {
			t.Errorf("%d with %d lines, %v, want at least %d and a broken end", response.StatusCode, n, err, atLeast)
		}
	}
}

// What a generator yields that is no ordinary chunk.
func TestStreams_StrangeChunksEndInOrder(t *testing.T) {
	t.Parallel()
	huge := make([]byte, 64<<20)
	for name, c := range map[string]struct {
		chunks [][]byte
		size   int
	}{
		"0 bytes":            {[][]byte{{}, nil, {}}, 0},
		"0 bytes in between": {[][]byte{{}, []byte("a"), nil, []byte("b"), {}}, 2},
		"64 MiB":             {[][]byte{[]byte("a"), huge, []byte("b")}, len(huge) + 2},
	} {
		for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
			t.Run(name+", "+proto, func(t *testing.T) {
				t.Parallel()
				labelled(t, func() {
					s := play(t, anyHost(), app.Options{Routes: oneRoute(func(*views.Request) (views.Response, error) {
						return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
							for _, chunk := range c.chunks {
								if !yield(chunk, nil) {
									t.Error("refused")
								}
							}
						}}, nil
					})}).over(proto)
					n, err := io.Copy(io.Discard, send(t, s, http.MethodGet, nil).Body)
					if err != nil || int(n) != c.size {
						t.Errorf("%d bytes, %v, want %d", n, err, c.size)
					}
					if event := s.finished.Wait(1)[0]; event.Err != nil || event.Bytes != int64(c.size) {
						t.Errorf("RequestFinished says %d bytes, %v", event.Bytes, event.Err)
					}
					s.isClosed(t)
				})
			})
		}
	}
}

func TestFiles_EndInOrder(t *testing.T) {
	t.Parallel()
	files := largeFiles(t)
	ranges := func(value string) func(*http.Request) { return func(r *http.Request) { r.Header.Set("Range", value) } }
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		for kind, folder := range files {
			for name, c := range map[string]struct {
				method string
				ask    func(*http.Request)
				status int
				act    func(t *testing.T, s *stage, atOnce bool)
				is     error
			}{
				"read to the end":      {status: 200},
				"HEAD":                 {method: http.MethodHead, status: 200},
				"a range":              {ask: ranges("bytes=10-19"), status: 206},
				"several ranges":       {ask: ranges("bytes=0-9,-10"), status: 206},
				"no such range":        {ask: ranges("bytes=99999999-"), status: 416},
				"not modified":         {ask: func(r *http.Request) { r.Header.Set("If-None-Match", `"1"`) }, status: 304},
				"a condition fails":    {ask: func(r *http.Request) { r.Header.Set("If-Match", `"2"`) }, status: 412},
				"a reader that leaves": {act: goesAway, is: views.ErrClientGone},
				"a dead reader":        {act: isDead, is: views.ErrClientGone},
			} {
				t.Run(kind+", "+name, func(t *testing.T) {
					t.Parallel()
					labelled(t, func() {
						settings := withDatabase(database)
						settings.StreamWriteTimeout = 200 * time.Millisecond
						s := play(t, settings, app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
							return views.File{FS: folder, Name: "lines.txt", Header: http.Header{"Etag": {`"1"`}}}, query(r)
						})}).narrow(t).over("HTTP/1.1")
						if c.act != nil {
							c.act(t, s, false)
						} else {
							request, err := http.NewRequestWithContext(t.Context(), c.method, s.server.URL+"/", nil)
							if err != nil {
								t.Fatal(err)
							}
							if c.ask != nil {
								c.ask(request)
							}
							response, err := s.server.Client().Do(request)
							if err != nil {
								t.Fatal(err)
							}
							defer func() { _ = response.Body.Close() }()
							want := c.status
							if kind == "that cannot seek" { // it gives all it has
								want = 200
							}
							if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != want {
								t.Errorf("%d, %v, want %d", response.StatusCode, err, want)
							}
						}
						event := s.finished.Wait(1)[0]
						s.server.Close()
						if !errors.Is(event.Err, c.is) || len(s.finished.Events()) != 1 {
							t.Errorf("it ended %d times, with %v", len(s.finished.Events()), event.Err)
						}
						wantFailed(t, s, 0)
						s.atHome(t)
						s.isClosed(t)
					})
				})
			}
		}
	})
}
