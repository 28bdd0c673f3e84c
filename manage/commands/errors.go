package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/admin"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/migrate"
	"github.com/goquintet/quintet/db/pool"
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
	status := statusFailed
	var said []string // a site that is closed twice says twice why it could not
	for _, e := range parts(err) {
		if own, ok := errors.AsType[*Error](e); ok {
			status = max(status, own.Status)
		}
		if !slices.Contains(said, e.Error()) {
			said = append(said, e.Error())
			c.complain(e)
		}
	}
	return status
}

func (c *cli) complain(err error) {
	problem, hint := c.explain(err)
	c.sayf(c.env.Stderr, "%s %s\n", c.err.paint(red, "error:"), problem)
	if hint != "" {
		c.sayf(c.env.Stderr, "%s %s\n", c.err.paint(cyan, "hint:"), hint)
	}
	if c.globals.traceback {
		c.traceback(err, "  ")
	}
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
func (c *cli) explain(err error) (problem, hint string) {
	if acquire, ok := errors.AsType[*db.AcquireError](err); ok && acquire.Kind == pool.Unreachable {
		key := "DATABASES." + acquire.Alias
		if c.made != nil {
			key += " (" + c.made.Settings().Origin(key+".ENGINE") + ")"
		}
		return fmt.Sprintf("the database %q cannot be reached: %v", acquire.Alias, acquire.Err), "start it, or correct " + key
	}
	return splitHint(err)
}

// splitHint takes the hint off an error that has one.
func splitHint(err error) (problem, hint string) {
	problem, hint = err.Error(), hintOf(err)
	if cut, ok := strings.CutSuffix(problem, "; "+hint); ok && hint != "" {
		return cut, hint
	}
	return problem, ""
}

func hintOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*app.ConfigError](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*app.WiringError](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*migrate.Error](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*db.SettingsError](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*admin.Error](err); ok {
		return e.Hint
	}
	return ""
}

// traceback is what Go has for one: the errors that an error is made of, each with
// its type.
func (c *cli) traceback(err error, indent string) {
	c.sayf(c.env.Stderr, "%s%T: %v\n", indent, err, err)
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case interface{ Unwrap() error }:
		if below := e.Unwrap(); below != nil {
			c.traceback(below, indent+"  ")
		}
	case interface{ Unwrap() []error }:
		for _, below := range e.Unwrap() {
			c.traceback(below, indent+"  ")
		}
	}
}
