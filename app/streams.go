package app

import (
	"fmt"
	"slices"
	"time"

	"github.com/goquintet/quintet/views"
)

// Stream is a stream that a site is sending now.
type Stream struct {
	Route     string // "GET /events/{topic}"; what dbstatus calls its holder
	RequestID string
	Since     time.Time // when it was counted in
	Age       time.Duration

	State   views.StreamState // views.StreamStarting, Generating, Writing, or StreamEnding
	Bytes   int64             // of the body, written so far; before a compression
	Chunks  int64             // in them
	Written time.Time         // when a write was last taken; zero before the first

	KeepConnection bool // it said so
}

// StreamEnding is a stream that has been told to end, or that cleans up.
const StreamEnding views.StreamState = "ending"

// Streams returns the streams of this moment, the oldest first. What it says of one of
// them was true at one moment. It costs the streams nothing.
func (s *Site) Streams() []Stream {
	streams := s.requests.listStreams(time.Now())
	slices.SortStableFunc(streams, func(a, b Stream) int { return a.Since.Compare(b.Since) })
	return streams
}

// listStreams returns the streams, the youngest request first.
func (rs *requests) listStreams(now time.Time) []Stream {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	streams := make([]Stream, 0, rs.streams)
	for q := rs.first; q != nil; q = q.after {
		if q.streams > 0 {
			streams = append(streams, q.stream(now))
		}
	}
	return streams
}

func (q *request) stream(now time.Time) Stream {
	p := &q.progress
	s := Stream{
		Route: q.scope.Name(), RequestID: q.id, Since: q.streamSince, Age: max(0, now.Sub(q.streamSince)),
		State: p.State(), Bytes: p.Bytes(), Chunks: p.Chunks(), Written: p.Written(), KeepConnection: q.keeps,
	}
	if s.State == views.StreamEnded || q.context.Err() != nil {
		s.State = StreamEnding
	}
	return s
}

// startStream counts a stream in, or says why there is none.
func (rs *requests) startStream(q *request) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if err := rs.mayStream(q); err != nil {
		rs.refused++
		return err
	}
	rs.streams++
	rs.sent++
	if q.streams++; q.streams == 1 {
		q.streamSince = time.Now()
	}
	if q.matched != nil {
		q.matched.streams++
	}
	return nil
}

func (rs *requests) mayStream(q *request) error {
	limit, route := q.site.settings.MaxStreams, q.matched
	switch {
	case rs.draining.Load():
		return ErrShutdown
	case limit > 0 && rs.streams >= limit:
		return fmt.Errorf("app: MAX_STREAMS streams are running: %d", rs.streams)
	case route != nil && route.maxStreams > 0 && route.streams >= route.maxStreams:
		return fmt.Errorf("app: route %q: MaxStreams streams are running: %d", route.text, route.streams)
	}
	return nil
}

// streamed is for how long the request has been a stream, 0 when it is none.
func (rs *requests) streamed(q *request) time.Duration {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if q.streams == 0 {
		return 0
	}
	return max(1, time.Since(q.streamSince))
}

func (rs *requests) endStream(q *request) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.streams--
	q.streams--
	if q.matched != nil {
		q.matched.streams--
	}
}

func (rs *requests) keep(q *request) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if !q.keeps {
		q.keeps = true
		rs.kept.Add(1)
	}
}
