package app

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/goquintet/quintet/views"
)

var _ views.Cycle = (*request)(nil)

// Release implements [views.Cycle].
func (q *request) Release(context.Context) error {
	if err := q.commit(); err != nil {
		return err
	}
	err := q.scope.RespondReleased()
	if record := q.recording.Record; record != nil && err == nil && q.hasStreamed() {
		record.Stream(false)
	}
	return err
}

// Keep implements [views.Cycle].
func (q *request) Keep(context.Context) {
	q.scope.Keep()
	q.site.requests.keep(q)
	if record := q.recording.Record; record != nil {
		record.Stream(true)
	}
}

// Held implements [views.Cycle].
func (q *request) Held(context.Context) error {
	if q.scope.Kept() { // the snapshot of an Iterate
		q.site.requests.keep(q)
	}
	return q.scope.Held()
}

// StartStream implements [views.Cycle].
func (q *request) StartStream(context.Context) (progress *views.Progress, ended func(), err error) {
	if err := q.site.requests.startStream(q); err != nil {
		return nil, nil, &views.Error{Status: http.StatusServiceUnavailable, Err: err}
	}
	q.mu.Lock()
	q.streamed = true
	q.mu.Unlock()
	ended = func() { q.site.requests.endStream(q) }
	if err := q.commit(); err != nil {
		ended()
		return nil, nil, err
	}
	return &q.progress, ended, nil
}

// Leases implements [views.Cycle].
func (q *request) Leases() *atomic.Int32 { return q.scope.Leases() }

// Stop implements [views.Cycle].
func (q *request) Stop(cause error) { q.context.stop(cause) }

// StreamSettings implements [views.Cycle].
func (q *request) StreamSettings() views.StreamSettings {
	s := &q.site.settings
	return views.StreamSettings{WriteTimeout: s.StreamWriteTimeout, Heartbeat: s.StreamHeartbeat, MaxAge: s.StreamMaxAge}
}

// Reverse implements [views.Cycle].
func (q *request) Reverse(name string, args ...any) (string, error) {
	path, err := q.site.Reverse(name, args...)
	if err != nil {
		return "", err
	}
	return q.prefix() + path, nil
}

func (q *request) prefix() string { return views.NewRequest(q.http, q).Prefix() }

// Templates implements [views.Cycle].
func (q *request) Templates() *views.Templates { return q.site.templates }
