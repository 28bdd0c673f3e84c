package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// ledger is a site with ATOMIC_REQUESTS and a table to write into.
type ledger struct{ *stage }

func atomicSite(t *testing.T, database db.Settings, options app.Options, change ...func(*app.Settings)) *ledger {
	t.Helper()
	database.AtomicRequests, database.ConnMaxAge = true, db.Forever
	settings := withDatabase(database)
	settings.Debug = true // remembers statements
	for _, c := range change {
		c(&settings)
	}
	l := &ledger{stage: play(t, settings, options)}
	err := l.Connections().Run(t.Context(), "ledger", func(ctx context.Context) error {
		for _, alias := range l.Connections().Aliases() {
			if _, err := db.Using(ctx, alias).ExecContext(ctx, "CREATE TABLE entry (id integer PRIMARY KEY, parent integer REFERENCES entry (id) DEFERRABLE INITIALLY DEFERRED)"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func write(ctx context.Context, id int) error { return writeTo(ctx, db.DefaultAlias, id) }

func writeTo(ctx context.Context, alias string, id int) error {
	_, err := db.Using(ctx, alias).ExecContext(ctx, "INSERT INTO entry (id) VALUES (?)", id)
	return err
}

// breakCommit writes what only COMMIT refuses.
func breakCommit(ctx context.Context) error {
	_, err := db.From(ctx).ExecContext(ctx, "INSERT INTO entry VALUES (7, 99)")
	return err
}

func (l *ledger) entries(t *testing.T, alias string) string {
	t.Helper()
	var ids []string
	err := l.Connections().Run(t.Context(), "entries", func(ctx context.Context) error {
		return db.Using(ctx, alias).NewSelect().Table("entry").Column("id").Order("id").Scan(ctx, &ids)
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(ids, " ")
}

// words are the statements of a scope, each by its first word.
func words(conn *db.Conn) string {
	var texts []string
	for _, q := range conn.Queries() {
		word, _, _ := strings.Cut(q.SQL, " ")
		texts = append(texts, word)
	}
	return strings.Join(texts, ", ")
}

// after runs something in the request's own scope when the handler is done.
func after(fn func(ctx context.Context)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			fn(r.Context())
		})
	}
}

// Django: handlers.tests.TransactionsPerRequestTests.test_auto_transaction (TX-043).
func TestAtomicRequests_AutoTransaction(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		var sent string
		options := app.Options{
			Middleware: []func(http.Handler) http.Handler{after(func(ctx context.Context) { sent = words(db.From(ctx)) })},
			Routes: func(s *app.Site) {
				s.POST("/", func(r *views.Request) (views.Response, error) {
					equal(t, "in a block", db.From(r.Context()).InAtomicBlock(), true)
					return views.Text{Body: "written"}, write(r.Context(), 1)
				})
			},
		}
		l := atomicSite(t, database, options)
		equal(t, "status", ask(l, "POST", "/", nil).Code, 200)
		equal(t, "stored", l.entries(t, "default"), "1")
		equal(t, "sent", sent, "BEGIN, INSERT, COMMIT")
		l.atHome(t)
	})
}

// Django: handlers.tests.TransactionsPerRequestTests.test_no_transaction (TX-042).
func TestAtomicRequests_NoTransaction(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		l := atomicSite(t, database, app.Options{Routes: func(s *app.Site) {
			s.POST("/", func(r *views.Request) (views.Response, error) {
				equal(t, "in a block", db.From(r.Context()).InAtomicBlock(), false)
				return nil, errors.Join(write(r.Context(), 1), views.ErrNotFound)
			})
		}}, func(s *app.Settings) {
			d := s.Databases["default"]
			d.AtomicRequests = false
			s.Databases["default"] = d
		})
		equal(t, "status", ask(l, "POST", "/", nil).Code, 404)
		equal(t, "stored", l.entries(t, "default"), "1")
	})
}

