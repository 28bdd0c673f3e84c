package app_test

import (
	"context"
	"database/sql"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/views"
)

// emptyEcho and emptySite answer the same request with nothing.
func emptyEcho() http.Handler {
	e := echo.New()
	e.GET("/", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	e.GET("/polls/:id", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	return e
}

func emptySite(tb testing.TB) http.Handler {
	tb.Helper()
	site, err := app.New(app.Settings{AllowedHosts: []string{"*"}}, app.Options{
		Logger: slog.New(slog.DiscardHandler),
		Routes: func(s *app.Site) {
			s.GET("/", func(*views.Request) (views.Response, error) { return views.NoContent{}, nil })
			s.GET("/polls/{id}", func(*views.Request) (views.Response, error) { return views.NoContent{}, nil })
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return site
}

// nobody is a writer that keeps nothing, so that only the handler is measured.
type nobody struct{ header http.Header }

func (w *nobody) Header() http.Header         { return w.header }
func (w *nobody) Write(p []byte) (int, error) { return len(p), nil }
func (w *nobody) WriteHeader(int)             {}

func BenchmarkEmptyRequest(b *testing.B) {
	for _, path := range []string{"/", "/polls/7"} {
		for name, handler := range map[string]http.Handler{"echo": emptyEcho(), "site": emptySite(b)} {
			b.Run(name+path, func(b *testing.B) {
				r, w := httptest.NewRequest(http.MethodGet, path, nil), &nobody{http.Header{}}
				b.ReportAllocs()
				for b.Loop() {
					clear(w.header)
					handler.ServeHTTP(w, r)
				}
			})
		}
	}
}

// oneQueryEcho is echo, bun and database/sql as people put them together.
func oneQueryEcho(b *testing.B) http.Handler {
	b.Helper()
	pool, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = pool.Close() })
	pool.SetMaxOpenConns(1)
	database := bun.NewDB(pool, sqlitedialect.New())
	e := echo.New()
	e.GET("/", func(c echo.Context) error {
		var n int
		if err := database.NewRaw("SELECT 42").Scan(c.Request().Context(), &n); err != nil {
			return err
		}
		return c.NoContent(http.StatusNoContent)
	})
	return e
}

func oneQuerySite(b *testing.B) http.Handler {
	b.Helper()
	settings := withDatabase(db.Settings{Engine: "sqlite", Name: ":memory:", ConnMaxAge: db.Forever, MaxConnections: 1})
	return newSite(b, settings, app.Options{Routes: func(s *app.Site) {
		s.GET("/", func(r *views.Request) (views.Response, error) {
			var n int
			err := db.From(r.Context()).NewRaw("SELECT 42").Scan(r.Context(), &n)
			return views.NoContent{}, err
		})
	}})
}

// BenchmarkOneQueryRequest has kept connections on both sides, and the context
// that a server gives a request.
func BenchmarkOneQueryRequest(b *testing.B) {
	for name, handler := range map[string]http.Handler{"echo+bun": oneQueryEcho(b), "site": oneQuerySite(b)} {
		b.Run(name, func(b *testing.B) {
			server, stop := context.WithCancel(b.Context())
			defer stop()
			b.ReportAllocs()
			for b.Loop() {
				ctx, cancel := context.WithCancel(server)
				handler.ServeHTTP(&nobody{http.Header{}}, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
				cancel()
			}
		})
	}
}

func TestEmptyRequest_AllocatesAtMostTenTimesMoreThanEcho(t *testing.T) {
	count := func(handler http.Handler) float64 {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), &nobody{http.Header{}}
		return testing.AllocsPerRun(1000, func() {
			clear(w.header)
			handler.ServeHTTP(w, r)
		})
	}
	echo, site := count(emptyEcho()), count(emptySite(t))
	t.Logf("allocations of an empty request: echo %.0f, site %.0f", echo, site)
	if site-echo > 10 {
		t.Errorf("an empty request allocates %.0f times, bare echo %.0f: at most 10 more are allowed", site, echo)
	}
}
