package apptest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/signals"
)

// exchange is one request and what became of it, seen from outside: by a writer
// around the site, and by receivers of its signals.
type exchange struct {
	done chan struct{} // closed when the site has let go of the request

	mu        sync.Mutex // guards the rest
	inner     context.Context
	signals   []any
	templates []Template
	queries   []Query
	looked    bool // at what was held when the body began
	body      bool // has begun
	held      []db.Holder

	written int           // bytes of the body that the site has handed over
	cuts    []int         // where it flushed, in bytes, the oldest first
	ended   bool          // no more is written
	news    chan struct{} // closed by the next change; nil when nobody waits
}

func newExchange() *exchange { return &exchange{done: make(chan struct{})} }

// end is the end of the request.
func (x *exchange) end() {
	x.change(func() { x.ended = true })
	close(x.done)
}

// change changes the exchange and wakes who waits for news.
func (x *exchange) change(f func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f()
	if x.news != nil {
		close(x.news)
		x.news = nil
	}
}

// next tells how much of the chunk that begins at start may be read now, when some
// of it was read already, and whether that is its end. It waits until there is
// something, or ctx ends.
func (x *exchange) next(ctx context.Context, start, read int) (n int, whole, over bool, err error) {
	for {
		x.mu.Lock()
		for len(x.cuts) > 0 && x.cuts[0] <= start {
			x.cuts = x.cuts[1:]
		}
		n = x.written - start - read
		if len(x.cuts) > 0 {
			n, whole = x.cuts[0]-start-read, true
		}
		over = x.ended && !whole
		if n > 0 || whole || over {
			x.mu.Unlock()
			return n, whole, over, nil
		}
		if x.news == nil {
			x.news = make(chan struct{})
		}
		news := x.news
		x.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return 0, false, false, context.Cause(ctx)
		}
	}
}

// look notes what the request holds when its response begins, and again at the
// first byte of the body.
func (x *exchange) look(body bool) {
	x.mu.Lock()
	inner, due := x.inner, !x.looked || body && !x.body
	x.looked, x.body = true, x.body || body
	x.mu.Unlock()
	if !due || inner == nil {
		return
	}
	held := db.Holders(inner)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.held = held
}

// hear notes a signal of the request.
func (x *exchange) hear(event any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch event := event.(type) {
	case signals.RequestStarted:
		x.inner = event.Request.Context()
	case signals.TemplateRendered:
		x.templates = append(x.templates, Template{event.Name, event.Data})
	}
	x.signals = append(x.signals, event)
}

// tell fills in what is known by now.
func (x *exchange) tell(r *Response) {
	x.mu.Lock()
	defer x.mu.Unlock()
	r.Signals, r.Templates, r.Queries = slices.Clone(x.signals), slices.Clone(x.templates), slices.Clone(x.queries)
	r.ReleasedBeforeBody = x.looked && len(x.held) == 0
	r.Held = slices.Clone(x.held)
	for _, event := range x.signals {
		switch event := event.(type) {
		case signals.RequestFailed:
			r.Err = event.Err
		case signals.RequestFinished:
			r.Route = event.Route
			if r.Err == nil {
				r.Err = event.Err
			}
		}
	}
}

// witness is the writer around the site: by what passes it the connections have to
// be home.
type witness struct {
	http.ResponseWriter
	exchange *exchange
}

// Unwrap is for http.ResponseController: deadlines.
func (w *witness) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *witness) WriteHeader(status int) {
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		w.exchange.look(false)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *witness) Write(p []byte) (int, error) {
	w.wrote(len(p))
	return w.ResponseWriter.Write(p)
}

func (w *witness) WriteString(s string) (int, error) {
	w.wrote(len(s))
	return io.WriteString(w.ResponseWriter, s)
}

// wrote notes bytes before they are on their way: the client waits for them.
func (w *witness) wrote(n int) {
	w.exchange.look(n > 0)
	w.exchange.change(func() { w.exchange.written += n })
}

// ReadFrom writes piece by piece.
func (w *witness) ReadFrom(from io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, from)
}

func (w *witness) Flush() { _ = w.FlushError() } // http.Flusher has no error

func (w *witness) FlushError() error {
	x := w.exchange
	x.look(false)
	x.change(func() {
		if n := len(x.cuts); x.written > 0 && (n == 0 || x.cuts[n-1] < x.written) {
			x.cuts = append(x.cuts, x.written)
		}
	})
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *witness) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.exchange.look(true)
	return http.NewResponseController(w.ResponseWriter).Hijack()
}
