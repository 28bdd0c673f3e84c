package app_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// Whose goroutine waits is known at once, from wherever the site is called: the budget is
// too short for finding it out by watching.
func TestSelfDeadlock_ARequestThatWaitsForItsOwnTaskIsToldAtOnce(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings.ConnMaxAge, settings.MaxConnections = db.Forever, 1
		var inside error
		view := func(r *views.Request) (views.Response, error) {
			ctx := r.Context()
			if err := query(r); err != nil {
				return nil, err
			}
			inside = db.Run(ctx, "audit", func(ctx context.Context) error {
				_, err := db.From(ctx).ExecContext(ctx, "SELECT 1")
				return err
			})
			return views.Text{Body: "over\n"}, nil
		}
		settings.AcquireTimeout = 150 * time.Millisecond
		site := newSite(t, withDatabase(settings), app.Options{Routes: func(s *app.Site) {
			s.GET("/{$}", view)
			s.GET("/first", func(r *views.Request) (views.Response, error) { return views.NoContent{}, query(r) })
		}})
		for get(site, "/first").Code != http.StatusNoContent { // on a busy machine opening takes more than one budget
			if t.Context().Err() != nil {
				t.Fatal("no connection")
			}
		}
		mux := http.NewServeMux()
		mux.Handle("/", site)
		around := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mux.ServeHTTP(w, r) })
		for name, handler := range map[string]http.Handler{"by itself": site, "in a mux": mux, "around that": around} {
			inside = nil
			if answer := get(handler, "/"); answer.Code != http.StatusOK {
				t.Fatalf("%s: %d: %s", name, answer.Code, answer.Body)
			}
			if !errors.Is(inside, db.ErrSelfDeadlock) {
				t.Errorf("%s: %v, want ErrSelfDeadlock", name, inside)
			}
		}
	})
}
