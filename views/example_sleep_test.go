package views_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/goquintet/quintet/views"
)

// How does a generator wait? With the request's context, so that it ends when its
// client leaves and does not find out at the next tick.
func ExampleSleep() {
	ctx, leave := context.WithCancel(context.Background())
	ticks := func(r *views.Request) views.StreamingResponse {
		return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
			defer fmt.Println("the generator cleans up")
			for yield([]byte("tick\n"), nil) {
				if err := views.Sleep(r.Context(), time.Hour); err != nil {
					return
				}
			}
		}}
	}

	time.AfterFunc(10*time.Millisecond, leave) // the client
	request := views.NewRequest(httptest.NewRequestWithContext(ctx, http.MethodGet, "/ticks", nil), nil)
	err := ticks(request).Respond(httptest.NewRecorder(), request)
	fmt.Println(errors.Is(err, views.ErrClientGone))
	// Output:
	// the generator cleans up
	// true
}
