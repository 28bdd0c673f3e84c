package app_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// clock is what the notices of a site look at: it stands still until a test moves it,
// and tells when it is looked at, which is when there is something to notice.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	looked chan struct{}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looked <- struct{}{}
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// noticing is a site whose notices the test can read.
func noticing(t *testing.T, settings app.Settings, routes func(*app.Site, *clock)) (*stage, *clock) {
	t.Helper()
	c := &clock{now: time.Now(), looked: make(chan struct{}, 10_000)}
	s := play(t, settings, app.Options{Routes: func(s *app.Site) { routes(s, c) }})
	s.SetClock(c.Now)
	return s, c
}

// above is the line so many above the one that calls it, as places are written.
func above(lines int) string {
	_, file, line, _ := runtime.Caller(1)
	return fmt.Sprintf("%s:%d", path.Join(path.Base(path.Dir(file)), path.Base(file)), line-lines)
}

// secret is a value that no log may have.
const secret = "hunter2-4711"

// told fails unless the notice is there exactly so often, and the last one is of the
// request, has the attributes, and no values of statements.
func (s *stage) told(t *testing.T, message string, times int, w *httptest.ResponseRecorder, want map[string]any) {
	t.Helper()
	// A line comes after the look at the clock, and that may be in another goroutine.
	entries := s.journal.wait(t, message, times)
	if len(entries) != times {
		t.Fatalf("%q is logged %d times, want %d: %s", message, len(entries), times, s.journal)
	}
	last := entries[times-1]
	if id := w.Header().Get("X-Request-Id"); id == "" || last["request_id"] != id {
		t.Errorf("%q is of request %v, want %q", message, last["request_id"], id)
	}
	for key, value := range want {
		if last[key] != value {
			t.Errorf("%q has %s=%v, want %v: %v", message, key, last[key], value, last)
		}
	}
	if strings.Contains(s.journal.String(), secret) {
		t.Errorf("the log has a value: %s", s.journal)
	}
}

const keptMessage = "db: a stream holds a connection idle, as its code says by name"

func TestNotices_AStreamThatKeepsItsConnection(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		database.ConnMaxAge, database.HoldIdleWarn, database.SlowStatement = db.Forever, time.Millisecond, db.Forever
		var at string
		s, c := noticing(t, withDatabase(database), func(s *app.Site, c *clock) {
			s.GET("/kept/{id}", func(r *views.Request) (views.Response, error) {
				ctx := r.Context()
				return views.StreamingResponse{KeepConnection: true, Body: views.Chunks(func(yield func(string) bool) {
					_, err := db.From(ctx).ExecContext(ctx, "SELECT ?", secret)
					at = above(1)
					if err != nil {
						t.Error(err)
					}
					if yield("one\n") {
						<-c.looked // it idles
						yield("two\n")
					}
				})}, nil
			})
			s.GET("/quick", afterQuery(views.StreamingResponse{KeepConnection: true, Body: views.Chunks(func(yield func(string) bool) { yield("in") })}, nil))
		})
		var first *httptest.ResponseRecorder
		for i := range 1000 {
			if w := get(s, fmt.Sprint("/kept/", i)); i == 0 {
				first = w
			}
		}
		s.told(t, keptMessage, 1, first, map[string]any{
			"level": "INFO", "holder": "GET /kept/{id}", "alias": "default", "last": "SELECT ?", "at": at, "repeated": nil,
		})
		c.pass(time.Minute)
		s.told(t, keptMessage, 2, get(s, "/kept/8"), map[string]any{"at": at, "repeated": 999.0})
	})
}

// A handler that answers while it reads is told as often.
func TestNotices_AHandlerThatHoldsItsRows(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		database.ConnMaxAge = db.Forever
		s, c := noticing(t, withDatabase(database), func(*app.Site, *clock) {})
		var at string
		wrapped := s.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rows, err := db.From(r.Context()).QueryContext(r.Context(), "SELECT ?", secret)
			at = above(1)
			if err != nil {
				panic(err)
			}
			defer func() { _ = rows.Close() }()
			_, _ = w.Write([]byte("row\n"))
			if err := rows.Err(); err != nil {
				panic(err)
			}
		}))
		first := get(wrapped, "/raw")
		for range 999 {
			get(wrapped, "/raw")
		}
		const message = "app: the response begins while a connection is held"
		s.told(t, message, 1, first, map[string]any{"level": "WARN", "route": "/raw", "statement": "SELECT ?", "at": at})
		c.pass(time.Minute)
		s.told(t, message, 2, get(wrapped, "/raw"), map[string]any{"at": at, "repeated": 999.0})
		equal(t, "held responses", s.Stats().HeldResponses, 1001)
	})
}

func TestNotices_AGoroutineThatARequestHasLeftBehind(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		database.ConnMaxAge = db.Forever
		var behind context.Context
		s, c := noticing(t, withDatabase(database), func(s *app.Site, _ *clock) {
			s.GET("/", func(r *views.Request) (views.Response, error) {
				behind = r.Context() //nolint:fatcontext // that is the mistake
				return views.NoContent{}, query(r)
			})
		})
		w := get(s, "/")
		var at string
		late := func() {
			_, err := db.From(behind).ExecContext(behind, "SELECT ?", secret)
			at = above(1)
			if !errors.Is(err, db.ErrScopeEnded) {
				t.Errorf("it gets %v", err)
			}
		}
		for range 1000 {
			late()
		}
		const message = "db: a request or task is over, and its database is used; do that before, or in a db.Run of its own"
		s.told(t, message, 1, w, map[string]any{"level": "WARN", "holder": "GET /", "at": at})
		c.pass(time.Minute)
		late()
		s.told(t, message, 2, w, map[string]any{"at": at, "repeated": 999.0})
	})
}

