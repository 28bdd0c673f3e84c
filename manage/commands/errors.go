package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/migrate"
)

const (
	statusFailed = 1
	statusUsage  = 2
)

// Error is a command that has failed in a way that its user can do something about:
// Django's CommandError. Commands of apps may return one; they may return any other
// error as well.
type Error struct {
	Problem string // what is wrong; one sentence without a full stop
	Hint    string // what to do now; may be empty
	Status  int    // of the program; 0 is 1
	Err     error  // for --traceback; may be nil
}

// Error is the Problem and the Hint on one line.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Problem
	}
	return e.Problem + "; " + e.Hint
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// errSaid fails a command that has told everything already.
var errSaid = errors.New("said")

func misuse(hint, problem string, args ...any) *Error {
	return &Error{Problem: fmt.Sprintf(problem, args...), Hint: hint, Status: statusUsage}
}

// finish tells what went wrong and returns the exit status.
func (c *cli) finish(ctx context.Context, err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errSaid):
		return statusFailed
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		err = &Error{Problem: "interrupted", Err: err}
	}
	status := 0
	for _, e := range parts(err) {
		problem, hint := explain(e)
		_, _ = fmt.Fprintln(c.env.Stderr, c.err.paint(red, "error:"), problem)
		if hint != "" {
			_, _ = fmt.Fprintln(c.env.Stderr, c.err.paint(cyan, "hint:"), hint)
		}
		if c.globals.traceback {
			traceback(c.env.Stderr, e, "  ")
		}
		var own *Error
		if errors.As(e, &own) {
			status = max(status, own.Status)
		}
	}
	return max(status, statusFailed)
}

// parts takes joined errors apart, so that each gets its lines.
func parts(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	members := joined.Unwrap()
	if err.Error() != errors.Join(members...).Error() {
		return []error{err} // it says something of its own about several
	}
	var all []error
	for _, member := range members {
		all = append(all, parts(member)...)
	}
	return all
}

// explain separates what is wrong from what to do.
func explain(err error) (problem, hint string) {
	problem, hint = err.Error(), hintOf(err)
	if cut, ok := strings.CutSuffix(problem, "; "+hint); ok && hint != "" {
		return cut, hint
	}
	return problem, ""
}

func hintOf(err error) string {
	var (
		own       *Error
		config    *app.ConfigError
		wiring    *app.WiringError
		migration *migrate.Error
		settings  *db.SettingsError
	)
	switch {
	case errors.As(err, &own):
		return own.Hint
	case errors.As(err, &config):
		return config.Hint
	case errors.As(err, &wiring):
		return wiring.Hint
	case errors.As(err, &migration):
		return migration.Hint
	case errors.As(err, &settings):
		return settings.Hint
	}
	return ""
}

// traceback is what Go has for one: the errors that an error is made of, each with
// its type.
func traceback(w io.Writer, err error, indent string) {
	_, _ = fmt.Fprintf(w, "%s%T: %v\n", indent, err, err)
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if below := e.Unwrap(); below != nil {
			traceback(w, below, indent+"  ")
		}
	case interface{ Unwrap() []error }:
		for _, below := range e.Unwrap() {
			traceback(w, below, indent+"  ")
		}
	}
}
