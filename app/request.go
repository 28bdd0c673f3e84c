package app

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goquintet/quintet/app/live"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
)

// request is one request in its life: all that the site knows about it, in one
// allocation. It is the [views.Cycle] of its response, too.
type request struct {
	site      *Site
	begun     time.Time
	id        string
	http      *http.Request // as the handlers get it
	context   requestContext
	scope     *db.Scope
	writer    writer
	body      body
	values    [6]string // of the headers that every response has
	recording live.Place

	progress views.Progress // of its stream

	// Of the goroutine that serves the request.
	url        *url.URL // of a request whose path the router sees written differently
	matched    *route   // nil for a foreign handler
	routed     any      // the router's own context
	admitted   bool     // whoever was refused is told of the request only
	blocks     atomic.Pointer[db.RequestBlocks]
	queries    int
	inDatabase time.Duration
	answered   int // the status, once it has finished; 0 is none

	// Guarded by site.requests: its place among the running ones.
	before, after *request
	streams       int // that it is sending: one, unless a response sends others
	streamSince   time.Time
	keeps         bool // a stream with KeepConnection

	// Middleware such as http.TimeoutHandler goes on while the handler still runs.
	mu       sync.Mutex // guards the rest
	route    string
	err      error      // why the request failed, or why its client has no answer
	refusal  error      // what a 4xx was answered for
	failed   bool       // RequestFailed was sent
	form     url.Values // that its view has read; with DEBUG only
	streamed bool
	done     bool     // the life cycle is over
	cleanUps []func() // of responses that may have been replaced
}

// setRoute remembers the route, and lends its name to what the request holds.
func (q *request) setRoute(text string) {
	q.mu.Lock()
	q.route = text
	q.mu.Unlock()
	q.scope.SetName(text)
}

// routeText is the pattern that matched, "" when none did. A mux inside of a
// wrapped handler leaves its own in the request.
func (q *request) routeText() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.route == "" {
		return q.http.Pattern
	}
	return q.route
}

// note keeps the first error of the request.
func (q *request) note(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
}

func (q *request) noted() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err
}

// fail is the end of a request with an error that is the site's: noted, logged
// where it has a stack, and told to the receivers of RequestFailed, once.
func (q *request) fail(err error) {
	q.note(err)
	q.mu.Lock()
	first := !q.failed
	q.failed = true
	q.mu.Unlock()
	if !first {
		return
	}
	var stack []byte
	if p, ok := errors.AsType[*PanicError](err); ok {
		stack = p.Stack
		q.site.logger.ErrorContext(q.http.Context(), "app: panic", keyRoute, q.routeText(), keyErr, db.Loggable(err), keyStack, string(stack))
	}
	bus := &q.site.bus
	if !bus.RequestFailed.HasReceivers() {
		return
	}
	ctx := q.cleanUpContext()
	defer ctx.End()
	q.site.report("RequestFailed", bus.RequestFailed.SendRobust(ctx, signals.RequestFailed{
		Request: q.http, Route: q.routeText(), Err: err, Stack: stack, Streaming: q.writer.started.Load(),
	}))
}

// cleanUpContext is for what has to be done whether the client is there or not.
func (q *request) cleanUpContext() *signals.Detached {
	return signals.Detach(q.http.Context(), q.site.settings.CleanupTimeout)
}

// nobodys reports whether err is no failure of the site: the client has left, or
// the site was told to stop, or the stream has lasted for as long as it may.
func (q *request) nobodys(err error) bool {
	return q.clientGone(err) || q.shutDown(err) || errors.Is(err, views.ErrMaxAge)
}

func (q *request) shutDown(err error) bool {
	return errors.Is(err, ErrShutdown) ||
		errors.Is(err, context.Canceled) && errors.Is(context.Cause(q.http.Context()), ErrShutdown)
}

