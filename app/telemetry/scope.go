package telemetry

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	notraces "go.opentelemetry.io/otel/trace/noop"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
)

// scope is a request or a task, and what it does with its connections.
type scope struct {
	telemetry *telemetry
	db        *db.Scope
	begun     time.Time
	outside   trace.Span // of the context that it began in

	// Set before anything else happens to a request.
	request   bool
	announced bool // RequestStarted was heard
	activity  activity

	mu     sync.Mutex // guards the rest
	ctx    context.Context
	own    lasting    // what ctx is at first
	span   trace.Span // nil until there is one
	parts  bool       // the span is recorded, and what is in it has spans of its own
	stream trace.Span // nil when it is none
	wishes []wish
	holds  []*hold
	space  struct { // for the first ones: most have one at a time
		wishes [1]wish
		holds  [1]*hold
		hold   hold
		taken  bool
	}
}

// wish is somebody who waits for a connection.
type wish struct {
	alias string
	since time.Time
	span  trace.Span
}

func newScope(t *telemetry, ctx context.Context, sc *db.Scope) *scope {
	s := &scope{telemetry: t, db: sc, begun: time.Now(), own: lasting{ctx}}
	s.ctx, s.wishes, s.holds = &s.own, s.space.wishes[:0], s.space.holds[:0]
	if !t.traces {
		return s
	}
	s.outside = trace.SpanFromContext(ctx)
	// A task in a task belongs to it, unless its code has begun a span of its own.
	if parent, _ := sc.Parent(); parent != nil {
		if p := t.scopeOf(parent); p != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.span != nil && p.outside.SpanContext().Equal(s.outside.SpanContext()) {
				s.ctx = trace.ContextWithSpan(s.ctx, p.span)
			}
		}
	}
	return s
}

var _ db.Trace = (*scope)(nil)

// beginLocked begins the span of a task when that asks for its first connection: many
// never do, and there is nothing to see. A request has its own from the beginning, unless
// that was not heard; it is named by its path then, which may be a secret.
func (s *scope) beginLocked() {
	if s.span != nil {
		return
	}
	name := "HTTP"
	if !s.request {
		name = s.db.Name()
	}
	s.ctx, s.span = s.telemetry.begin(s.ctx, name, s.begun, trace.SpanKindInternal)
	s.parts = s.span.IsRecording()
}

// begin begins a span of a part. What the sampler has left out has none.
func (s *scope) begin(ctx context.Context, name string, at time.Time, kind trace.SpanKind, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	if !s.parts {
		return ctx, notraces.Span{}
	}
	return s.telemetry.begin(ctx, name, at, kind, attributes...)
}

// newHold takes the place of the first one, when that is over.
func (s *scope) newHold(alias string, lease int64) *hold {
	h := &s.space.hold
	if s.space.taken {
		h = new(hold)
	}
	s.space.taken = true
	*h = hold{scope: s, alias: alias, lease: lease}
	return h
}

// Asks implements [db.Trace].
func (s *scope) Asks(e pool.Asked) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beginLocked()
	span := trace.Span(notraces.Span{})
	if s.parts {
		var space [4]attribute.KeyValue
		attributes := append(append(space[:0], s.telemetry.aliases[e.Alias].name), s.telemetry.place(e.At).attributes...)
		_, span = s.begin(s.ctx, "acquire", e.Time, trace.SpanKindInternal, attributes...)
	}
	s.wishes = append(s.wishes, wish{e.Alias, e.Time, span})
}

// Acquires implements [db.Trace].
func (s *scope) Acquires(e pool.Acquired) {
	t := s.telemetry
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beginLocked()
	if i := slices.IndexFunc(s.wishes, func(w wish) bool { return w.alias == e.Alias }); i >= 0 {
		w := s.wishes[i]
		s.wishes = slices.Delete(s.wishes, i, i+1)
		if e.Err == nil {
			t.waitTime.Inst().Record(s.ctx, e.Time.Sub(w.since).Seconds(), t.aliases[e.Alias].measured...)
		} else {
			failed(w.span, e.Err)
		}
		end(w.span, e.Time)
	}
	if e.Err != nil {
		return
	}
	h := s.newHold(e.Alias, e.Lease)
	h.ctx, h.span = s.ctx, notraces.Span{}
	if s.parts {
		h.ctx, h.span = s.begin(s.ctx, "hold", e.Time, trace.SpanKindInternal, t.aliases[e.Alias].name, keyConnection.Int64(e.Connection))
	}
	s.holds = append(s.holds, h)
}

func (s *scope) holdLocked(alias string, lease int64) *hold {
	for _, h := range s.holds {
		if h.lease == lease && h.alias == alias {
			return h
		}
	}
	return nil
}

// Sends implements [db.Trace].
func (s *scope) Sends(e pool.Sent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.holdLocked(e.Alias, e.Lease); h != nil {
		h.sends(e)
	}
}

// Answers implements [db.Trace].
func (s *scope) Answers(e pool.Answered) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.holdLocked(e.Alias, e.Lease); h != nil {
		h.hasRows = true
	}
}

// Ends implements [db.Trace].
func (s *scope) Ends(e pool.Ended) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.holdLocked(e.Alias, e.Lease); h != nil {
		h.ends(e)
	}
}

// Returns implements [db.Trace].
func (s *scope) Returns(e pool.Returned) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.holdLocked(e.Alias, e.Lease)
	if h == nil {
		return
	}
	s.holds = slices.DeleteFunc(s.holds, func(other *hold) bool { return other == h })
	h.returns(e)
	if h == &s.space.hold {
		s.space.taken = false
	}
}

// Named implements [db.Trace]. The route of a request is told by RequestFinished.
func (s *scope) Named(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.request && s.span != nil {
		s.span.SetName(name)
	}
}

// ScopeEnds implements [db.Trace]. A request ends with RequestFinished.
func (s *scope) ScopeEnds() {
	if s.request && s.announced {
		return
	}
	if s.request || s.telemetry.traces {
		s.telemetry.forget(s.db)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.span != nil {
		s.span.End()
	}
}
