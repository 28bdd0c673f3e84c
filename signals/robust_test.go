package signals_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goquintet/quintet/signals"
)

func TestSendRobustRunsEveryReceiver(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	s.ConnectOnce("stock", heard.writes("stock"))
	s.ConnectOnce("printer", fails)
	s.ConnectOnce("bug", panics("nil map"))
	s.ConnectOnce("mail", heard.writes("mail"))

	results := s.SendRobust(t.Context(), orderPlaced{})
	wantLines(t, heard.take(), "stock", "mail")
	var got []string
	for _, result := range results {
		got = append(got, fmt.Sprintf("%s: %v", result.Receiver, result.Err))
	}
	want := []string{"stock: <nil>", "printer: out of ink", "bug: signals: receiver panicked: nil map", "mail: <nil>"}
	if !slices.Equal(got, want) {
		t.Errorf("results are %q, want %q", got, want)
	}
	if results[1].Err != errOutOfInk { //nolint:errorlint // the value itself
		t.Errorf("result has %#v, want the receiver's own error as it is", results[1].Err)
	}
}

func TestAPanicBecomesAResultWithItsStack(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		receive func()
		unwraps func(error) bool
	}{
		"an error": {
			func() { panic(errOutOfInk) },
			func(err error) bool { return errors.Is(err, errOutOfInk) },
		},
		"a wrapped error": {
			func() { panic(fmt.Errorf("printer: %w", errOutOfInk)) },
			func(err error) bool { return errors.Is(err, errOutOfInk) },
		},
		"an aborted handler": {
			func() { panic(http.ErrAbortHandler) },
			func(err error) bool { return errors.Is(err, http.ErrAbortHandler) },
		},
		"a bug": {
			func() { count(nil, "x") },
			func(err error) bool { _, ok := errors.AsType[runtime.Error](err); return ok },
		},
		"no error": {
			func() { panic("out of paper") },
			func(err error) bool { return errors.Unwrap(err) == nil },
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s signals.Signal[func()]
			s.Connect(inTheReceiver)
			results := s.SendRobust(t.Context(), test.receive)
			if len(results) != 1 {
				t.Fatalf("%d results, want 1", len(results))
			}
			panicked, ok := errors.AsType[*signals.PanicError](results[0].Err)
			if !ok {
				t.Fatalf("result is %v, want a *PanicError", results[0].Err)
			}
			if !test.unwraps(results[0].Err) {
				t.Errorf("%#v does not unwrap to its value", results[0].Err)
			}
			if !strings.Contains(string(panicked.Stack), "inTheReceiver") {
				t.Errorf("stack does not show the receiver:\n%s", panicked.Stack)
			}
			if got, want := panicked.Error(), fmt.Sprintf("signals: receiver panicked: %v", panicked.Value); got != want {
				t.Errorf("Error() is %q, want %q", got, want)
			}
		})
	}
}

func count(words map[string]int, word string) { words[word]++ }

func inTheReceiver(_ context.Context, misbehave func()) error {
	misbehave()
	return nil
}

// Not parallel: it changes the environment.
func TestAPanicWithNilIsNotTakenForSuccess(t *testing.T) {
	for _, setting := range []string{"panicnil=0", "panicnil=1"} {
		t.Run(setting, func(t *testing.T) {
			t.Setenv("GODEBUG", setting)
			var s signals.Signal[orderPlaced]
			s.Connect(panics(nil))
			results := s.SendRobust(t.Context(), orderPlaced{})
			if len(results) != 1 {
				t.Fatalf("%d results, want 1", len(results))
			}
			panicked, ok := errors.AsType[*signals.PanicError](results[0].Err)
			if !ok {
				t.Fatalf("result is %v, want a *PanicError", results[0].Err)
			}
			if old := setting == "panicnil=1"; old != (panicked.Value == nil) {
				t.Errorf("Value is %v with %s", panicked.Value, setting)
			}
		})
	}
}

func TestAfterAPanicTheSenderGoesOn(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	connect(&s, panics("bug"))
	if !returns(func() { s.SendRobust(t.Context(), orderPlaced{}) }) {
		t.Error("SendRobust did not return after a panic in a receiver")
	}
}

// Not parallel: it replaces the default logger, which also catches package log.
func TestSendRobustDoesNotLog(t *testing.T) {
	var output bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&output, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(before) })

	var s signals.Signal[orderPlaced]
	connect(&s, fails, panics("bug"))
	s.SendRobust(t.Context(), orderPlaced{})
	if output.Len() > 0 {
		t.Errorf("SendRobust logged %q", output.String())
	}
}
