package app

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/goquintet/quintet/app/internal/within"
	"github.com/goquintet/quintet/app/live"
)

// requestKey finds the request of a site in a context; without a site, the
// innermost of any.
type requestKey struct{ site *Site }

type siteKey struct{}

// requestOf returns the request of site that ctx belongs to, or nil.
func requestOf(ctx context.Context, site *Site) *request {
	q, _ := ctx.Value(requestKey{site}).(*request)
	return q
}

// From returns the site that ctx belongs to: in a view, in a receiver of its
// request signals, and in everything that got its context from there or from
// [Site.Context]. It returns nil for other contexts.
func From(ctx context.Context) *Site {
	site, _ := ctx.Value(siteKey{}).(*Site)
	return site
}

// RequestID returns the name of the request that ctx belongs to, "" outside of
// one. It is what the response says in X-Request-ID, and what records logged with
// this context carry as request_id: see [Site.Logger].
func RequestID(ctx context.Context) string {
	if q := requestOf(ctx, nil); q != nil {
		return q.id
	}
	return ""
}

// siteContext is the context of a site outside of any request.
type siteContext struct {
	context.Context
	site *Site
}

func (c *siteContext) Value(key any) any {
	switch key.(type) {
	case siteKey:
		return c.site
	case within.Router:
		return c.site.router.echo
	}
	return c.Context.Value(key)
}

// requestContext is the context of a request below its scope. It can be ended
// with a cause, which is how a stream hears of the shutdown, and it ends with the
// request. Most requests never ask for Done: what that takes is made when they do.
type requestContext struct {
	context.Context // of the server
	request         *request
	made            atomic.Bool // own and end are there
	over            atomic.Bool

	mu  sync.Mutex // guards making them
	own context.Context
	end context.CancelCauseFunc
}

func (c *requestContext) begin(parent context.Context, q *request) {
	c.Context, c.request = parent, q
}

func (c *requestContext) Done() <-chan struct{} {
	c.make()
	return c.own.Done()
}

func (c *requestContext) Err() error {
	if c.made.Load() {
		return c.own.Err()
	}
	if c.over.Load() {
		return context.Canceled
	}
	return c.Context.Err()
}

func (c *requestContext) Value(key any) any {
	switch key := key.(type) {
	case requestKey:
		if key.site == nil || key.site == c.request.site {
			return c.request
		}
	case siteKey:
		return c.request.site
	case live.Asked:
		return &c.request.recording
	case within.Context:
		return c.request.routed
	case within.Router:
		return c.request.site.router.echo
	}
	// Package context looks for its own contexts in this way, too: they must
	// find the one whose Done this is.
	if c.made.Load() {
		return c.own.Value(key)
	}
	return c.Context.Value(key)
}

// make makes what Done needs.
func (c *requestContext) make() {
	if c.made.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made.Load() {
		return
	}
	c.own, c.end = context.WithCancelCause(c.Context)
	c.made.Store(true)
	if c.over.Load() {
		c.end(nil)
	}
}

// stop ends the context while the request goes on.
func (c *requestContext) stop(cause error) {
	c.make()
	c.end(cause)
}

// finish ends the context with the request.
func (c *requestContext) finish() {
	c.over.Store(true)
	if c.made.Load() {
		c.end(nil)
	}
}