// Django: handlers.tests.TransactionsPerRequestTests.test_no_auto_transaction and
// test_non_atomic_requests_does_not_mutate_original (TX-045, TX-046). Opting out is the
// route's here, and the view stays what it was; those of a group add up.
func TestAtomicRequests_NoAutoTransaction(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		in := func(r *views.Request) (views.Response, error) {
			return views.Text{Body: fmt.Sprint(db.From(r.Context()).InAtomicBlock(), db.Using(r.Context(), "other").InAtomicBlock())}, nil
		}
		other := dbtest.Database(t, database.Engine)
		other.AtomicRequests = true
		l := atomicSite(t, database, app.Options{Routes: func(s *app.Site) {
			s.GET("/plain", in)
			s.GET("/bare", in, app.NonAtomic())
			s.GET("/default", in, app.NonAtomic("default"))
			s.GET("/other", in, app.NonAtomic("other"))
			g := s.Group("/group", app.NonAtomic("other"))
			g.GET("/one", in)
			g.GET("/both", in, app.NonAtomic("default"))
		}}, func(s *app.Settings) { s.Databases["other"] = other })
		for path, want := range map[string]string{
			"/plain": "true true", "/bare": "false false", "/default": "false true", "/other": "true false",
			"/group/one": "true false", "/group/both": "false false",
		} {
			equal(t, path, get(l, path).Body.String(), want)
		}
	})
	_, err := app.New(anyHost(), app.Options{Engines: engines(), Routes: func(s *app.Site) { s.GET("/", text(""), app.NonAtomic("nowhere")) }})
	if err == nil || !strings.Contains(err.Error(), `"nowhere"`) {
		t.Errorf("an alias that does not exist: %v", err)
	}
}

// A view that never queries costs no connection, whatever its response.
func TestAtomicRequests_AreLazy(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		ran := false
		l := atomicSite(t, database, app.Options{Routes: func(s *app.Site) {
			s.GET("/health", text("well"))
			s.GET("/stream", func(*views.Request) (views.Response, error) {
				return views.StreamingResponse{Body: views.Chunks(func(yield func(string) bool) { yield("well") })}, nil
			})
			s.GET("/callback", func(r *views.Request) (views.Response, error) {
				return views.Text{}, db.OnCommit(r.Context(), func(context.Context) error { ran = true; return nil })
			})
			s.GET("/error", func(*views.Request) (views.Response, error) { return nil, errors.New("failed") })
		}})
		before := l.Connections().Stats("default").Leases
		for path, want := range map[string]int{"/health": 200, "/stream": 200, "/callback": 200, "/error": 500, "/missing": 404} {
			equal(t, path, get(l, path).Code, want)
		}
		equal(t, "leases", l.Connections().Stats("default").Leases, before)
		equal(t, "the callback ran", ran, true)
	})
}

