package apptest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
)

// Stream is an answer whose body is read while the site makes it. A site that is more
// than 64 KiB ahead waits for the reader. Of the [Response], StatusCode and Header
// are known at once, ReleasedBeforeBody with the first chunk, the rest at the end:
// after io.EOF or Close.
//
// A stream belongs to one goroutine.
type Stream struct {
	*Response

	client *Client
	hops   []*hop
	leave  context.CancelFunc
	place  string
	err    error // that ends it
	over   bool
}

// Stream sends a request, a GET unless [Method] says otherwise, and returns when the
// headers are there. The test fails when the stream is neither read to its end
// nor closed.
func (c *Client) Stream(target string, options ...RequestOption) *Stream {
	c.site.t.Helper()
	s := c.do(c.request(http.MethodGet, target), options)
	s.place = place()
	return s
}

// Next returns the next chunk, in one piece as the site has flushed it. At the end
// it returns io.EOF; when the site has broken the stream off, its error.
func (s *Stream) Next() ([]byte, error) {
	if s.over {
		return nil, s.err
	}
	if s.err == nil {
		var chunk []byte
		if chunk, s.err = s.read(); len(chunk) > 0 {
			s.add(chunk)
			s.last().tell(s.Response)
			return chunk, nil
		}
	}
	s.end()
	return nil, s.err
}

// read reads a chunk, or what there is of it before an error.
func (s *Stream) read() (chunk []byte, err error) {
	x, start := s.last(), len(s.Content)
	for {
		n, whole, over, err := x.next(s.Request.Context(), start, len(chunk))
		if err != nil || whole && n == 0 {
			return chunk, err
		}
		if over {
			n = max(n, 1) // nothing is left but how it ends
		}
		piece := make([]byte, n)
		n, err = s.Body.Read(piece)
		chunk = append(chunk, piece[:n]...)
		if err != nil {
			return chunk, err
		}
	}
}

// Chunks reads the stream to its end: an error, if there is one, comes last.
func (s *Stream) Chunks() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for {
			chunk, err := s.Next()
			if err == io.EOF || !yield(chunk, err) || err != nil { //nolint:errorlint // Next returns it so
				return
			}
		}
	}
}

// Close leaves: the site's client is gone when the stream has not ended. It returns
// when the site has let go of the request, and may be called twice.
func (s *Stream) Close() {
	s.client.site.t.Helper()
	if s.over {
		return
	}
	s.err = errClosed
	s.leave()
	s.end()
}

var errClosed = errors.New("apptest: the stream is closed")

// finish reads the stream to its end.
func (s *Stream) finish() {
	s.client.site.t.Helper()
	for !s.over {
		if _, err := s.Next(); err != nil {
			break
		}
	}
	s.reread()
}

func (s *Stream) last() *exchange { return s.hops[len(s.hops)-1].exchange }

// end ends the stream with s.err, when the site has let go of it.
func (s *Stream) end() {
	t := s.client.site.t
	t.Helper()
	s.over = true
	if s.err != io.EOF && s.err != errClosed { //nolint:errorlint // Read returns it so, and the other is ours
		s.Broken = s.err
	}
	for _, hop := range s.hops {
		select {
		case <-hop.done:
		case <-s.client.site.patience.Done():
			t.Errorf("apptest: %s %s was answered and does not end: %v%s",
				s.Request.Method, s.Request.URL.RequestURI(), context.Cause(s.client.site.patience), s.client.site.holders())
		}
	}
	s.leave()
	if s.Body != nil {
		_ = s.Body.Close() // what is wrong with it has been read
	}
	for _, hop := range s.hops {
		hop.transport.CloseIdleConnections()
	}
	s.last().tell(s.Response)
	s.client.site.closed(s)
}

func (s *Stream) String() string {
	return fmt.Sprintf("the stream %s %s, opened at %s", s.Request.Method, s.Request.URL.RequestURI(), s.place)
}
