package app_test

import (
	"errors"
	"fmt"

	"github.com/goquintet/quintet/app"
)

// What does Load say about mistakes? All of them at once, each with its place and
// what to do.
func ExampleLoad_mistakes() {
	_, err := app.Load("testdata/settings/mistakes.yaml")
	fmt.Println(err)

	// Output:
	// testdata/settings/mistakes.yaml:1: DEBG: is unknown; did you mean DEBUG?
	// testdata/settings/mistakes.yaml:2: ALLOWED_HOSTS: "blog.example.com": is not a list; write [blog.example.com]
	// testdata/settings/mistakes.yaml:8: DATABASES.default.CONN_MAX_AGE: "-5": is negative; use 0 to close after each request, or null to keep the connection
	// testdata/settings/mistakes.yaml:9: DATABASES.default.CONN_MAX_IDLE: "soon": is no duration; write seconds as a number, a duration such as 90s or 5m, or null to keep the connection
}

// How does a program look at a mistake?
func ExampleConfigError() {
	_, err := app.Load("testdata/settings/mistakes.yaml")

	var mistake *app.ConfigError
	if errors.As(err, &mistake) {
		fmt.Println("file:   ", mistake.File)
		fmt.Println("line:   ", mistake.Line)
		fmt.Println("key:    ", mistake.Key)
		fmt.Println("problem:", mistake.Problem)
		fmt.Println("hint:   ", mistake.Hint)
	}

	// Output:
	// file:    testdata/settings/mistakes.yaml
	// line:    1
	// key:     DEBG
	// problem: is unknown
	// hint:    did you mean DEBUG?
}
