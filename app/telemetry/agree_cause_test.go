//go:build unix

package telemetry_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/views"
)

// cause makes happen what a soak does not, or not on a busy machine: waiting in vain, a
// queue that is full, a stream too many, a response that begins while it holds.
func (w *witness) cause(ctx context.Context) {
	w.T.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Transport: new(http.Transport)}
	defer client.CloseIdleConnections()
	ask := func(ctx context.Context, path string, status int) *http.Response {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.URL+path, nil)
		if err != nil {
			w.T.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			w.T.Fatal(err)
		}
		expect(w.T, path, response.StatusCode, status)
		return response
	}
	for path, status := range map[string]int{"/nowhere": 404, "/moved": 302, "/held": 200, "/rows/x": 400, "/cursor": 200, "/careless": 200} {
		response := ask(ctx, path, status)
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			w.T.Error(err)
		}
		_ = response.Body.Close()
	}
	streaming, leave := context.WithCancel(ctx)
	first := ask(streaming, "/waits", 200)
	_ = ask(ctx, "/waits", 503).Body.Close()
	leave()
	_ = first.Body.Close()

	conns := w.Site.Connections()
	w.Quiet()
	asking, leave := context.WithCancel(ctx)
	gone := make(chan error, 1)
	go func() {
		request, err := http.NewRequestWithContext(asking, http.MethodGet, w.URL+"/endless", nil)
		if err == nil {
			_, err = client.Do(request)
		}
		gone <- err
	}()
	until(w.T, func() bool { holders := conns.Holders(); return len(holders) == 1 && holders[0].Queries > 0 })
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		w.T.Errorf("an answer that never ends: %v", err)
	}

	query := func(alias string) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			_, err := db.Using(ctx, alias).ExecContext(ctx, "SELECT 1")
			return err
		}
	}
	refused := func(what string, err error, want error) {
		if !errors.Is(err, want) {
			w.T.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	err := conns.Run(ctx, "one", func(holding context.Context) error {
		until(w.T, func() bool { return query(impatient)(holding) == nil }) // connecting may take longer than it waits
		if err := query(crowded)(holding); err != nil {
			return err
		}
		refused("nothing came in time", conns.Run(ctx, "another", query(impatient)), db.ErrUnavailable)
		waiting, enough := context.WithCancel(ctx)
		waited := make(chan error, 1)
		go func() { waited <- conns.Run(waiting, "another", query(crowded)) }()
		until(w.T, func() bool { return conns.Stats(crowded).Waiting == 1 })
		refused("the queue is full", conns.Run(ctx, "another", query(crowded)), db.ErrUnavailable)
		enough()
		refused("who waited has left", <-waited, context.Canceled)
		_, err := db.Using(holding, impatient).ExecContext(holding, "SELECT nonsense")
		refused("a statement that fails", err, db.ErrDatabase)
		return nil
	})
	if err != nil {
		w.T.Error(err)
	}
	own, err := conns.Dedicated(ctx, db.DefaultAlias, "dedicated")
	if err != nil {
		w.T.Fatal(err)
	}
	if _, err := own.ExecContext(ctx, "SELECT 1"); err != nil {
		w.T.Error(err)
	}
	if err := own.Close(); err != nil {
		w.T.Error(err)
	}
}

// holding is a response that begins with rows open.
type holding struct{}

func (holding) Respond(w http.ResponseWriter, r *views.Request) error {
	rows, err := db.From(r.Context()).QueryContext(r.Context(), "SELECT id FROM accounts")
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		return rows.Err()
	}
	_, err = io.WriteString(w, "held")
	return err
}

// waits is a stream that lasts until its client leaves.
func waits(r *views.Request) (views.Response, error) {
	return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
		if yield([]byte("one\n"), nil) {
			<-r.Context().Done()
		}
	}}, nil
}

// until waits for what another goroutine does.
func until(t *testing.T, happened func() bool) {
	t.Helper()
	waited := time.After(time.Minute)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !happened() {
		select {
		case <-waited:
			t.Fatal("a minute has passed")
		case <-again.C:
		}
	}
}