func (q *request) clientGone(err error) bool {
	if errors.Is(err, views.ErrClientGone) {
		return true
	}
	ctx := q.http.Context()
	return errors.Is(err, context.Canceled) && errors.Is(context.Cause(ctx), context.Canceled)
}

// abort breaks off a response that has begun: what the client got must not pass
// for the whole.
func (q *request) abort(err error) {
	q.note(err)
	q.writer.abort()
	if !q.nobodys(err) && !errors.Is(err, http.ErrAbortHandler) {
		q.fail(err)
	}
}

// guard stands right around a handler and is deferred. A panic after the response
// has begun breaks the connection here, because the middleware outside may
// recover it; before that, the panic is the middleware's to see.
func (q *request) guard() {
	if !q.writer.started.Load() || q.writer.aborted.Load() {
		return
	}
	if v := recover(); v != nil {
		q.abort(panicError(v))
		panic(http.ErrAbortHandler)
	}
}

// panicError is what a panic's value reads as; to be called where it is recovered.
func panicError(v any) error {
	if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares it in this way
		return http.ErrAbortHandler
	}
	return &PanicError{Value: v, Stack: fromPanic(debug.Stack())}
}

// fromPanic leaves out of a stack what ran after the panic: that is always the
// same, and not where to look.
func fromPanic(stack []byte) []byte {
	first, _, _ := bytes.Cut(stack, []byte("\n"))
	at := bytes.LastIndex(stack, []byte("\npanic("))
	if at < 0 {
		return stack
	}
	return slices.Concat(first, stack[at:])
}

// view answers the request with a route's view. An error that it returns is still
// to be answered; nothing was sent then.
func (q *request) view(w echoWriter, r *http.Request, route *route) error {
	q.setRoute(route.text)
	q.matched = route
	if route.lease != "" {
		q.scope.SetLease(route.lease)
	}
	defer q.guard()
	r, err := q.atomic(r, route)
	if err != nil {
		return err
	}
	defer q.abandon()
	request := views.NewRequest(r, q)
	defer q.keepForm(request)
	response, err := route.view(request)
	if err = q.whole(route, response, err); err == nil {
		err = q.respond(w, response, request, route.rollback5xx)
	}
	if err == nil {
		return nil
	}
	return q.viewFailed(w, err)
}

// whole says why the response of a view is not to be sent.
func (q *request) whole(route *route, response views.Response, err error) error {
	switch {
	case err == nil && response == nil:
		return errors.New("app: route \"" + route.text + "\": the view returned neither a response nor an error")
	case err == nil:
		// Nobody can commit any more what the view has left open.
		err = q.scope.LeftOpen()
	}
	if err != nil {
		views.Discard(response)
	}
	return err
}

// viewFailed breaks a response off that has begun; what has not is still to be answered.
func (q *request) viewFailed(w echoWriter, err error) error {
	err = q.rollBack(err)
	if w.Committed || q.writer.started.Load() {
		q.abort(err)
		if q.clientGone(err) {
			return nil
		}
		panic(http.ErrAbortHandler)
	}
	return err
}

// keepCleanUp remembers the clean-up of what a view returns, so that it runs when
// the response is replaced by a wrap of the route.
func keepCleanUp(view views.View) views.View {
	return func(r *views.Request) (views.Response, error) {
		response, err := view(r)
		q := requestOf(r.Context(), nil)
		if q == nil {
			return response, err
		}
		switch s := response.(type) {
		case views.StreamingResponse:
			q.keep(&s)
			return s, err
		case *views.StreamingResponse:
			if s != nil {
				own := *s
				q.keep(&own)
				return &own, err
			}
		}
		return response, err
	}
}

// keep makes the clean-up run once, at the end of the request at the latest.
func (q *request) keep(s *views.StreamingResponse) {
	if s.Close == nil {
		return
	}
	s.Close = sync.OnceFunc(s.Close)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.cleanUps = append(q.cleanUps, s.Close)
}
