package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// A stream is outside: the block is committed, its callbacks have run, and nothing is
// leased before the generator starts.
func TestAtomicRequests_AStreamIsOutsideOfTheBlock(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		var l *ledger
		ran := false
		l = atomicSite(t, database, app.Options{Routes: func(s *app.Site) {
			s.POST("/", func(r *views.Request) (views.Response, error) {
				ctx := r.Context()
				err := errors.Join(write(ctx, 1), db.OnCommit(ctx, func(context.Context) error { ran = true; return nil }))
				return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
					equal(t, "the callback ran", ran, true)
					equal(t, "in a block", db.From(ctx).InAtomicBlock(), false)
					equal(t, "in use", l.Connections().Stats("default").InUse, 0)
					if !yield([]byte(l.entries(t, "default")), nil) {
						return
					}
					if err := write(ctx, 2); err != nil { // autocommit
						yield(nil, err)
						return
					}
					yield(nil, errors.New("broken off"))
				}}, err
			})
		}})
		l.over("HTTP/1.1")
		_, body, err := l.fetch(t, "POST", "/", nil)
		if err == nil {
			t.Error("the response was not broken off")
		}
		equal(t, "the body", body, "1")
		equal(t, "stored", l.entries(t, "default"), "1 2")
	})
}

// Callbacks run between the commit and the first byte, and one that fails is
// reported: the response stays what it was.
func TestAtomicRequests_ACallbackThatFailsIsReported(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		failure := errors.New("no mail today")
		l := atomicSite(t, database, app.Options{Routes: func(s *app.Site) {
			s.POST("/", func(r *views.Request) (views.Response, error) {
				ctx := r.Context()
				return views.Text{Body: "ordered"}, errors.Join(write(ctx, 1),
					db.OnCommit(ctx, func(context.Context) error { return failure }),
					db.OnCommit(ctx, func(ctx context.Context) error { return write(ctx, 2) }))
			})
		}})
		w := ask(l, "POST", "/", nil)
		equal(t, "the answer", fmt.Sprint(w.Code, w.Body), "200 ordered")
		equal(t, "stored", l.entries(t, "default"), "1 2")
		if event := l.failed.Wait(1)[0]; !errors.Is(event.Err, failure) || !errors.Is(event.Err, db.ErrOnCommit) {
			t.Errorf("reported: %v", event.Err)
		}
	})
}

// A client that has left before the view returned rolls its block back.
func TestAtomicRequests_AClientThatLeftRollsBack(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		client, leave := context.WithCancel(t.Context())
		l := atomicSite(t, database, app.Options{Routes: func(s *app.Site) {
			s.POST("/", func(r *views.Request) (views.Response, error) {
				err := write(r.Context(), 1)
				leave()
				<-r.Context().Done()
				return views.Text{Body: "done"}, err
			})
		}})
		ask(l, "POST", "/", nil, func(r *http.Request) { *r = *r.WithContext(client) })
		equal(t, "stored", l.entries(t, "default"), "")
		l.atHome(t)
	})
}

// While a template is rendered the block is still open: lazy queries see what the
// view wrote, and their error rolls back.
func TestAtomicRequests_RenderingIsInTheBlock(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		l := atomicSite(t, database, app.Options{Routes: func(s *app.Site) {
			s.POST("/", func(r *views.Request) (views.Response, error) {
				return views.JSON{Value: lazily(func() ([]byte, error) {
					var n int
					err := db.From(r.Context()).NewSelect().Table("entry").ColumnExpr("count(*)").Scan(r.Context(), &n)
					return fmt.Append(nil, n), err
				})}, write(r.Context(), 1)
			})
			s.POST("/fails", func(r *views.Request) (views.Response, error) {
				return views.JSON{Value: lazily(func() ([]byte, error) { return nil, errors.New("no") })}, write(r.Context(), 2)
			})
		}})
		equal(t, "the answer", ask(l, "POST", "/", nil).Body.String(), "1")
		equal(t, "a failing one", ask(l, "POST", "/fails", nil).Code, 500)
		equal(t, "stored", l.entries(t, "default"), "1")
	})
}

type lazily func() ([]byte, error)

func (l lazily) MarshalJSON() ([]byte, error) { return l() }

