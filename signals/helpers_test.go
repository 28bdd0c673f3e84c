package signals_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/goquintet/quintet/signals"
)

// orderPlaced is the event of most tests.
type orderPlaced struct{ ID int }

var errOutOfInk = errors.New("out of ink")

// log collects what receivers do, in order, from any goroutine.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

func (l *log) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}

// writes returns a receiver that adds line and is content.
func (l *log) writes(line string) func(context.Context, orderPlaced) error {
	return func(context.Context, orderPlaced) error {
		l.add(line)
		return nil
	}
}

func content(context.Context, orderPlaced) error { return nil }

func fails(context.Context, orderPlaced) error { return errOutOfInk }

func panics(value any) func(context.Context, orderPlaced) error {
	return func(context.Context, orderPlaced) error { panic(value) }
}

// connect is for tests that do not disconnect.
func connect(s *signals.Signal[orderPlaced], receivers ...func(context.Context, orderPlaced) error) {
	for _, receive := range receivers {
		s.Connect(receive)
	}
}

func send(t *testing.T, s *signals.Signal[orderPlaced]) {
	t.Helper()
	if err := s.Send(t.Context(), orderPlaced{ID: 7}); err != nil {
		t.Fatalf("Send: %v", err)
	}
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("receivers called: %q, want %q", got, want)
	}
}

// returns runs fn in a goroutine of its own and reports whether fn came to its
// end; false says that runtime.Goexit ended the goroutine.
func returns(fn func()) (returned bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
		returned = true
	}()
	<-done
	return returned
}

// panicOf returns what fn panics with, nil when it does not.
func panicOf(fn func()) (value any) {
	defer func() { value = recover() }()
	fn()
	return nil
}
