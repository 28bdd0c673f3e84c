package views_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/goquintet/quintet/views"
)

// How does a table get into a spreadsheet, when strangers have written what is in
// it? With a name to save it under, and without formulas.
func ExampleCSVWith() {
	type Comment struct {
		Author string
		Text   string
		Score  int
	}
	export := func(*views.Request) (views.Response, error) {
		return views.StreamingResponse{
			ContentType: "text/csv; charset=utf-8",
			Attachment:  "Beiträge.csv",
			Body: views.CSVWith(views.CSVOptions{FormulaSafe: true}, func(yield func(Comment, error) bool) {
				_ = yield(Comment{"Ann", "fine, thanks", 7}, nil) && yield(Comment{"Eve", "=HYPERLINK(A1)", -3}, nil)
			}),
		}, nil
	}

	request := views.NewRequest(httptest.NewRequest(http.MethodGet, "/comments.csv", nil), nil)
	response, _ := export(request)
	recorder := httptest.NewRecorder()
	fmt.Println(response.Respond(recorder, request))
	fmt.Println(recorder.Header().Get("Content-Disposition"))
	fmt.Print(recorder.Body)
	// Output:
	// <nil>
	// attachment; filename="Beitr_ge.csv"; filename*=UTF-8''Beitr%C3%A4ge.csv
	// author,text,score
	// Ann,"fine, thanks",7
	// Eve,'=HYPERLINK(A1),-3
}
