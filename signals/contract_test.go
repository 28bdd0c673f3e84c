package signals_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/signals"
)

// The names that others rely on: this compiles, or the contract is broken.
var _ interface {
	Connect(receive func(context.Context, orderPlaced) error) (disconnect func() bool)
	ConnectOnce(uid string, receive func(context.Context, orderPlaced) error) (disconnect func() bool)
	Disconnect(uid string) bool
	Send(context.Context, orderPlaced) error
	SendRobust(context.Context, orderPlaced) []signals.Result
	HasReceivers() bool
	OnDuplicate(func(signals.Duplicate))
} = (*signals.Signal[orderPlaced])(nil)

var _ = []any{
	signals.Result{Receiver: "uid", Err: &signals.PanicError{Value: 1, Stack: nil}},
	signals.Duplicate{Event: "", UID: "", First: "", Second: ""},
	signals.RequestStarted{Request: nil},
	signals.ResponseStarted{Request: nil, Route: "", Status: 200, Duration: time.Second, Stream: time.Second},
	signals.RequestFinished{Request: nil, Route: "", Status: 200, Bytes: 1, Duration: time.Second, Hijacked: false, Err: nil},
	signals.RequestFailed{Request: nil, Route: "", Err: nil, Stack: nil, Streaming: true},
	signals.ConnectionCreated{Alias: "", Engine: "", Duration: time.Second},
	signals.ConnectionReleased{Alias: "", Holder: "", Reason: "", Held: time.Second, Idle: time.Second, Queries: 1, LeftOpen: ""},
	signals.CallbackFinished{Alias: "", At: "", Err: nil},
	signals.TemplateRendered{Request: nil, Name: "", Data: nil},
	signals.MigrateStarted{Alias: "", Backwards: false, Pending: nil},
	signals.MigrateFinished{Alias: "", Backwards: false, Applied: nil, Duration: time.Second, Err: nil},
}

// The tests are the sentences of doc.go, in its order.

func TestReceiversRunOneAfterAnotherInTheOrderOfConnecting(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	var want []string
	for i := range 20 {
		name := strconv.Itoa(i)
		want = append(want, "begin "+name, "end "+name)
		s.Connect(func(context.Context, orderPlaced) error {
			heard.add("begin " + name)
			runtime.Gosched()
			heard.add("end " + name)
			return nil
		})
	}
	send(t, &s)
	wantLines(t, heard.take(), want...)
	s.SendRobust(t.Context(), orderPlaced{})
	wantLines(t, heard.take(), want...)
}

func TestDisconnectingKeepsTheOrderOfTheOthers(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	s.Connect(heard.writes("a"))
	disconnect := s.Connect(heard.writes("b"))
	s.Connect(heard.writes("c"))
	disconnect()
	s.Connect(heard.writes("b again"))
	send(t, &s)
	wantLines(t, heard.take(), "a", "c", "b again")
}

func TestAReceiverConnectedDuringASendIsNotCalledByIt(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	s.Connect(func(context.Context, orderPlaced) error {
		heard.add("old")
		s.ConnectOnce("new", heard.writes("new"))
		return nil
	})
	send(t, &s)
	wantLines(t, heard.take(), "old")
	send(t, &s)
	wantLines(t, heard.take(), "old", "new")
}

func TestAReceiverDisconnectedDuringASendStillIsCalled(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	s.Connect(func(context.Context, orderPlaced) error {
		heard.add("first")
		s.Disconnect("second")
		return nil
	})
	s.ConnectOnce("second", heard.writes("second"))
	send(t, &s)
	wantLines(t, heard.take(), "first", "second")
	send(t, &s)
	wantLines(t, heard.take(), "first")
}

func TestSendStopsAtTheFirstErrorAndWrapsItWithTheReceiversName(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	s.Connect(heard.writes("before"))
	s.ConnectOnce("printer", fails)
	s.Connect(heard.writes("after"))

	err := s.Send(t.Context(), orderPlaced{})
	if !errors.Is(err, errOutOfInk) {
		t.Errorf("Send returned %v, want it to wrap %v", err, errOutOfInk)
	}
	const want = `signals: receiver "printer" of signals_test.orderPlaced: out of ink`
	if err == nil || err.Error() != want {
		t.Errorf("Send returned %v, want %s", err, want)
	}
	wantLines(t, heard.take(), "before")
}

