package apptest_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/apptest"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/signals/signalstest"
	"github.com/goquintet/quintet/views"
)

// atomicRequests is Django's ATOMIC_REQUESTS: True.
func atomicRequests() apptest.Option {
	return apptest.Settings(func(s *app.Settings) {
		database := s.Databases[db.DefaultAlias]
		database.AtomicRequests = true
		s.Databases[db.DefaultAlias] = database
	})
}

// requests has a view for each way in which the block of a request ends.
func requests(site *app.Site) {
	urls(site)
	site.GET("/boundary", func(r *views.Request) (views.Response, error) {
		if err := insert(r.Context(), "boundary"); err != nil {
			return nil, err
		}
		return views.NoContent{}, db.CloseOldConnections(r.Context())
	})
	site.GET("/error", func(r *views.Request) (views.Response, error) {
		return nil, errors.Join(insert(r.Context(), "error"), errSpilt)
	})
	site.GET("/swallowed", func(r *views.Request) (views.Response, error) {
		err := insert(r.Context(), "swallowed")
		_ = insert(r.Context(), "swallowed")
		return views.NoContent{}, err
	})
	site.GET("/callback", func(r *views.Request) (views.Response, error) {
		err := insert(r.Context(), "callback")
		return views.NoContent{}, errors.Join(err, db.OnCommit(r.Context(), func(context.Context) error { return nil }))
	})
}

func TestWrapped_TheBlockOfARequestIsWhatItIsInProduction(t *testing.T) {
	onEach(t, requests, func(t *testing.T, site *apptest.Site) {
		for target, want := range map[string]struct {
			status  int
			stored  bool
			queries string
		}{
			"/boundary":         {http.StatusNoContent, true, "BEGIN INSERT COMMIT"},
			"/export?text=mine": {http.StatusOK, true, "BEGIN INSERT COMMIT SELECT"},
			"/error":            {http.StatusInternalServerError, false, "BEGIN INSERT ROLLBACK"},
			"/swallowed":        {http.StatusInternalServerError, false, "BEGIN INSERT INSERT ROLLBACK"},
			"/callback":         {http.StatusNoContent, true, "BEGIN INSERT COMMIT"},
			"/echo":             {http.StatusOK, false, ""},
		} {
			before, err := count(site.Context)
			if err != nil {
				t.Fatal(err)
			}
			r := site.Client.Get(target)
			after, err := count(site.Context)
			if r.StatusCode != want.status || after-before == 1 != want.stored || err != nil {
				t.Errorf("%s: status %d, %d rows more, %v, %v", target, r.StatusCode, after-before, r.Err, err)
			}
			var queries []string
			for _, q := range r.Queries {
				word, _, _ := strings.Cut(q.SQL, " ")
				queries = append(queries, word)
			}
			if got := strings.Join(queries, " "); got != want.queries {
				t.Errorf("%s: queries %q, want %q", target, got, want.queries)
			}
			if !r.ReleasedBeforeBody {
				t.Errorf("%s: held %v", target, r.Held)
			}
		}
	}, atomicRequests())
}

// Callbacks run when the block of the site commits, and not with the transaction of
// the test: Django's captureOnCommitCallbacks with execute.
func TestWrapped_CallbacksRunAndAreCaptured(t *testing.T) {
	onEach(t, requests, func(t *testing.T, site *apptest.Site) {
		ran := signalstest.Record(t, &site.Bus().CallbackFinished)
		r := site.Client.Get("/callback")
		if got := apptest.Sent[signals.CallbackFinished](r); len(got) != 1 || got[0].Err != nil || !strings.HasPrefix(got[0].At, "apptest/requests_test.go:") {
			t.Errorf("of the request: %+v", got)
		}
		err := db.Atomic(site.Context, func(ctx context.Context) error {
			return db.OnCommit(ctx, func(context.Context) error { return errSpilt })
		})
		if !errors.Is(err, db.ErrOnCommit) {
			t.Errorf("%v, want ErrOnCommit", err)
		}
		if events := ran.Events(); len(events) != 2 || !errors.Is(events[1].Err, errSpilt) {
			t.Errorf("of the site: %+v", events)
		}
	}, atomicRequests())
}

func TestClient_RequestsAtTheSameTimeKeepTheirOwn(t *testing.T) {
	onEach(t, requests, func(t *testing.T, site *apptest.Site) {
		texts := []string{"a", "b", "c", "d", "e"}
		answers := make(chan *apptest.Response)
		for _, text := range texts {
			go func() { answers <- site.Client.Post("/", apptest.Form(url.Values{"text": {text}})) }()
		}
		var inserted []string
		for range texts {
			r := <-answers
			if len(r.Queries) != 3 || len(apptest.Sent[signals.RequestFinished](r)) != 1 || r.StatusCode != http.StatusSeeOther {
				t.Fatalf("status %d, queries %v", r.StatusCode, r.Queries)
			}
			_, text, _ := strings.Cut(r.Queries[1].SQL, "'")
			inserted = append(inserted, text[:1])
		}
		slices.Sort(inserted)
		if !slices.Equal(inserted, texts) {
			t.Errorf("inserted %v", inserted)
		}
	}, atomicRequests())
}
