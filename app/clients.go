package app

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// idleGrace is how long a connection stays open after its last answer while a
	// server drains. Whoever sends another request by then is answered and told that
	// the connection closes; a connection that is closed at once would lose a request
	// that is on its way. A proxy that gives up its idle connections sooner loses none.
	idleGrace = time.Second
	// newGrace is the same for a connection that nothing was sent on yet.
	newGrace = 5 * time.Second
)

// clients are the connections of one server.
type clients struct {
	mu       sync.Mutex // guards the rest
	waiting  map[net.Conn]waiting
	draining bool
	gone     chan struct{} // closed when the last one has left a server that drains
}

// waiting is since when a connection waits for a request, and for which.
type waiting struct {
	state http.ConnState // new, active or idle
	since time.Time
}

func newClients() *clients {
	return &clients{waiting: make(map[net.Conn]waiting), gone: make(chan struct{})}
}

// note is the server's ConnState.
func (c *clients) note(conn net.Conn, state http.ConnState) {
	var since time.Time
	if state != http.StateActive {
		since = time.Now()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if state != http.StateClosed && state != http.StateHijacked {
		c.waiting[conn] = waiting{state, since}
		return
	}
	delete(c.waiting, conn)
	c.mayBeGone()
}

func (c *clients) mayBeGone() {
	if !c.draining || len(c.waiting) > 0 {
		return
	}
	select {
	case <-c.gone:
	default:
		close(c.gone)
	}
}

// drain waits until every client has left, or ctx ends. The server accepts nobody
// any more by then.
func (c *clients) drain(ctx context.Context) error {
	c.mu.Lock()
	c.draining = true
	c.mayBeGone()
	c.mu.Unlock()
	tick := time.NewTicker(idleGrace / 50)
	defer tick.Stop()
	for {
		c.closeIdle()
		select {
		case <-c.gone:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// settle waits, for a moment, until every answer that its handler has finished is on
// its way.
func (c *clients) settle() {
	tick := time.NewTicker(idleGrace / 50)
	defer tick.Stop()
	for end := time.Now().Add(idleGrace / 4); c.answering() && time.Now().Before(end); {
		<-tick.C
	}
}

func (c *clients) answering() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.waiting {
		if w.state == http.StateActive {
			return true
		}
	}
	return false
}

// closeIdle closes what nobody has sent anything on for long enough.
func (c *clients) closeIdle() {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn, w := range c.waiting {
		silent := now.Sub(w.since)
		if w.state == http.StateIdle && silent >= idleGrace || w.state == http.StateNew && silent >= newGrace {
			_ = conn.Close() // its goroutine notices, and notes that it is closed
		}
	}
}
