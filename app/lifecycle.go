package app

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/goquintet/quintet/app/live"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/signals"
)

// lifeCycle is the life of a request around a handler:
//
//	recover, scope and signals, admission, Options.Middleware, the handler,
//	and back: release, the scope's end, RequestFinished, the line in the log
//
// Each step back is a defer of its own, so that no receiver, error, panic or
// runtime.Goexit can skip one.
type lifeCycle struct {
	site    *Site
	inner   http.Handler // for a request whose life has begun outside
	chain   http.Handler // inner within the middleware
	foreign bool         // it routes by itself, or not at all
}

// ServeHTTP implements [http.Handler].
func (l *lifeCycle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if q := requestOf(r.Context(), l.site); q != nil && !q.isOver() {
		l.inner.ServeHTTP(w, r)
		return
	}
	own, chain := l.site.showsPage(r) && !l.foreign, l.chain
	if own {
		chain = l.site.page
	}
	q := l.newRequest(w, r, own)
	q.live(chain)
}

func (l *lifeCycle) newRequest(w http.ResponseWriter, r *http.Request, own bool) *request {
	q := &request{site: l.site, begun: time.Now()}
	q.context.begin(r.Context(), q)
	q.writer.ResponseWriter, q.writer.request = w, q

	name := r.URL.Path // until a route is found
	if l.foreign && r.Pattern != "" {
		name = r.Pattern
	}
	q.recording.Begins, q.recording.Own = true, own
	ctx, scope := l.site.connections.NewScope(&q.context, name)
	q.recording.Begins = false
	q.scope = scope
	q.http = r.WithContext(ctx)
	if !l.foreign {
		q.http.Pattern = ""
	}
	if r.Body != nil && r.Body != http.NoBody {
		q.body.ReadCloser, q.body.request = r.Body, q
		q.http.Body = &q.body
	}
	q.identify()
	if record := q.recording.Record; record != nil {
		record.Request(r.Method, q.id)
		if name != r.URL.Path {
			record.Named(name)
		}
	}
	return q
}

func (q *request) live(next http.Handler) {
	finished := false
	defer q.end(&finished)
	defer q.recover(&finished)
	if q.begin() {
		next.ServeHTTP(&q.writer, q.http)
	}
	finished = true
}

// begin reports whether the request is to be served; otherwise it is answered.
func (q *request) begin() bool {
	open := q.site.requests.enter(q)
	q.start()
	if err := q.admit(open); err != nil {
		q.answer(&q.writer, q.http, err)
		return false
	}
	q.admitted = true
	return true
}

// end is deferred, and so are its steps.
func (q *request) end(finished *bool) {
	defer q.over()
	defer q.finish(finished)
	q.endScope()
}

// start tells the receivers of RequestStarted.
func (q *request) start() {
	bus := &q.site.bus
	if !bus.RequestStarted.HasReceivers() {
		return
	}
	ctx := q.cleanUpContext()
	defer ctx.End()
	q.site.report("RequestStarted", bus.RequestStarted.SendRobust(ctx, signals.RequestStarted{Request: q.http}))
}

// responds tells the receivers of ResponseStarted. They have a scope of their own: at
// its first byte a request leases nothing.
func (q *request) responds(status int) {
	bus := &q.site.bus
	if !bus.ResponseStarted.HasReceivers() {
		return
	}
	event := signals.ResponseStarted{
		Request: q.http, Route: q.routeText(), Status: status,
		Duration: time.Since(q.begun), Stream: q.site.requests.streamed(q),
	}
	limited := q.cleanUpContext()
	defer limited.End()
	ctx, scope := q.site.connections.NewScope(limited, "ResponseStarted")
	defer func() { q.site.logScope(ctx, scope) }()
	q.site.report("ResponseStarted", bus.ResponseStarted.SendRobust(ctx, event))
}

var errGoexit = errors.New("app: the handler has ended its goroutine, as t.FailNow does")

