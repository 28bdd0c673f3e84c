package signals

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
)

// receiver is one connected function. It is immutable: its pointer is its
// identity, which Go's functions do not have.
type receiver[E any] struct {
	uid     string
	receive func(ctx context.Context, event E) error
	at      place
	name    func() string // the uid or the function; looked up once, when first asked for
}

func newReceiver[E any](uid string, receive func(context.Context, E) error, at place) *receiver[E] {
	name := func() string { return uid }
	if uid == "" {
		name = sync.OnceValue(func() string { return functionName(reflect.ValueOf(receive).Pointer(), at) })
	}
	return &receiver[E]{uid: uid, receive: receive, at: at, name: name}
}

// recovered calls the receiver and returns its panic as an error. The flag, not
// the recovered value, tells a panic: with GODEBUG=panicnil=1 that value may be
// nil. During a Goexit the deferred function recovers nothing and what it stores
// is seen by nobody, because the goroutine ends.
func (r *receiver[E]) recovered(ctx context.Context, event E) (err error) {
	returned := false
	defer func() {
		if !returned {
			err = &PanicError{Value: recover(), Stack: debug.Stack()}
		}
	}()
	err = r.receive(ctx, event)
	returned = true
	return err
}

// place is a program counter that knows how to print itself. Printing is what
// costs, so that happens when somebody reads.
type place uintptr

// here is the place that called the exported method that calls here.
func here() place {
	var pcs [1]uintptr
	runtime.Callers(3, pcs[:]) // runtime.Callers, here, the exported method
	return place(pcs[0])
}

func (p place) frame() runtime.Frame {
	frame, _ := runtime.CallersFrames([]uintptr{uintptr(p)}).Next()
	return frame
}

func (p place) String() string {
	frame := p.frame()
	return describe(frame.Function, frame.File, frame.Line)
}

// functionName names the function whose code starts at entry. The wrapper that
// the compiler makes for a method value has no line of its own: it gets the line
// that connected it.
func functionName(entry uintptr, connected place) string {
	function := runtime.FuncForPC(entry)
	name, method := strings.CutSuffix(function.Name(), "-fm")
	file, line := function.FileLine(entry)
	if method {
		frame := connected.frame()
		file, line = frame.File, frame.Line
	}
	return describe(name, file, line)
}

// describe leaves the directory out: the function's name begins with its package.
func describe(function, file string, line int) string {
	return fmt.Sprintf("%s (%s:%d)", function, filepath.Base(file), line)
}
