package views_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/goquintet/quintet/views"
)

// How does a program read a long list while it is made? As JSON, a value a line.
func ExampleJSONLines() {
	type Reading struct {
		Sensor string
		C      float64
	}
	readings := func(*views.Request) (views.Response, error) {
		return views.StreamingResponse{
			ContentType: "application/x-ndjson",
			Body: views.JSONLines(func(yield func(Reading, error) bool) {
				_ = yield(Reading{"roof", 21.5}, nil) && yield(Reading{"cellar", 12}, nil)
			}),
		}, nil
	}

	request := views.NewRequest(httptest.NewRequest(http.MethodGet, "/readings", nil), nil)
	response, _ := readings(request)
	recorder := httptest.NewRecorder()
	fmt.Println(response.Respond(recorder, request))
	fmt.Print(recorder.Body)
	// Output:
	// <nil>
	// {"Sensor":"roof","C":21.5}
	// {"Sensor":"cellar","C":12}
}
