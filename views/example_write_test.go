package views_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/goquintet/quintet/views"
)

// How is something streamed that wants an io.Writer? With Write, whose context is
// the request's.
func ExampleWrite() {
	response := views.StreamingResponse{
		ContentType: "application/x-ndjson",
		Body: views.Write(func(ctx context.Context, w io.Writer) error {
			lines := json.NewEncoder(w)
			for n := range 3 {
				if err := lines.Encode(map[string]int{"n": n}); err != nil {
					return err // also when the client has gone
				}
			}
			return ctx.Err()
		}),
	}

	recorder := httptest.NewRecorder()
	err := response.Respond(recorder, views.NewRequest(httptest.NewRequest(http.MethodGet, "/", nil), nil))
	fmt.Print(recorder.Body)
	fmt.Println(err)
	// Output:
	// {"n":0}
	// {"n":1}
	// {"n":2}
	// <nil>
}
