package views_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/goquintet/quintet/views"
)

// How is a view tested? It is a function: call it, and have its response write to
// a recorder. Nobody serves the request, so there is no cycle to pass.
func Example() {
	hello := func(r *views.Request) (views.Response, error) {
		return views.Text{Body: "Hello, " + r.Query("name") + "!"}, nil
	}

	request := views.NewRequest(httptest.NewRequest(http.MethodGet, "/hello?name=Ada", nil), nil)
	response, err := hello(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	recorder := httptest.NewRecorder()
	err = response.Respond(recorder, request)
	fmt.Println(recorder.Code, recorder.Body, err)
	// Output: 200 Hello, Ada! <nil>
}
