package commands_test

import (
	"context"
	"fmt"
	"os"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/sqlite"
	"github.com/goquintet/quintet/manage/commands"
)

// A command of an app gets a context in which db.From works, the site, and its
// arguments. What would run "manage greet Ada" in a process is Main; a test says Run.
func ExampleRun() {
	greet := app.Command{
		Name: "greet", Short: "Greet somebody from inside of the database",
		Run: func(ctx context.Context, _ *app.Site, args []string) error {
			if len(args) != 1 {
				return &commands.Error{Problem: "nobody is named", Hint: "say manage greet Ada", Status: 2}
			}
			var greeting string
			if err := db.From(ctx).NewRaw("SELECT 'Hello ' || ?", args[0]).Scan(ctx, &greeting); err != nil {
				return err
			}
			_, err := fmt.Fprintln(commands.Stdout(ctx), greeting)
			return err
		},
	}
	newSite := func() (*app.Site, error) {
		return app.New(
			app.Settings{Databases: map[string]db.Settings{"default": {Engine: "sqlite", Name: ":memory:"}}},
			app.Options{Engines: []db.Engine{sqlite.Engine{}}, Apps: []app.App{{Name: "greetings", Commands: []app.Command{greet}}}},
		)
	}
	for _, args := range [][]string{{"greet", "Ada"}, {"greet"}, {"great"}} {
		status := commands.Run(context.Background(), commands.Env{Args: args, Stdout: os.Stdout, Stderr: os.Stdout, NewSite: newSite})
		fmt.Println("exit status", status)
	}
	// Output:
	// Hello Ada
	// exit status 0
	// error: nobody is named
	// hint: say manage greet Ada
	// exit status 2
	// error: unknown command "great"
	// hint: did you mean greet?
	// exit status 2
}
