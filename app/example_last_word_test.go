package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/views"
)

// What does a stream say when it has to end? Its context tells it why, and one more
// event is taken: by the site's shutdown as by the age of the stream.
func Example_lastWord() {
	site, err := app.New(app.Settings{AllowedHosts: []string{"127.0.0.1"}}, app.Options{
		Logger: slog.New(slog.DiscardHandler),
		Routes: func(site *app.Site) {
			site.GET("/news", func(r *views.Request) (views.Response, error) {
				ctx := r.Context()
				response := views.Events(func(yield func(views.Event[string], error) bool) {
					if !yield(views.Event[string]{ID: "7", Data: "hello"}, nil) {
						return
					}
					<-ctx.Done()
					switch cause := context.Cause(ctx); {
					case errors.Is(cause, app.ErrShutdown):
						yield(views.Event[string]{Event: "bye", Data: "the site restarts", Retry: 3 * time.Second}, nil)
					case errors.Is(cause, views.ErrMaxAge):
						yield(views.Event[string]{Event: "bye", Data: "come again"}, nil)
					}
				})
				response.MaxAge = 50 * time.Millisecond
				return response, nil
			})
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(site)
	defer server.Close()
	response, err := server.Client().Get(server.URL + "/news")
	if err != nil {
		fmt.Println(err)
		return
	}
	body, err := io.ReadAll(response.Body)
	fmt.Printf("%s%v %v %v\n", body, err, response.Body.Close(), site.Close())
	// Output:
	// id: 7
	// data: hello
	//
	// event: bye
	// data: come again
	//
	// <nil> <nil> <nil>
}
