package views

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"mime"
	"net/http"
	"time"
)

// StreamingResponse answers with a body that is made while it is sent. By default
// every database connection of the request has gone home before the generator
// starts; what it queries leases a connection for its own time. The package
// documentation tells the life of a stream in order. Django's
// StreamingHttpResponse.
type StreamingResponse struct {
	Status  int // the zero Status is 200
	Header  http.Header
	Cookies []*http.Cookie

	// ContentType is the type of the body, "text/plain; charset=utf-8" when
	// neither it nor the Header says one; saying both is an error. A
	// "text/event-stream" sends its headers at once instead of with the first
	// chunk, and asks not to be cached.
	ContentType string

	// Attachment, when set, has browsers save the body under this name, of whatever
	// script.
	Attachment string

	// Body is the generator. It runs in the goroutine that serves the request. A
	// chunk is valid until yield returns: the generator may reuse its memory. An
	// empty chunk yields as any other, and nothing is sent for it, not even the
	// headers.
	//
	// The first error is the failure of the stream and ends it. When the client
	// leaves, yield returns false and the generator returns, its defers running;
	// one that waits for something waits for the request's context too, see
	// [Sleep]. A generator that goes on after yield returned false panics, as in
	// every range loop.
	Body iter.Seq2[[]byte, error]

	// KeepConnection says by name that the generator holds what it opens: the
	// request's connections are not given back before the stream ends, and rows
	// and blocks may be open across a yield. It is counted and shown, and logged
	// where a connection idles meanwhile.
	KeepConnection bool

	// ReadsBody says that the generator reads the body of the request while it
	// writes; an HTTP/1 connection then ends with the response. Otherwise what the
	// view left of that body is dropped before the generator starts.
	ReadsBody bool

	// Heartbeat is sent whenever nothing else was for HeartbeatEvery, so that
	// neither a proxy nor the client takes a silent stream for a dead one, and the
	// stream notices a client that has died in silence. It stands between two chunks,
	// or before the first: it has to mean nothing there. Empty sends none; [Events]
	// has a comment.
	Heartbeat []byte
	// HeartbeatEvery is the site's STREAM_HEARTBEAT when zero.
	HeartbeatEvery time.Duration

	// MaxAge is how long the stream may last: then it is told to end, see
	// [ErrMaxAge]. Zero is the site's STREAM_MAX_AGE, negative is for ever.
	MaxAge time.Duration

	// Close runs exactly once when the response is over, after the generator, and
	// also when Body never ran. It may be nil.
	Close func()

	// writeTimeout replaces the deadline of a write in tests.
	writeTimeout time.Duration
}

// Respond runs the life of the stream, and returns when it is over: nil when the
// client was sent the whole of it, an [ErrClientGone] when it left, and otherwise
// what went wrong. Everything that was yielded before a failure has been sent. A
// panic of the generator passes through, after the clean-up.
func (s StreamingResponse) Respond(w http.ResponseWriter, r *Request) error { return s.respond(w, r) }

// respond keeps little on the stack while the generator runs: what stands there stands
// there for as long as the stream lasts, thousands of times.
func (s *StreamingResponse) respond(w http.ResponseWriter, r *Request) (err error) {
	var l streamLife
	defer l.end(s, &err)
	if err = s.begin(w, r, &l); err == nil && l.flow != nil {
		s.Body(l.yield)
		if err = l.flow.end(); err == nil {
			err = l.flow.sendHeaders()
		}
	}
	return err
}

// streamLife is what a stream has begun, and has to end.
type streamLife struct {
	progress *Progress
	ended    func() // tells the cycle
	upload   *upload
	flow     *flow // nil when the generator is not to run
	yield    func([]byte, error) bool
}