// recover is deferred: the answer to a panic, and the end of a broken response.
func (q *request) recover(finished *bool) {
	defer q.cleanUp()
	if v := recover(); v != nil {
		q.panicked(panicError(v))
	} else if !*finished {
		q.fail(errGoexit)
		q.writer.abort()
		return
	}
	if q.writer.aborted.Load() && q.breaks() {
		panic(http.ErrAbortHandler)
	}
}

func (q *request) panicked(err error) {
	defer q.lastResort(&q.writer)
	switch {
	case errors.Is(err, http.ErrAbortHandler):
		q.note(err)
		q.writer.abort()
		if q.writer.hijacked {
			panic(http.ErrAbortHandler)
		}
	case q.writer.started.Load():
		q.abort(err)
	default:
		q.answer(&q.writer, q.http, err)
	}
}

// breaks reports whether a broken response has to panic. A client that has left
// needs no more than that nothing is written; where no server recovers the
// panic, in a test with a recorder, there is none.
func (q *request) breaks() bool {
	return !q.clientGone(q.noted()) || q.http.Context().Value(http.ServerContextKey) != nil
}

// cleanUp runs the clean-up of responses that another one has replaced.
func (q *request) cleanUp() {
	q.mu.Lock()
	cleanUps := q.cleanUps
	q.cleanUps = nil
	q.mu.Unlock()
	for _, clean := range cleanUps {
		defer clean()
	}
}

// release is the release point: everything that nothing is open on goes home. What
// stays is named.
func (q *request) release() {
	held := q.scope.Respond()
	if len(held) == 0 {
		return
	}
	q.site.requests.held.Add(1)
	for _, h := range held {
		q.site.notices.Tell(q.http.Context(), slog.LevelWarn, db.Notice{Message: heldMessage, At: h.At}, func() []slog.Attr {
			return []slog.Attr{
				slog.String(keyRoute, h.Name), slog.String(keyAlias, h.Alias), slog.String("statement", h.LastStatement),
				slog.String("hint", "read the rows to their end first, or use db.Iterate"),
			}
		})
	}
}

// heldMessage is for rows or a block that a handler has open when it begins to answer.
const heldMessage = "app: the response begins while a connection is held"

// endScope gives every connection back. It depends on nobody. What a handler has
// not committed is lost then, which is a failure, whatever it has answered.
func (q *request) endScope() {
	q.queries, q.inDatabase = q.scope.Usage()
	if err := q.scope.End(); err != nil {
		q.fail(err)
	}
}

// finish tells the receivers of RequestFinished and writes the line in the log.
// The receivers have a scope of their own: the request's has ended.
func (q *request) finish(finished *bool) {
	event := signals.RequestFinished{
		Request: q.http, Route: q.routeText(), Status: q.writer.status, Bytes: q.writer.bytes,
		Duration: time.Since(q.begun), Hijacked: q.writer.hijacked, Err: q.noted(),
	}
	if *finished && !q.writer.started.Load() && !q.writer.aborted.Load() {
		event.Status = http.StatusOK // what net/http makes of a handler that wrote nothing
	}
	q.answered = event.Status
	if record := q.recording.Record; record != nil {
		record.Finish(live.Outcome{Status: event.Status, Bytes: event.Bytes, Err: event.Err})
	}
	defer q.log(event)
	bus := &q.site.bus
	if !bus.RequestFinished.HasReceivers() {
		return
	}
	limited := q.cleanUpContext()
	defer limited.End()
	ctx, scope := q.site.connections.NewScope(limited, "RequestFinished")
	defer func() { q.site.logScope(ctx, scope) }()
	q.site.report("RequestFinished", bus.RequestFinished.SendRobust(ctx, event))
}

func (s *Site) logScope(ctx context.Context, scope *db.Scope) {
	if err := scope.End(); err != nil {
		s.logger.ErrorContext(ctx, "app: a receiver left a transaction open", "receivers of", scope.Name(), keyErr, db.Loggable(err))
	}
}

// over is the last of it.
func (q *request) over() {
	q.mu.Lock()
	q.done = true
	q.mu.Unlock()
	q.writer.end()
	q.context.finish()
	q.site.requests.leave(q)
}

func (q *request) isOver() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.done
}
