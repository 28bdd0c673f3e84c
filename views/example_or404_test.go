package views_test

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/goquintet/quintet/views"
)

// What happens to a row that does not exist? Or404 makes it a page that does not
// exist; every other error stays what it is. (Django's get_object_or_404.)
func ExampleOr404() {
	for _, err := range []error{nil, sql.ErrNoRows, errors.New("connection refused")} {
		err = views.Or404(err)
		fmt.Println(views.StatusOf(err), views.MessageOf(err))
	}
	// Output:
	// 200 OK
	// 404 Not Found
	// 500 Internal Server Error
}
