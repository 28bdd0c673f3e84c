package views_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"

	"github.com/goquintet/quintet/views"
)

// How does a page follow what happens? With server-sent events: typed data, and
// ids from which a browser goes on when it connects again.
func ExampleEvents() {
	type Price struct {
		Item string
		EUR  float64
	}
	prices := func(r *views.Request) (views.Response, error) {
		last, _ := strconv.Atoi(r.LastEventID())
		return views.Events(func(yield func(views.Event[Price], error) bool) {
			for n := last + 1; n <= 3; n++ {
				event := views.Event[Price]{ID: strconv.Itoa(n), Event: "price", Data: Price{"tea", float64(n)}}
				if !yield(event, nil) || views.Sleep(r.Context(), time.Millisecond) != nil {
					return
				}
			}
		}), nil
	}

	r := httptest.NewRequest(http.MethodGet, "/prices", nil)
	r.Header.Set("Last-Event-ID", "1")
	request := views.NewRequest(r, nil)
	response, _ := prices(request)
	recorder := httptest.NewRecorder()
	err := response.Respond(recorder, request)
	fmt.Println(recorder.Header().Get("Content-Type"), err)
	fmt.Print(recorder.Body)
	// Output:
	// text/event-stream <nil>
	// id: 2
	// event: price
	// data: {"Item":"tea","EUR":2}
	//
	// id: 3
	// event: price
	// data: {"Item":"tea","EUR":3}
}
