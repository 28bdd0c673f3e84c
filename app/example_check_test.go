package app_test

import (
	"fmt"
	"log/slog"

	"github.com/goquintet/quintet/app"
)

// A check of an app looks at the whole site, and says what is wrong and what to do.
// "manage check" shows it, and runserver does before it serves.
func ExampleCheck() {
	needsHome := func(site *app.Site) []app.Problem {
		if _, err := site.Reverse("home"); err == nil {
			return nil
		}
		return []app.Problem{{
			ID: "polls.W001", Level: slog.LevelWarn, Object: "polls",
			Message: "there is no way back to the home page", Hint: `give a route app.Name("home")`,
		}}
	}
	site, err := app.New(app.Settings{}, app.Options{Apps: []app.App{{Name: "polls", Checks: []app.Check{needsHome}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, problem := range site.Check() {
		fmt.Println(problem)
	}
	fmt.Println(site.Close())
	// Output:
	// polls: (polls.W001) there is no way back to the home page
	// 	hint: give a route app.Name("home")
	// <nil>
}