// begin does what comes before the generator.
func (s *StreamingResponse) begin(w http.ResponseWriter, r *Request, l *streamLife) error {
	h, err := s.head()
	if err != nil {
		return err
	}
	ctx := r.Context()
	if h.empty(r) { // the generator never runs, and never was a stream
		if err := r.cycle.Release(ctx); err != nil {
			return err
		}
		h.applyStream(w)
		w.WriteHeader(h.status)
		return nil
	}
	if l.progress, l.ended, err = start(r); err != nil {
		return err
	}
	if s.KeepConnection {
		r.cycle.Keep(ctx)
	} else if err := r.cycle.Release(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil { // the client left during the view
		return stopped(ctx, context.Cause(ctx))
	}
	l.upload = receive(w, r, s.ReadsBody)
	l.flow = newFlow(w, ctx, h, s.limits(r.cycle), l.progress)
	l.yield = l.flow.yield()
	if isEvents(h) {
		return l.flow.sendHeaders()
	}
	return nil
}

// end is deferred: none of its steps keeps the next from being made.
func (l *streamLife) end(s *StreamingResponse, err *error) {
	if l.ended != nil {
		defer l.ended()
	}
	defer s.closed()
	if l.progress != nil {
		defer l.progress.state.Store(stateEnded)
	}
	if l.upload != nil {
		defer l.upload.end()
	}
	if l.flow == nil {
		return
	}
	// What is held back goes out after a failure too. When that fails, the first
	// failure stays the news.
	if closed := l.flow.close(); *err == nil {
		*err = closed
	}
	*err = stopped(l.flow.ctx, *err)
}

// start counts the stream in; what it returns is never nil.
func start(r *Request) (progress *Progress, ended func(), err error) {
	progress, ended, err = r.cycle.StartStream(r.Context())
	if progress == nil {
		progress = new(Progress)
	}
	if ended == nil || err != nil {
		ended = func() {}
	}
	return progress, ended, err
}

// stopped returns what the end of a stream's context makes of its outcome: its
// client has gone, unless the context names another cause. With another cause, a
// generator that took the hint and ended in order has answered in full.
func stopped(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	left := isDeparture(cause)
	switch {
	case cause == nil || errors.Is(err, ErrClientGone):
		return err
	case err == nil && !left:
		return nil
	case err == nil:
		err = cause
	case !errors.Is(err, cause):
		err = fmt.Errorf("%w: %w", err, cause)
	}
	if left {
		return fmt.Errorf("%w: %w", ErrClientGone, err)
	}
	return fmt.Errorf("views: stream stopped: %w", err)
}

// isDeparture reports whether a context has ended because its client left.
func isDeparture(cause error) bool {
	return errors.Is(cause, context.Canceled) || errors.Is(cause, ErrClientGone)
}

func (s *StreamingResponse) closed() {
	if s.Close != nil {
		s.Close()
	}
}

// head judges the response before anything is touched.
func (s *StreamingResponse) head() (*head, error) {
	h := &head{"StreamingResponse", status(s.Status, http.StatusOK), s.Header, s.Cookies, s.ContentType}
	if err := h.check(); err != nil {
		return nil, err
	}
	if err := errors.Join(h.oneType(), h.attach(s.Attachment)); err != nil {
		return nil, err
	}
	if s.Body == nil {
		return nil, errors.New("views: StreamingResponse: Body is nil: give it a generator")
	}
	if h.contentType == "" && h.get("Content-Type") == "" {
		h.contentType = "text/plain; charset=utf-8"
	}
	return h, nil
}

// applyStream puts the headers of a stream into w's. Its length is unknown, unless
// the response says it.
func (h *head) applyStream(w http.ResponseWriter) {
	header := w.Header()
	header.Del("Content-Length")
	header.Set("X-Accel-Buffering", "no") // nginx passes the chunks on as they come
	if isEvents(h) {
		header.Set("Cache-Control", "no-cache")
	}
	h.apply(w)
}

// isEvents reports whether the body is made of server-sent events.
func isEvents(h *head) bool {
	contentType := h.contentType
	if contentType == "" {
		contentType = h.get("Content-Type")
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == "text/event-stream"
}
