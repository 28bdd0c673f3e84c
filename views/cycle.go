package views

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Cycle is the life of one request as its response sees it: what the life cycle
// that serves the request lends to the answer. Package app implements it over
// the database; a [Request] without one behaves as a request that never held a
// connection. Views themselves never need it.
//
// A cycle belongs to one request. Its methods are called from the goroutine that
// serves this request, if they do not say otherwise.
type Cycle interface {
	// Release explicitly gives back every database connection that the request
	// holds and lets later statements lease one each, for their own time. It
	// runs before the first chunk of a stream is asked for, and before the rest
	// of an unread request body is waited for. It returns an error, and nothing
	// has changed, when the view left a block of its own open.
	Release(ctx context.Context) error

	// Keep is said instead of Release by a stream with KeepConnection: what the
	// request holds stays held until the stream ends, and is counted as such.
	Keep(ctx context.Context)

	// Held returns nil when the request holds nothing open, and otherwise an
	// error that names both places: where the rows or the block were opened and
	// where the stream yields. It runs before a chunk is taken, the first included,
	// and may be left out for one that comes while Leases is zero.
	Held(ctx context.Context) error

	// Leases counts the database connections that the request has now, which is
	// all that a yield of a fast stream looks at. Nil has it ask Held at each.
	Leases() *atomic.Int32

	// Stop ends the context of the request with this cause, while its response
	// goes on. It may be called from any goroutine until ended is.
	Stop(cause error)

	// StartStream counts a stream in, before anything is released. It returns an
	// error, an [Error] with status 503, when no more streams may start. The
	// stream keeps progress up to date, which may be nil when nobody watches, and
	// calls ended exactly once, after its generator and its Close.
	StartStream(ctx context.Context) (progress *Progress, ended func(), err error)

	// StreamSettings returns what the site says about all its streams.
	StreamSettings() StreamSettings

	// Reverse returns the path of the named route, prefix included, with args
	// for its wildcards in their order. Django's reverse.
	Reverse(name string, args ...any) (string, error)

	// Templates returns the templates of the site.
	Templates() *Templates
}

// StreamSettings are what a site says about all its streams.
type StreamSettings struct {
	WriteTimeout time.Duration // how long a client may take for one write; zero is 30 seconds
	Heartbeat    time.Duration // see [StreamingResponse]; zero is 15 seconds, negative never
	MaxAge       time.Duration // how long a stream may last; zero or less is for ever
}

// alone is the cycle of a request that nobody serves: a view in a unit test.
type alone struct{}

var errAlone = errors.New("views: this request is served by no site")

func (alone) Release(context.Context) error  { return nil }
func (alone) Keep(context.Context)           {}
func (alone) Held(context.Context) error     { return nil }
func (alone) StreamSettings() StreamSettings { return StreamSettings{} }
func (alone) Leases() *atomic.Int32          { return new(atomic.Int32) }
func (alone) Stop(error)                     {}
func (alone) Templates() *Templates          { return nil }
func (alone) StartStream(context.Context) (*Progress, func(), error) {
	return nil, func() {}, nil
}
func (alone) Reverse(name string, _ ...any) (string, error) {
	return "", fmt.Errorf("%w: there is no route %q to reverse; give NewRequest a Cycle", errAlone, name)
}
