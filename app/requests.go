package app

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// requests are those that a site is serving now.
type requests struct {
	kept, held atomic.Int64
	draining   atomic.Bool // streams are told to end, and none starts; set while mu is held

	mu      sync.Mutex // guards the rest
	first   *request   // a list through request.before and after
	running int
	streams int
	refused int64
	total   int64
	sent    int64         // streams
	ended   [6]int64      // requests, by the first digit of their status
	closed  bool          // nothing starts
	idle    chan struct{} // closed when nothing runs any more; nil when nobody waits
}

// Stats are the numbers of a site at one moment; those of its databases are
// [db.Connections.Stats].
type Stats struct {
	Requests int // being served, streams included
	Streams  int // of them

	// Since the site was made:
	TotalRequests  int64
	TotalStreams   int64 // the refused ones left out
	RefusedStreams int64 // by MAX_STREAMS, by [MaxStreams], or because the site was stopping
	KeptStreams    int64 // by KeepConnection, or in a snapshot of db.Iterate
	HeldResponses  int64 // began with rows or a block open on a connection

	// Of the requests, those that have ended, by their status.
	Answered1xx int64 // that is, 101
	Answered2xx int64
	Answered3xx int64
	Answered4xx int64
	Answered5xx int64
	Unanswered  int64 // their clients had left before, or took the connection over
}

// Stats returns the numbers of this moment.
func (s *Site) Stats() Stats {
	rs := &s.requests
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return Stats{
		Requests: rs.running, Streams: rs.streams, TotalRequests: rs.total, TotalStreams: rs.sent,
		RefusedStreams: rs.refused, KeptStreams: rs.kept.Load(), HeldResponses: rs.held.Load(),
		Answered1xx: rs.ended[1], Answered2xx: rs.ended[2], Answered3xx: rs.ended[3],
		Answered4xx: rs.ended[4], Answered5xx: rs.ended[5], Unanswered: rs.ended[0],
	}
}

// enter reports whether the request may run.
func (rs *requests) enter(q *request) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.running++
	rs.total++
	q.after = rs.first
	if rs.first != nil {
		rs.first.before = q
	}
	rs.first = q
	return !rs.closed
}

func (rs *requests) leave(q *request) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if q.before != nil {
		q.before.after = q.after
	} else {
		rs.first = q.after
	}
	if q.after != nil {
		q.after.before = q.before
	}
	q.before, q.after = nil, nil
	rs.running--
	rs.ended[class(q.answered)]++
	if rs.running == 0 && rs.idle != nil {
		close(rs.idle)
		rs.idle = nil
	}
}

// class is the first digit of a status; 0 is none.
func class(status int) int {
	if status < 100 || status > 599 {
		return 0
	}
	return status / 100
}

// drain tells the streams to end.
func (rs *requests) drain() {
	rs.stop(true)
}

// cut ends the contexts of everything that still runs, and returns what that is.
func (rs *requests) cut() []string {
	return rs.stop(false)
}

func (rs *requests) stop(streamsOnly bool) (routes []string) {
	rs.mu.Lock()
	rs.draining.Store(true)
	var told []*request
	for q := rs.first; q != nil; q = q.after {
		if q.streams > 0 || !streamsOnly {
			told = append(told, q)
		}
	}
	rs.mu.Unlock()
	for _, q := range told {
		q.context.stop(ErrShutdown)
		routes = append(routes, q.scope.Name())
	}
	slices.Sort(routes)
	return routes
}

// close lets nothing start any more.
func (rs *requests) close() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.closed = true
}

// wait waits until nothing runs any more, or ctx ends.
func (rs *requests) wait(ctx context.Context) error {
	rs.mu.Lock()
	if rs.running == 0 {
		rs.mu.Unlock()
		return nil
	}
	if rs.idle == nil {
		rs.idle = make(chan struct{})
	}
	idle := rs.idle
	rs.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
