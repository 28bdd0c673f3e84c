package app

import (
	"fmt"
)

// startStream counts a stream in, or says why there is none.
func (rs *requests) startStream(q *request) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if err := rs.mayStream(q); err != nil {
		rs.refused++
		return err
	}
	rs.streams++
	q.streams++
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

func (rs *requests) endStream(q *request) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.streams--
	q.streams--
	if q.matched != nil {
		q.matched.streams--
	}
}