func TestNotices_ASlowStatementAndOneForEachRow(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		database.ConnMaxAge, database.SlowStatement = db.Forever, time.Nanosecond
		settings := withDatabase(database)
		settings.Debug = true
		var at string
		s, c := noticing(t, settings, func(s *app.Site, _ *clock) {
			s.GET("/rows/{id}", func(r *views.Request) (views.Response, error) {
				for i := range 10 {
					var got string
					err := db.From(r.Context()).NewRaw("SELECT ? WHERE ? > -1", secret, i).Scan(r.Context(), &got)
					at = above(1)
					if err != nil {
						return nil, err
					}
				}
				return views.NoContent{}, nil
			})
		})
		const slow, repeated = "db: a statement is slow", "db: one line sends the same statement for one row after the other (N+1)"
		w := get(s, "/rows/1")
		for range 99 {
			get(s, "/rows/1")
		}
		want := map[string]any{"level": "WARN", "holder": "GET /rows/{id}", "statement": "SELECT ? WHERE ? > -?", "at": at}
		s.told(t, slow, 1, w, want)
		want["count"] = 10.0
		s.told(t, repeated, 1, w, want)
		c.pass(time.Minute)
		w = get(s, "/rows/2")
		want["repeated"] = 99.0
		s.told(t, repeated, 2, w, want)
		s.told(t, slow, 2, w, map[string]any{"repeated": 999.0, "rows": 1.0, "at": at})
	})
}

// What is as it should be is not worth a word, also with DEBUG.
func TestNotices_AHealthySiteIsSilent(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		for _, debug := range []bool{false, true} {
			database.ConnMaxAge, database.SlowStatement, database.HoldIdleWarn = db.Forever, time.Minute, time.Minute // the machine may be busy
			settings := withDatabase(database)
			settings.Debug = debug
			s, _ := noticing(t, settings, func(s *app.Site, _ *clock) {
				s.GET("/text", afterQuery(views.Text{Body: "in"}, nil))
				s.GET("/stream", stream(3, nil))
				s.GET("/kept", afterQuery(views.StreamingResponse{KeepConnection: true, Body: views.Chunks(func(yield func(string) bool) { yield("in") })}, nil))
				s.GET("/block", func(r *views.Request) (views.Response, error) {
					return views.NoContent{}, db.Atomic(r.Context(), func(ctx context.Context) error { return query(r.With(ctx)) })
				})
			})
			for range 100 {
				for _, path := range []string{"/text", "/stream", "/kept", "/block"} {
					if w := get(s, path); w.Code >= 400 {
						t.Fatalf("%s is answered with %d", path, w.Code)
					}
				}
			}
			for line := range strings.Lines(s.journal.String()) {
				if !strings.Contains(line, `"level":"DEBUG"`) && !strings.Contains(line, `"msg":"request"`) {
					t.Errorf("it says %s", line)
				}
			}
		}
	})
}

// Not parallel: it counts what the process allocates.
func TestNotices_CostARequestNoAllocation(t *testing.T) {
	allocations := func(slow time.Duration) (least float64) {
		database := db.Settings{Engine: dbtest.SQLite, Name: ":memory:", SlowStatement: slow, HoldIdleWarn: db.Forever}
		settings := withDatabase(database)
		settings.LogLevel = slog.LevelError
		site := newSite(t, settings, app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
			return views.NoContent{}, selectsOne(r.Context())
		})})
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), &nobody{http.Header{}}
		for n := range 5 { // others in the process allocate as well
			run := testing.AllocsPerRun(200, func() {
				clear(w.header)
				site.ServeHTTP(w, r)
			})
			if n == 0 || run < least {
				least = run
			}
		}
		return least
	}
	never, hour, all := allocations(db.Forever), allocations(time.Hour), allocations(time.Nanosecond)
	if hour > never || all < never {
		t.Errorf("%v allocations of a request whose statements are not looked at, %v where none is slow, %v where all are", never, hour, all)
	}
}

// A database quotes in its errors what it cannot take, which may be a secret.
func TestLog_TheErrorOfAStatementHasNoneOfItsValues(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		query := map[string]string{dbtest.Postgres: "SELECT CAST(? AS integer)", dbtest.SQLite: `SELECT json_extract('{}', ?)`}[database.Engine]
		fails := func(r *views.Request) error {
			_, err := db.From(r.Context()).ExecContext(r.Context(), query, secret)
			return fmt.Errorf("reading it: %w", err)
		}
		s, _ := noticing(t, withDatabase(database), func(s *app.Site, _ *clock) {
			s.GET("/fails", func(r *views.Request) (views.Response, error) { return nil, fails(r) })
			s.GET("/panics", func(r *views.Request) (views.Response, error) { panic(fails(r)) })
		})
		for _, path := range []string{"/fails", "/panics"} {
			equal(t, path, get(s, path).Code, http.StatusInternalServerError)
		}
		log := s.journal.String()
		if strings.Contains(log, secret) {
			t.Errorf("the log has a value: %s", log)
		}
		if strings.Count(log, "reading it: ") != 3 || !strings.Contains(log, "?") {
			t.Errorf("the log does not say what has failed: %s", log)
		}
	})
}
