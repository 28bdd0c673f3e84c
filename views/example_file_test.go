package views_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing/fstest"

	"github.com/goquintet/quintet/views"
)

// What does a client get of a file? What it asks for: all of it, a range, or the
// news that it has not changed; and nothing outside of the folder.
func ExampleFile() {
	reports := fstest.MapFS{"2026/sales.txt": {Data: []byte("0123456789")}}
	report := func(r *views.Request) (views.Response, error) {
		return views.File{FS: reports, Name: r.Query("name"), Attachment: "sales.txt"}, nil
	}

	for _, name := range []string{"2026/sales.txt", "2026", "../secret"} {
		r := httptest.NewRequest(http.MethodGet, "/reports?name="+name, nil)
		r.Header.Set("Range", "bytes=2-4")
		request := views.NewRequest(r, nil)
		response, _ := report(request)
		recorder := httptest.NewRecorder()
		if err := response.Respond(recorder, request); err != nil {
			fmt.Println(errors.Is(err, views.ErrNotFound))
			continue
		}
		fmt.Println(recorder.Code, recorder.Body, recorder.Header().Get("Content-Disposition"))
	}
	// Output:
	// 206 234 attachment; filename="sales.txt"
	// true
	// true
}
