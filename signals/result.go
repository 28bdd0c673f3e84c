package signals

import "fmt"

// Result is what became of one receiver of a [Signal.SendRobust].
type Result struct {
	// Receiver is the uid, or the name of the receiving function with file and
	// line: "example.com/blog/polls.audit (polls.go:12)". A method has the line
	// that connected it.
	Receiver string

	// Err is what the receiver returned, as it is, or a [*PanicError]; nil when
	// all went well.
	Err error
}

// PanicError is a panic in a receiver of a [Signal.SendRobust]. It unwraps to the
// value of the panic when that is an error, whichever it is.
type PanicError struct {
	Value any    // what was given to panic
	Stack []byte // of the panicking goroutine, as [runtime/debug.Stack] prints it
}

// Error says what was given to panic. The stack is left to those who log it.
func (e *PanicError) Error() string {
	return fmt.Sprintf("signals: receiver panicked: %v", e.Value)
}

// Unwrap returns the value of the panic if it is an error, else nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