// A wrapped handler of net/http has the block until its first byte.
func TestAtomicRequests_AWrappedHandler(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		l := atomicSite(t, database, app.Options{Routes: func(s *app.Site) {
			s.POST("/site", func(r *views.Request) (views.Response, error) {
				equal(t, "in a block", db.From(r.Context()).InAtomicBlock(), true)
				return views.Text{Body: "site"}, write(r.Context(), 10)
			})
			s.POST("/free", func(r *views.Request) (views.Response, error) {
				equal(t, "in a block", db.From(r.Context()).InAtomicBlock(), false)
				return nil, errors.Join(write(r.Context(), 11), views.ErrNotFound)
			}, app.NonAtomic())
		}})
		handle := func(fn func(w http.ResponseWriter, ctx context.Context)) http.Handler {
			return l.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fn(w, r.Context()) }))
		}
		must := func(err error) {
			if err != nil {
				t.Error(err)
			}
		}
		w := ask(handle(func(w http.ResponseWriter, ctx context.Context) {
			must(write(ctx, 1))
			equal(t, "in a block", db.From(ctx).InAtomicBlock(), true)
			_, _ = io.WriteString(w, "first byte")
			equal(t, "in a block after it", db.From(ctx).InAtomicBlock(), false)
			must(write(ctx, 2))
		}), "POST", "/", nil)
		equal(t, "the answer", w.Body.String(), "first byte")

		w = ask(handle(func(w http.ResponseWriter, ctx context.Context) { must(write(ctx, 3)) }), "POST", "/", nil)
		equal(t, "one that writes nothing", w.Code, 200)

		w = ask(handle(func(w http.ResponseWriter, ctx context.Context) { must(write(ctx, 4)); panic("oops") }), "POST", "/", nil)
		equal(t, "one that panics", w.Code, 500)

		w = ask(handle(func(w http.ResponseWriter, ctx context.Context) {
			must(breakCommit(ctx))
			w.Header().Set("X-Secret", "of the response")
			w.WriteHeader(http.StatusCreated)
			if _, err := io.WriteString(w, "done"); !errors.Is(err, db.ErrForeignKey) {
				t.Errorf("a write after the commit has failed: %v", err)
			}
		}), "POST", "/", nil)
		equal(t, "one whose commit fails", fmt.Sprint(w.Code, w.Header().Get("X-Secret")), "500")

		for path, want := range map[string]int{"/site": 200, "/free": 404} {
			equal(t, "a wrapped site: "+path, ask(l.Wrap(l.Site), "POST", path, nil).Code, want)
		}
		equal(t, "stored", l.entries(t, "default"), "1 2 3 10 11")
		l.atHome(t)
	})
}

// Readers never queue behind each other: 50 views are in their blocks, and have read,
// at the same time. A GET that writes all the same may collide with another writer.
func TestAtomicRequests_ReadersOverlap(t *testing.T) {
	t.Parallel()
	const readers = 50
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		database.MaxConnections = readers
		var reading sync.WaitGroup
		reading.Add(readers)
		l := atomicSite(t, database, app.Options{Routes: func(s *app.Site) {
			s.GET("/", func(r *views.Request) (views.Response, error) {
				ctx := r.Context()
				n, err := db.From(ctx).NewSelect().Table("entry").Count(ctx)
				reading.Done()
				reading.Wait() // for all of them, with the block open
				equal(t, "entries", n, 0)
				return views.Text{Body: "read"}, err
			})
			s.GET("/writes", func(r *views.Request) (views.Response, error) {
				ctx := r.Context()
				if _, err := db.From(ctx).NewSelect().Table("entry").Count(ctx); err != nil {
					return nil, err
				}
				if err := db.Run(context.WithoutCancel(ctx), "rival", func(ctx context.Context) error { return write(ctx, 1) }); err != nil {
					return nil, err
				}
				err := write(ctx, 2)
				if database.Engine == dbtest.SQLite && !errors.Is(err, db.ErrSerialization) {
					t.Errorf("a reader that writes too late: %v", err)
				}
				return views.Text{}, err
			})
		}})
		var all sync.WaitGroup
		for range readers {
			all.Go(func() { equal(t, "status", get(l, "/").Code, 200) })
		}
		all.Wait()
		want := map[string]string{dbtest.SQLite: "1", dbtest.Postgres: "1 2"}
		get(l, "/writes")
		equal(t, "stored", l.entries(t, "default"), want[database.Engine])
	})
}

func TestAtomicRequests_ABlockLeftOpenInsideIsAnError(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		l := atomicSite(t, database, app.Options{Routes: func(s *app.Site) {
			s.POST("/", func(r *views.Request) (views.Response, error) {
				_, err := db.From(r.Context()).BeginTx(r.Context(), nil)
				return views.Text{Body: "done"}, err
			})
		}})
		equal(t, "status", ask(l, "POST", "/", nil).Code, 500)
		event := l.finished.Wait(1)[0]
		if !errors.Is(event.Err, db.ErrInAtomicBlock) || !strings.Contains(event.Err.Error(), "app/atomic_life_test.go:") {
			t.Errorf("it ended with %v", event.Err)
		}
		l.atHome(t)
	})
}
