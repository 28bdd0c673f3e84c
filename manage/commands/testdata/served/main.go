// Command served is the site that the tests of serve run as a process: it tells who
// asks, and its streams go on when they are told to.
package main

import (
	"embed"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/sqlite"
	"github.com/goquintet/quintet/manage/commands"
	"github.com/goquintet/quintet/views"
)

//go:embed migrations
var files embed.FS

func main() { commands.Main(site) }

func site() (*app.Site, error) {
	settings, err := app.Load("settings.yaml")
	if err != nil {
		return nil, err
	}
	migrations, err := fs.Sub(files, "migrations")
	if err != nil {
		return nil, err
	}
	s := &steps{next: make(chan string)}
	return app.New(settings, app.Options{
		Engines:    []db.Engine{sqlite.Engine{}},
		Apps:       []app.App{{Name: "notes", Migrations: migrations}},
		Middleware: []func(http.Handler) http.Handler{sign},
		Routes: func(site *app.Site) {
			site.GET("/who", who)
			site.POST("/echo", echo)
			site.GET("/events", s.events)
			site.GET("/chunks", s.chunks)
			site.GET("/fails", fails)
			site.GET("/wait", s.wait)
			site.POST("/next", s.step)
		},
	})
}

// sign says which process answers.
func sign(next http.Handler) http.Handler {
	pid := strconv.Itoa(os.Getpid())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Process", pid)
		next.ServeHTTP(w, r)
	})
}

// who tells what the site believes about the request.
func who(r *views.Request) (views.Response, error) {
	return views.JSON{Value: map[string]string{
		"client": app.ClientIP(r.Request).String(), "scheme": app.Scheme(r.Request), "host": r.Host, "id": app.RequestID(r.Context()),
	}}, nil
}

func echo(r *views.Request) (views.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return views.Text{Body: string(body)}, nil
}

// steps lets a client decide when a stream goes on.
type steps struct{ next chan string }

// step hands its body to whoever waits for it.
func (s *steps) step(r *views.Request) (views.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	select {
	case s.next <- string(body):
		return views.NoContent{}, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func (s *steps) events(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	return views.Events(func(yield func(views.Event[string], error) bool) {
		for text := "first"; yield(views.Event[string]{Data: text}, nil); {
			select {
			case text = <-s.next:
			case <-ctx.Done():
				return
			}
		}
	}), nil
}

func (s *steps) chunks(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	return views.StreamingResponse{ContentType: "text/csv", Body: func(yield func([]byte, error) bool) {
		for text := "first"; yield([]byte(text+"\n"), nil); {
			select {
			case text = <-s.next:
			case <-ctx.Done():
				return
			}
		}
	}}, nil
}

// fails is a stream that fails after its first line.
func fails(*views.Request) (views.Response, error) {
	return views.StreamingResponse{ContentType: "text/csv", Body: func(yield func([]byte, error) bool) {
		if yield([]byte("half\n"), nil) {
			yield(nil, errors.New("served: the stream fails"))
		}
	}}, nil
}

// wait begins an answer, and ends it with the next step: no stream, and so it is not
// told that the site stops.
func (s *steps) wait(*views.Request) (views.Response, error) { return waiting{s}, nil }

type waiting struct{ *steps }

func (w waiting) Respond(to http.ResponseWriter, r *views.Request) error {
	if _, err := io.WriteString(to, "begun\n"); err != nil {
		return err
	}
	if err := http.NewResponseController(to).Flush(); err != nil {
		return err
	}
	select {
	case text := <-w.next:
		_, err := io.WriteString(to, text)
		return err
	case <-r.Context().Done():
		return r.Context().Err()
	}
}