// The list of ways in which a view can end, and what is stored then.
func TestAtomicRequests_CommitWhatTheViewReturnsAndRollBackWhatItFailsWith(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		answer := func(response views.Response, err error) views.View {
			return func(r *views.Request) (views.Response, error) {
				return response, errors.Join(write(r.Context(), 1), err)
			}
		}
		views500 := views.Text{Status: 503, Body: "later"}
		l := atomicSite(t, database, app.Options{Routes: func(s *app.Site) {
			s.POST("/200", answer(views.Text{Body: "done"}, nil))
			s.POST("/302", answer(views.Redirect{To: "/"}, nil))
			s.POST("/204", answer(views.NoContent{}, nil))
			s.POST("/404", answer(views.Text{Status: 404}, nil))
			s.POST("/503", answer(views500, nil))
			s.POST("/503-back", answer(views500, nil), app.RollbackOn5xx())
			s.POST("/404-option", answer(views.Text{Status: 404}, nil), app.RollbackOn5xx())
			s.POST("/error", answer(nil, errors.New("failed")))
			s.POST("/not-found", answer(nil, views.ErrNotFound))
			s.POST("/nothing", answer(nil, nil))
			s.POST("/unrenderable", answer(views.JSON{Value: func() {}}, nil))
			s.POST("/panic", func(r *views.Request) (views.Response, error) {
				if err := write(r.Context(), 1); err != nil {
					t.Error(err)
				}
				panic("oops")
			})
		}})
		for path, want := range map[string]struct {
			status int
			stored string
		}{
			"/200": {200, "1"}, "/302": {302, "1"}, "/204": {204, "1"}, "/404": {404, "1"}, "/503": {503, "1"}, "/404-option": {404, "1"},
			"/503-back": {503, ""}, "/error": {500, ""}, "/not-found": {404, ""}, "/nothing": {500, ""}, "/unrenderable": {500, ""}, "/panic": {500, ""},
		} {
			equal(t, path, ask(l, "POST", path, nil).Code, want.status)
			equal(t, path+" stored", l.entries(t, "default"), want.stored)
			if err := l.Connections().Run(t.Context(), "clean", func(ctx context.Context) error {
				_, err := db.From(ctx).ExecContext(ctx, "DELETE FROM entry")
				return err
			}); err != nil {
				t.Fatal(err)
			}
			l.atHome(t)
		}
	})
}

// A commit that fails is a 500, and nothing of the response has left.
func TestAtomicRequests_AFailingCommitIsA500WithoutAByteOfTheResponse(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		header := http.Header{"X-Secret": {"of the response"}}
		cookies := []*http.Cookie{{Name: "session", Value: "new"}}
		ran, closed := false, false
		l := atomicSite(t, database, app.Options{Routes: func(s *app.Site) {
			for path, response := range map[string]views.Response{
				"/text":     views.Text{Body: "done", Header: header, Cookies: cookies},
				"/json":     views.JSON{Value: "done", Header: header, Cookies: cookies},
				"/nothing":  views.NoContent{Header: header, Cookies: cookies},
				"/redirect": views.Redirect{To: "/done", Header: header, Cookies: cookies},
				"/stream": views.StreamingResponse{Header: header, Cookies: cookies, Close: func() { closed = true },
					Body: func(func([]byte, error) bool) { t.Error("the generator ran") }},
				"/kept": views.StreamingResponse{Header: header, Cookies: cookies, KeepConnection: true,
					Body: func(func([]byte, error) bool) { t.Error("the generator ran") }},
			} {
				s.POST(path, func(r *views.Request) (views.Response, error) {
					return response, errors.Join(breakCommit(r.Context()), db.OnCommit(r.Context(), func(context.Context) error { ran = true; return nil }))
				})
			}
		}})
		paths := []string{"/text", "/json", "/nothing", "/redirect", "/stream", "/kept"}
		for i, path := range paths {
			w := ask(l, "POST", path, nil)
			equal(t, path, w.Code, 500)
			for _, name := range []string{"X-Secret", "Set-Cookie", "Location"} {
				equal(t, path+" "+name, w.Header().Get(name), "")
			}
			if !strings.HasPrefix(w.Body.String(), "500 ") { // the rest has the lines of this test
				t.Errorf("%s: the body is %q", path, w.Body)
			}
			event := l.finished.Wait(i + 1)[i]
			if !errors.Is(event.Err, db.ErrForeignKey) {
				t.Errorf("%s ended with %v", path, event.Err)
			}
			l.atHome(t)
		}
		equal(t, "the callback ran", ran, false)
		equal(t, "the response was closed", closed, true)
		equal(t, "stored", l.entries(t, "default"), "")
	})
}

