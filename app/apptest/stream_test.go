package apptest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/apptest"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
)

func TestClient_AClientThatLeavesEndsTheStream(t *testing.T) {
	t.Parallel()
	left := make(chan error, 1)
	site := apptest.New(t, on(dbtest.SQLite, func(site *app.Site) {
		site.GET("/", func(r *views.Request) (views.Response, error) {
			return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
				yield([]byte("one"), nil)
				<-r.Context().Done()
				left <- context.Cause(r.Context())
			}}, nil
		})
	}))
	s := site.Client.Stream("/")
	if chunk, err := s.Next(); string(chunk) != "one" || err != nil {
		t.Errorf("%q, %v", chunk, err)
	}
	s.Close()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the cause is %v", err)
	}
	if finished := apptest.Sent[signals.RequestFinished](s.Response); len(finished) != 1 || !errors.Is(finished[0].Err, views.ErrClientGone) {
		t.Errorf("finished %+v", finished)
	}
	if _, err := s.Next(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("after Close: %v", err)
	}
	s.Close()
}

func TestClient_AResponseThatIsBrokenOffBeforeItsStatusIsNone(t *testing.T) {
	t.Parallel()
	asked := 0
	site := apptest.New(t, on(dbtest.SQLite, func(site *app.Site) {
		site.GET("/", func(*views.Request) (views.Response, error) {
			asked++
			panic(http.ErrAbortHandler)
		})
	}))
	r := site.Client.Get("/")
	if r.StatusCode != 0 || r.Broken == nil || !errors.Is(r.Err, http.ErrAbortHandler) || r.Route != "GET /" || asked != 1 {
		t.Errorf("status %d, broken %v, err %v, route %q, asked %d times", r.StatusCode, r.Broken, r.Err, r.Route, asked)
	}
}

// Each flush is a chunk, however long, and whatever the client's buffer is.
func TestClient_ChunksAreWhatTheSiteHasFlushed(t *testing.T) {
	t.Parallel()
	sizes := []int{1, 5000, 100_000, 7}
	site := apptest.New(t, on(dbtest.SQLite, func(site *app.Site) {
		site.GET("/", func(*views.Request) (views.Response, error) {
			return raw(func(w http.ResponseWriter, _ *views.Request) error {
				for _, n := range sizes {
					for _, part := range []int{n / 2, n - n/2} {
						if _, err := io.WriteString(w, strings.Repeat("x", part)); err != nil {
							return err
						}
					}
					if err := http.NewResponseController(w).Flush(); err != nil {
						return err
					}
				}
				_, err := io.WriteString(w, "rest")
				return err
			}), nil
		})
		site.GET("/nothing", func(*views.Request) (views.Response, error) { return views.NoContent{}, nil })
	}))
	r := site.Client.Get("/")
	var got []int
	for _, chunk := range r.Chunks {
		got = append(got, len(chunk))
	}
	if fmt.Sprint(got) != fmt.Sprint(append(sizes, 4)) {
		t.Errorf("%v, want %v and 4", got, sizes)
	}
	for _, r := range []*apptest.Response{site.Client.Head("/"), site.Client.Get("/nothing")} {
		if len(r.Content) != 0 || r.Broken != nil || !r.ReleasedBeforeBody {
			t.Errorf("%s %s: %d bytes, broken %v, released %v", r.Request.Method, r.Request.URL.Path, len(r.Content), r.Broken, r.ReleasedBeforeBody)
		}
	}
}

// In a bubble the time goes on while the client waits: an hour takes no time.
func TestClient_WorksInABubbleOfTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := apptest.New(t, func() (*app.Site, error) {
			return app.New(app.Settings{}, app.Options{Routes: func(site *app.Site) {
				site.GET("/", func(r *views.Request) (views.Response, error) {
					return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
						for range 3 {
							if !yield([]byte("tick"), views.Sleep(r.Context(), time.Hour)) {
								return
							}
						}
					}}, nil
				})
			}})
		})
		began := time.Now()
		r := site.Client.Get("/")
		if r.Text() != "tickticktick" || len(r.Chunks) != 3 || r.Broken != nil {
			t.Errorf("%q, %v", r.Chunks, r.Broken)
		}
		if took := time.Since(began); took != 3*time.Hour {
			t.Errorf("took %v", took)
		}
	})
}
