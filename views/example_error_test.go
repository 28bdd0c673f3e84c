package views_test

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/goquintet/quintet/views"
)

// Who reads an error of a view? The client its Message, the log all of it.
func ExampleError() {
	err := fmt.Errorf("vote: %w", &views.Error{
		Status:  http.StatusForbidden,
		Message: "This poll has ended.",
		Err:     errors.New("poll 7 ended at noon"),
	})
	fmt.Println("client:", views.StatusOf(err), views.MessageOf(err))
	fmt.Println("log:   ", err)
	fmt.Println(errors.Is(err, views.ErrPermission))
	// Output:
	// client: 403 This poll has ended.
	// log:    vote: views: 403 forbidden: This poll has ended.: poll 7 ended at noon
	// true
}
