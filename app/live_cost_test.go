package app_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// oneQuery is a site whose home page makes one query.
func oneQuery(tb testing.TB) *app.Site {
	tb.Helper()
	return newSite(tb, withDatabase(db.Settings{Engine: dbtest.SQLite, Name: ":memory:"}), app.Options{Routes: func(s *app.Site) {
		s.GET("/", func(r *views.Request) (views.Response, error) {
			if err := selectsOne(r.Context()); err != nil {
				return nil, err
			}
			return views.NoContent{}, nil
		})
		s.GET("/nothing", func(*views.Request) (views.Response, error) { return views.NoContent{}, nil })
	}})
}

func selectsOne(ctx context.Context) error {
	rows, err := db.From(ctx).QueryContext(ctx, "SELECT 42")
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	return errors.Join(rows.Err(), rows.Close())
}

func BenchmarkRecording(b *testing.B) {
	for _, path := range []string{"/nothing", "/"} {
		for _, mode := range []string{"off", "on"} {
			b.Run(mode+path, func(b *testing.B) {
				site := oneQuery(b)
				if mode == "on" {
					defer site.Recorder().Open()()
				}
				r, w := httptest.NewRequest(http.MethodGet, path, nil), &nobody{http.Header{}}
				b.ReportAllocs()
				for b.Loop() {
					clear(w.header)
					site.ServeHTTP(w, r)
				}
			})
		}
	}
}

// What records leaves no trace in a request that begins when it has stopped.
func TestLivePage_CostsNoAllocationWhileNobodyLooks(t *testing.T) {
	for _, path := range []string{"/nothing", "/"} {
		site := oneQuery(t)
		r, w := httptest.NewRequest(http.MethodGet, path, nil), &nobody{http.Header{}}
		allocations := func() float64 {
			return testing.AllocsPerRun(200, func() {
				clear(w.header)
				site.ServeHTTP(w, r)
			})
		}
		never := allocations()
		closed := site.Recorder().Open()
		recording := allocations()
		closed()
		if after := allocations(); after > never || recording <= never {
			t.Errorf("%s: %v allocations before somebody looks, %v meanwhile, %v afterwards", path, never, recording, after)
		}
	}
}
