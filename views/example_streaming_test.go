package views_test

import (
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"

	"github.com/goquintet/quintet/views"
)

// What is a stream's Body? A generator: any sequence of chunks that may fail. A
// typed sequence of rows, such as db.Iterate gives, becomes one with CSV.
func ExampleStreamingResponse() {
	type Sale struct {
		ID     int64
		Region string
		Amount float64 `csv:"amount_eur"`
	}
	var sales iter.Seq2[Sale, error] = func(yield func(Sale, error) bool) {
		_ = yield(Sale{1, "North", 19.99}, nil) && yield(Sale{2, "South, East", 5}, nil)
	}

	export := func(*views.Request) (views.Response, error) {
		return views.StreamingResponse{
			ContentType: "text/csv",
			Body:        views.CSV(sales),
			Close:       func() { fmt.Println("closed") },
		}, nil
	}

	request := views.NewRequest(httptest.NewRequest(http.MethodGet, "/sales/export.csv", nil), nil)
	response, _ := export(request)
	recorder := httptest.NewRecorder()
	fmt.Println(response.Respond(recorder, request))
	fmt.Print(recorder.Body)
	// Output:
	// closed
	// <nil>
	// id,region,amount_eur
	// 1,North,19.99
	// 2,"South, East",5
}