// What a view inserts before it closes old connections is stored. Django answers 200
// and stores nothing.
func TestAtomicRequests_CloseOldConnectionsLosesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		l := atomicSite(t, database, app.Options{Routes: func(s *app.Site) {
			s.POST("/", func(r *views.Request) (views.Response, error) {
				ctx := r.Context()
				err := errors.Join(write(ctx, 1), db.CloseOldConnections(ctx), write(ctx, 2))
				for what, err := range map[string]error{"Release": db.Release(ctx), "Close": db.From(ctx).Close()} {
					if !errors.Is(err, db.ErrInAtomicBlock) {
						t.Errorf("%s in a block: %v", what, err)
					}
				}
				return views.Text{Body: "done"}, err
			})
		}})
		equal(t, "status", ask(l, "POST", "/", nil).Code, 200)
		equal(t, "stored", l.entries(t, "default"), "1 2")
	})
}

// A middleware's own statements are not in the block of the view, and a goroutine of
// the request that has the outer context cannot write into it.
func TestAtomicRequests_TheMiddlewareIsOutside(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		var outside context.Context
		l := atomicSite(t, database, app.Options{
			Middleware: []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					outside = r.Context() //nolint:fatcontext // for the view to misuse
					if err := write(r.Context(), 1); err != nil {
						t.Error(err)
					}
					next.ServeHTTP(w, r)
					if err := write(r.Context(), 3); err != nil {
						t.Error(err)
					}
				})
			}},
			Routes: func(s *app.Site) {
				s.POST("/", func(r *views.Request) (views.Response, error) {
					// It counts as a block from its entry, before anything was sent.
					if err := write(outside, 2); !errors.Is(err, db.ErrOutsideBlock) {
						t.Errorf("outside: %v", err)
					}
					return nil, errors.Join(write(r.Context(), 2), views.ErrNotFound)
				})
			},
		})
		equal(t, "status", ask(l, "POST", "/", nil).Code, 404)
		equal(t, "stored", l.entries(t, "default"), "1 3")
	})
}

func TestAtomicRequests_AFailedStatementThatWasSwallowedIsA500(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		l := atomicSite(t, database, app.Options{Routes: func(s *app.Site) {
			s.POST("/", func(r *views.Request) (views.Response, error) {
				if err := write(r.Context(), 1); err != nil {
					return nil, err
				}
				_ = write(r.Context(), 1)
				return views.Text{Body: "done"}, nil
			})
		}})
		equal(t, "status", ask(l, "POST", "/", nil).Code, 500)
		event := l.finished.Wait(1)[0]
		if !errors.Is(event.Err, db.ErrTransactionAborted) || !strings.Contains(event.Err.Error(), "app/atomic_requests_test.go:") {
			t.Errorf("it ended with %v", event.Err)
		}
		equal(t, "stored", l.entries(t, "default"), "")
	})
}

// Two aliases, two blocks; only those that are used cost a connection.
func TestAtomicRequests_OfTwoAliases(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		other := dbtest.Database(t, database.Engine)
		other.AtomicRequests = true
		l := atomicSite(t, database, app.Options{Routes: func(s *app.Site) {
			s.POST("/both", func(r *views.Request) (views.Response, error) {
				return views.Text{}, errors.Join(write(r.Context(), 1), writeTo(r.Context(), "other", 1))
			})
			s.POST("/fails", func(r *views.Request) (views.Response, error) {
				return views.Text{}, errors.Join(write(r.Context(), 2), writeTo(r.Context(), "other", 2), errors.New("failed"))
			})
			s.POST("/half", func(r *views.Request) (views.Response, error) {
				return views.Text{}, errors.Join(breakCommit(r.Context()), writeTo(r.Context(), "other", 3))
			})
		}}, func(s *app.Settings) { s.Databases["other"] = other })
		for path, want := range map[string]int{"/both": 200, "/fails": 500, "/half": 500} {
			equal(t, path, ask(l, "POST", path, nil).Code, want)
		}
		equal(t, "stored in default", l.entries(t, "default"), "1")
		equal(t, "stored in other", l.entries(t, "other"), "1")
	})
}
