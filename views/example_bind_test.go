package views_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/goquintet/quintet/views"
)

// What does a client learn about a form that it filled in wrongly? Everything at
// once, by field.
func ExampleRequest_Bind() {
	type SignUp struct {
		Name string `form:"name"`
		Age  uint8  `form:"age"`
		News bool   `form:"news"`
	}
	r := httptest.NewRequest(http.MethodPost, "/sign-up?age=36", strings.NewReader("name=Ada&age=many&news=perhaps"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")

	var form SignUp
	err := views.NewRequest(r, nil).Bind(&form)
	fmt.Println(views.StatusOf(err))
	if wrong, ok := errors.AsType[*views.BindError](err); ok {
		for _, field := range wrong.Fields {
			fmt.Println(field.Field, field.Message)
		}
	}
	// Output:
	// 400
	// age must be a whole number, not negative
	// news must be true or false
}
