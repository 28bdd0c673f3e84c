package apptest_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/apptest"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/sqlite"
	"github.com/goquintet/quintet/views"
)

// note is the one model of the site.
type note struct {
	ID   int64 `bun:",pk,autoincrement"`
	Text string
}

// notes is an app that keeps notes.
func notes() app.App {
	return app.App{
		Name: "notes",
		Migrations: fstest.MapFS{
			"0001_initial.sql":          {Data: []byte("-- +goose Up\nCREATE TABLE notes (id integer PRIMARY KEY AUTOINCREMENT, text text NOT NULL UNIQUE);\n")},
			"0001_initial.postgres.sql": {Data: []byte("-- +goose Up\nCREATE TABLE notes (id bigserial PRIMARY KEY, text text NOT NULL UNIQUE);\n")},
		},
		Templates: fstest.MapFS{"notes/list.html": {Data: []byte("<ul>{{range .}}<li>{{.Text}}</li>{{end}}</ul>")}},
	}
}

// on makes the site of the notes for an engine.
func on(engine string, routes func(*app.Site)) func() (*app.Site, error) {
	return func() (*app.Site, error) {
		database := db.Settings{Engine: engine, Name: "nobodys"}
		database.AcquireTimeout, database.ConnectTimeout = time.Minute, time.Minute // of a crowd on a busy machine
		return app.New(
			app.Settings{Databases: map[string]db.Settings{db.DefaultAlias: database}},
			app.Options{
				Engines: []db.Engine{sqlite.Engine{}, postgres.Engine{}},
				Apps:    []app.App{notes()},
				Routes:  routes,
			})
	}
}

// onEach runs a test on a site of each engine.
func onEach(t *testing.T, routes func(*app.Site), test func(t *testing.T, site *apptest.Site), options ...apptest.Option) {
	t.Parallel()
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			test(t, apptest.New(t, on(engine, routes), options...))
		})
	}
}

func urls(site *app.Site) {
	site.GET("/", list, app.Name("list"))
	site.POST("/", add)
	site.GET("/export", export)
	site.GET("/broken", broken)
	site.GET("/held", held)
	site.GET("/kept", kept)
	site.GET("/old", func(*views.Request) (views.Response, error) { return views.Redirect{To: "/older"}, nil })
	site.GET("/older", func(*views.Request) (views.Response, error) { return views.Redirect{To: "/"}, nil })
	site.GET("/away", func(*views.Request) (views.Response, error) {
		return views.Redirect{To: "http://elsewhere.example/"}, nil
	})
	site.Any("/echo", echo)
	site.GET("/fail", func(*views.Request) (views.Response, error) { return nil, errSpilt })
	site.GET("/panic", func(*views.Request) (views.Response, error) { panic("ink") })
	site.GET("/events", events)
}

var errSpilt = errors.New("the ink is spilt")

func list(r *views.Request) (views.Response, error) {
	var all []note
	err := db.From(r.Context()).NewSelect().Model(&all).Order("id").Scan(r.Context())
	return views.Template{Name: "notes/list.html", Data: all}, err
}

func insert(ctx context.Context, text string) error {
	_, err := db.From(ctx).NewInsert().Model(&note{Text: text}).Exec(ctx)
	return err
}

func count(ctx context.Context) (int64, error) {
	return db.From(ctx).NewSelect().Model((*note)(nil)).Count(ctx)
}

func add(r *views.Request) (views.Response, error) {
	if err := insert(r.Context(), r.FormValue("text")); err != nil {
		return nil, err
	}
	return views.Redirect{To: "/", Status: http.StatusSeeOther}, nil
}

// export inserts, releases and streams what there is.
func export(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	if err := insert(ctx, cmp.Or(r.Query("text"), "exported")); err != nil {
		return nil, err
	}
	return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
		for n, err := range db.Iterate[note](ctx, db.From(ctx).NewSelect()) {
			if !yield([]byte(n.Text+"\n"), err) || err != nil {
				return
			}
		}
	}}, nil
}

func broken(r *views.Request) (views.Response, error) {
	return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
		if yield([]byte("half"), nil) {
			yield(nil, errSpilt)
		}
	}}, nil
}

// held writes while rows are open.
func held(r *views.Request) (views.Response, error) {
	return raw(func(w http.ResponseWriter, r *views.Request) error {
		rows, err := db.From(r.Context()).QueryContext(r.Context(), "SELECT 1")
		if err != nil {
			return err
		}
		defer rows.Close()
		if _, err := io.WriteString(w, "one"); err != nil {
			return err
		}
		return rows.Err()
	}), nil
}

type raw func(w http.ResponseWriter, r *views.Request) error

func (f raw) Respond(w http.ResponseWriter, r *views.Request) error { return f(w, r) }

func kept(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	if _, err := count(ctx); err != nil {
		return nil, err
	}
	return views.StreamingResponse{KeepConnection: true, Body: func(yield func([]byte, error) bool) {
		yield([]byte("kept"), nil)
	}}, nil
}

// echo says what it was sent.
func echo(r *views.Request) (views.Response, error) {
	said := map[string]any{"method": r.Method, "type": r.Header.Get("Content-Type"), "host": r.Host, "ink": r.Header.Get("Ink")}
	if cookie, err := r.Cookie("seen"); err == nil {
		said["seen"] = cookie.Value
	}
	if file, header, err := r.FormFile("scan"); err == nil {
		content, err := io.ReadAll(file)
		if err != nil {
			return nil, err
		}
		said["scan"] = header.Filename + ": " + string(content)
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		said["json"] = string(content)
	}
	said["text"] = r.FormValue("text")
	return views.JSON{Value: said, Cookies: []*http.Cookie{{Name: "seen", Value: "yes", Path: "/"}}}, nil
}

func events(*views.Request) (views.Response, error) {
	return views.Events(func(yield func(views.Event[string], error) bool) {
		_ = yield(views.Event[string]{ID: "1", Event: "tick", Data: "a\nb"}, nil) &&
			yield(views.Event[string]{Comment: "still here"}, nil) &&
			yield(views.Event[string]{Data: "c"}, nil)
	}), nil
}
