package app

import (
	"errors"
	"fmt"
	"strings"
)

// ErrShutdown is the cause with which the contexts of streams end when the site
// stops, and at the end of SHUTDOWN_TIMEOUT those of all other requests:
// context.Cause returns it.
var ErrShutdown = errors.New("app: the site is shutting down")

// WiringError is one mistake in what [New] was given: a route that is registered
// twice, a middleware that returns no handler. New reports all of them at once,
// joined, together with those of the settings (*[ConfigError]).
type WiringError struct {
	What    string // `route "GET /polls/{id}"`
	At      string // "polls/urls.go:12"; empty when the place is not known
	Problem string // `is registered already, as "GET /polls/{name}" at polls/urls.go:9`
	Hint    string // what to do now; may be empty
	Err     error  // what it was found by; may be nil
}

// Error reads like
//
//	app: polls/urls.go:12: route "GET /polls/{id}": is registered already, as "GET /polls/{name}" at polls/urls.go:9; remove one of them
func (e *WiringError) Error() string {
	var b strings.Builder
	b.WriteString("app: ")
	if e.At != "" {
		b.WriteString(e.At + ": ")
	}
	b.WriteString(e.What + ": " + e.Problem)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap returns Err.
func (e *WiringError) Unwrap() error { return e.Err }

// PanicError is a panic of a handler, a view or a stream, as RequestFailed and
// RequestFinished report it. It unwraps to the value of the panic when that is an
// error.
type PanicError struct {
	Value any
	Stack []byte // of the panicking goroutine
}

// Error says what was given to panic. The stack is left to those who log it.
func (e *PanicError) Error() string { return fmt.Sprintf("app: panic: %v", e.Value) }

// Unwrap returns the value of the panic if it is an error, else nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
