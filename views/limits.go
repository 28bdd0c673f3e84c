package views

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"
)

const (
	writeTimeout = 30 * time.Second // a client that does not take a write within it has gone
	heartbeat    = 15 * time.Second // proxies close what has been silent for longer, often for a minute
)

// ErrMaxAge is the cause of the context of a stream that has lasted for as long as
// it may. A generator that hears of it may yield a last word and returns. One that does
// not is refused its third chunk after that, and its response is broken off.
var ErrMaxAge = errors.New("views: the stream has reached its maximum age")

// limits are what bounds one stream.
type limits struct {
	writeTimeout time.Duration
	beat         []byte
	every        time.Duration
	maxAge       time.Duration
	leased       *atomic.Int32 // above zero, held has to be asked
	held         func(context.Context) error
	stop         func(error)
}

func (l *limits) beats() bool { return len(l.beat) > 0 && l.every > 0 }

// limits are those of the response, and for what it does not say of its site.
func (s *StreamingResponse) limits(c Cycle) limits {
	site := c.StreamSettings()
	l := limits{
		writeTimeout: cmp.Or(s.writeTimeout, site.WriteTimeout, writeTimeout),
		beat:         s.Heartbeat,
		every:        cmp.Or(s.HeartbeatEvery, site.Heartbeat, heartbeat),
		maxAge:       cmp.Or(s.MaxAge, site.MaxAge),
		leased:       new(atomic.Int32),
		held:         func(context.Context) error { return nil },
		stop:         c.Stop,
	}
	if s.KeepConnection {
		return l
	}
	l.held = c.Held
	if leases := c.Leases(); leases != nil {
		l.leased = leases
	} else {
		l.leased.Store(1)
	}
	return l
}
