package db

import (
	"context"
	"slices"

	"github.com/goquintet/quintet/db/pool"
)

// Observer is told of every scope that begins while it observes: requests, tasks and
// commands.
type Observer interface {
	// ScopeBegins returns what hears of the connections of the scope, or nil when
	// it does not matter. The context is the one that the scope was opened with.
	ScopeBegins(ctx context.Context, sc *Scope) Trace
}

// Trace hears what one scope does with its connections. [pool.Trace] says how its
// methods are called.
type Trace interface {
	pool.Trace
	// Named hears of a name that the scope is given while it is under way.
	Named(name string)
	// ScopeEnds hears of its end, when everything was given back.
	ScopeEnds()
}

// Observe lets o observe, besides those who do, until stop is called: scopes that have
// begun by then are heard to their end. It counts for scopes that begin from now on.
// While nobody observes, that costs a scope one atomic load, and a statement nothing.
func (cs *Connections) Observe(o Observer) (stop func()) {
	at := &observer{o}
	cs.observing.Lock()
	defer cs.observing.Unlock()
	cs.observed(append(slices.Clone(cs.observersNow()), at))
	return func() {
		cs.observing.Lock()
		defer cs.observing.Unlock()
		cs.observed(slices.DeleteFunc(slices.Clone(cs.observersNow()), func(other *observer) bool { return other == at }))
	}
}

// observer is one call of Observe.
type observer struct{ Observer }

func (cs *Connections) observersNow() []*observer {
	if list := cs.observers.Load(); list != nil {
		return *list
	}
	return nil
}

func (cs *Connections) observed(by []*observer) {
	if len(by) == 0 {
		cs.observers.Store(nil)
		return
	}
	cs.observers.Store(&by)
}

// observe asks those who observe, of whom most sites have one.
func (sc *Scope) observe(ctx context.Context, by []*observer) {
	if len(by) == 1 {
		if t := by[0].ScopeBegins(ctx, sc); t != nil {
			sc.trace = t
		}
		return
	}
	var all traces
	for _, o := range by {
		if t := o.ScopeBegins(ctx, sc); t != nil {
			all = append(all, t)
		}
	}
	if len(all) > 0 {
		sc.trace = all
	}
}

// traces are those of several observers.
type traces []Trace

var _ Trace = traces(nil)

func (ts traces) Asks(e pool.Asked)        { each(ts, e, Trace.Asks) }
func (ts traces) Acquires(e pool.Acquired) { each(ts, e, Trace.Acquires) }
func (ts traces) Sends(e pool.Sent)        { each(ts, e, Trace.Sends) }
func (ts traces) Answers(e pool.Answered)  { each(ts, e, Trace.Answers) }
func (ts traces) Ends(e pool.Ended)        { each(ts, e, Trace.Ends) }
func (ts traces) Returns(e pool.Returned)  { each(ts, e, Trace.Returns) }
func (ts traces) Named(name string)        { each(ts, name, Trace.Named) }

func (ts traces) ScopeEnds() {
	for _, t := range ts {
		t.ScopeEnds()
	}
}

func each[E any](ts traces, e E, tell func(Trace, E)) {
	for _, t := range ts {
		tell(t, e)
	}
}
