package app

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// writer is what every handler of a request writes to, and the release point: no
// byte goes to the client before the connections that nothing is open on have
// gone home. It has no Unwrap, because that would be a way around it.
type writer struct {
	http.ResponseWriter
	request  *request
	status   int
	bytes    int64
	hijacked bool
	started  atomic.Bool // the status was handed to net/http
	aborted  atomic.Bool

	// A handler that middleware has given up waiting for may still abort: by then
	// the connection can be another request's.
	mu   sync.Mutex // guards the rest, and the connection in abort
	over bool
}

var (
	_ http.Flusher    = (*writer)(nil)
	_ http.Hijacker   = (*writer)(nil)
	_ io.ReaderFrom   = (*writer)(nil)
	_ io.StringWriter = (*writer)(nil)
)

// errAborted is what writing to a broken response gives.
var errAborted = errors.New("app: the response was broken off")

func isInformational(status int) bool {
	return status >= 100 && status < 200 && status != http.StatusSwitchingProtocols
}

// begin releases, before the first byte.
func (w *writer) begin() {
	if !w.started.Load() {
		w.open()
		w.start(http.StatusOK)
	}
}

// open is what comes before the headers. While the site drains they tell the client
// that its connection closes, so that it sends nothing more on it.
func (w *writer) open() {
	w.request.release()
	if w.request.site.requests.draining.Load() && w.Header().Get("Connection") == "" {
		w.Header().Set("Connection", "close")
	}
}

func (w *writer) start(status int) {
	if !w.started.Load() {
		w.status = status
		w.started.Store(true)
		if record := w.request.recording.Record; record != nil {
			record.Responds(status)
		}
		w.request.responds(status)
	}
}

func (w *writer) WriteHeader(status int) {
	if w.aborted.Load() {
		return
	}
	if isInformational(status) {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	if !w.started.Load() {
		w.open()
	}
	w.ResponseWriter.WriteHeader(status) // panics for what is no status: nothing has begun then
	w.start(status)
}

func (w *writer) Write(p []byte) (int, error) {
	if w.aborted.Load() {
		return 0, errAborted
	}
	w.begin()
	n, err := w.ResponseWriter.Write(p)
	w.wrote(int64(n))
	return n, err
}

func (w *writer) WriteString(s string) (int, error) {
	if w.aborted.Load() {
		return 0, errAborted
	}
	w.begin()
	n, err := io.WriteString(w.ResponseWriter, s)
	w.wrote(int64(n))
	return n, err
}

// ReadFrom leaves it to net/http to have the kernel send a file.
func (w *writer) ReadFrom(from io.Reader) (int64, error) {
	if w.aborted.Load() {
		return 0, errAborted
	}
	w.begin()
	n, err := io.Copy(w.ResponseWriter, from)
	w.wrote(n)
	return n, err
}

func (w *writer) wrote(n int64) {
	w.bytes += n
	if record := w.request.recording.Record; record != nil {
		record.Wrote(n)
	}
}

func (w *writer) controller() *http.ResponseController {
	return http.NewResponseController(w.ResponseWriter)
}

func (w *writer) Flush() { _ = w.FlushError() } // http.Flusher has no error

func (w *writer) FlushError() error {
	if w.aborted.Load() {
		return errAborted
	}
	w.open()
	err := w.controller().Flush()
	if !errors.Is(err, errors.ErrUnsupported) {
		w.start(http.StatusOK)
	}
	return err
}

func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.aborted.Load() {
		return nil, nil, errAborted
	}
	w.request.release()
	conn, buffered, err := w.controller().Hijack()
	if err == nil {
		w.hijacked = true
		w.start(0)
	}
	return conn, buffered, err
}

func (w *writer) SetReadDeadline(t time.Time) error { return w.controller().SetReadDeadline(t) }

func (w *writer) SetWriteDeadline(t time.Time) error {
	if w.aborted.Load() {
		return errAborted
	}
	return w.controller().SetWriteDeadline(t)
}

func (w *writer) EnableFullDuplex() error { return w.controller().EnableFullDuplex() }

// abort breaks the connection of a response: nothing more can be written, not
// even the end of the body that net/http adds when a handler outside of the site
// recovers the panic that follows. A writer without deadlines has the panic only.
func (w *writer) abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || w.hijacked || w.aborted.Swap(true) {
		return
	}
	_ = w.controller().SetWriteDeadline(time.Unix(1, 0)) // unsupported: the panic has to do
}

// end takes the connection away from whoever still has the writer.
func (w *writer) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
}