func TestAPanicPassesThroughSend(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	connect(&s, panics(http.ErrAbortHandler), heard.writes("after"))
	if got := panicOf(func() { _ = s.Send(t.Context(), orderPlaced{}) }); got != http.ErrAbortHandler { //nolint:errorlint // the value itself
		t.Errorf("Send panicked with %v, want %v", got, http.ErrAbortHandler)
	}
	wantLines(t, heard.take())

	s.ConnectOnce("still usable", content) // no lock is left behind
}

func TestAReceiverThatCallsGoexitEndsTheSendingGoroutine(t *testing.T) {
	t.Parallel()
	sends := map[string]func(*signals.Signal[orderPlaced]){
		"Send":       func(s *signals.Signal[orderPlaced]) { _ = s.Send(t.Context(), orderPlaced{}) },
		"SendRobust": func(s *signals.Signal[orderPlaced]) { s.SendRobust(t.Context(), orderPlaced{}) },
	}
	for name, send := range sends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s signals.Signal[orderPlaced]
			var heard log
			s.Connect(func(context.Context, orderPlaced) error {
				defer heard.add("deferred")
				runtime.Goexit()
				return nil
			})
			s.Connect(heard.writes("later"))
			if returns(func() { send(&s) }) {
				t.Error("the goroutine went on after a receiver's runtime.Goexit")
			}
			wantLines(t, heard.take(), "deferred")
		})
	}
}

func TestReceiversRunInTheGoroutineThatSends(t *testing.T) {
	t.Parallel()
	// Django: ASGITest.test_request_lifecycle_signals_dispatched_with_thread_sensitive.
	var s signals.Signal[orderPlaced]
	var ran []string
	s.Connect(func(context.Context, orderPlaced) error {
		ran = append(ran, goroutine())
		return nil
	})
	send(t, &s)
	s.SendRobust(t.Context(), orderPlaced{})
	wantLines(t, ran, goroutine(), goroutine())

	done := make(chan string)
	go func() { done <- goroutine() }()
	if other := <-done; other == goroutine() {
		t.Fatalf("two goroutines have the same header %q", other)
	}
}

// goroutine returns the number of the calling goroutine, as stacks print it.
func goroutine() string {
	header := make([]byte, 64)
	header = header[:runtime.Stack(header, false)]
	return strings.Fields(string(header))[1] // "goroutine 42 [running]:"
}

func TestTheContextIsHandedOnAsItIs(t *testing.T) {
	t.Parallel()
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	cancel()
	var s signals.Signal[orderPlaced]
	var heard log
	for range 2 {
		s.Connect(func(ctx context.Context, _ orderPlaced) error {
			value, _ := ctx.Value(key{}).(string)
			heard.add(value + ", " + ctx.Err().Error())
			return nil
		})
	}
	if err := s.Send(ctx, orderPlaced{}); err != nil {
		t.Errorf("Send with a cancelled context: %v", err)
	}
	s.SendRobust(ctx, orderPlaced{})
	const want = "value, context canceled"
	wantLines(t, heard.take(), want, want, want, want)
}

func TestAReceiverMaySendAlsoTheSignalThatItHears(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	s.Connect(func(ctx context.Context, e orderPlaced) error {
		heard.add("order " + strconv.Itoa(e.ID))
		if e.ID == 0 {
			return nil
		}
		return s.Send(ctx, orderPlaced{ID: e.ID - 1})
	})
	if err := s.Send(t.Context(), orderPlaced{ID: 2}); err != nil {
		t.Errorf("Send: %v", err)
	}
	wantLines(t, heard.take(), "order 2", "order 1", "order 0")
}

func TestAReceiverMayDisconnectItself(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	var disconnect func() bool
	disconnect = s.Connect(func(context.Context, orderPlaced) error {
		heard.add("once: " + strconv.FormatBool(disconnect()))
		return nil
	})
	send(t, &s)
	send(t, &s)
	wantLines(t, heard.take(), "once: true")
	if s.HasReceivers() {
		t.Error("HasReceivers is true after the only receiver disconnected itself")
	}
}

func TestAFunctionConnectedTwiceIsCalledTwice(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	receive := heard.writes("heard")
	first := s.Connect(receive)
	s.Connect(receive)
	send(t, &s)
	wantLines(t, heard.take(), "heard", "heard")
	first()
	send(t, &s)
	wantLines(t, heard.take(), "heard")
}
