package signals_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/goquintet/quintet/signals"
)

// Tests ported from Django, each citing its original; those whose outcome is ours
// say "departure". tests/dispatch/tests.py has DispatcherTests and
// ReceiverTestCase, tests/signals/tests.py has SignalTests.

// DispatcherTests.test_send_no_receivers
func TestDispatcher_SendNoReceivers(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	if err := s.Send(t.Context(), orderPlaced{}); err != nil {
		t.Errorf("Send: %v", err)
	}
}

// DispatcherTests.test_send_robust_no_receivers
func TestDispatcher_SendRobustNoReceivers(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	if results := s.SendRobust(t.Context(), orderPlaced{}); results != nil {
		t.Errorf("SendRobust returned %v, want nil", results)
	}
	s.Connect(content)()
	if results := s.SendRobust(t.Context(), orderPlaced{}); results != nil {
		t.Errorf("after a disconnect SendRobust returned %v, want nil", results)
	}
}

// DispatcherTests.test_send_connected_no_sender: the sender is in the event.
func TestDispatcher_SendConnectedNoSender(t *testing.T) {
	t.Parallel()
	var s signals.Signal[saved]
	var heard []string
	s.Connect(func(_ context.Context, e saved) error {
		heard = append(heard, e.Sender)
		return nil
	})
	for _, sender := range []string{"Car", "Person", ""} {
		if err := s.Send(t.Context(), saved{Sender: sender}); err != nil {
			t.Fatal(err)
		}
	}
	wantLines(t, heard, "Car", "Person", "")
}

// saved is an event that carries its sender.
type saved struct{ Sender string }

// DispatcherTests.test_multiple_registration. Departure: functions have no
// identity, so it takes a uid (see TestAFunctionConnectedTwiceIsCalledTwice).
func TestDispatcher_MultipleRegistration(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	for range 6 {
		s.ConnectOnce("receiver", content)
	}
	if got := len(s.SendRobust(t.Context(), orderPlaced{})); got != 1 {
		t.Errorf("%d receivers, want 1", got)
	}
	if !s.Disconnect("receiver") || s.HasReceivers() {
		t.Error("one Disconnect does not remove what was connected six times")
	}
}

// DispatcherTests.test_uid_registration
func TestDispatcher_UIDRegistration(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	s.ConnectOnce("uid", heard.writes("one"))
	s.ConnectOnce("uid", heard.writes("two"))
	send(t, &s)
	wantLines(t, heard.take(), "one")
	s.Disconnect("uid")
	send(t, &s)
	wantLines(t, heard.take())
}

// DispatcherTests.test_send_robust_success
func TestDispatcher_SendRobustSuccess(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	s.ConnectOnce("receiver", content)
	results := s.SendRobust(t.Context(), orderPlaced{})
	if want := (signals.Result{Receiver: "receiver"}); len(results) != 1 || results[0] != want {
		t.Errorf("results are %+v, want only %+v", results, want)
	}
}

// DispatcherTests.test_send_robust_fail. Departure: the result has what Django
// logs, the receiver's name and, of a panic, the stack.
func TestDispatcher_SendRobustFail(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	connect(&s, fails, panics(errOutOfInk))
	results := s.SendRobust(t.Context(), orderPlaced{})
	if len(results) != 2 {
		t.Fatalf("%d results, want 2", len(results))
	}
	for i, name := range []string{"signals_test.fails (", "panics.func1 ("} {
		if !errors.Is(results[i].Err, errOutOfInk) {
			t.Errorf("result %d is %v, want %v", i, results[i].Err, errOutOfInk)
		}
		if !strings.Contains(results[i].Receiver, name) {
			t.Errorf("receiver %d is called %q, want %q in it", i, results[i].Receiver, name)
		}
	}
}

// DispatcherTests.test_disconnection
func TestDispatcher_Disconnection(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	disconnect1 := s.Connect(content)
	s.ConnectOnce("2", content)
	disconnect3 := s.ConnectOnce("3", content)
	for name, removed := range map[string]bool{"1": disconnect1(), "2": s.Disconnect("2"), "3": disconnect3()} {
		if !removed {
			t.Errorf("disconnecting %s returned false", name)
		}
	}
	if results := s.SendRobust(t.Context(), orderPlaced{}); results != nil {
		t.Errorf("receivers are left: %v", results)
	}
}

// DispatcherTests.test_has_listeners
func TestDispatcher_HasListeners(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	want := func(want bool, when string) {
		t.Helper()
		if s.HasReceivers() != want {
			t.Errorf("HasReceivers is %t %s", !want, when)
		}
	}
	want(false, "before any Connect")
	first := s.Connect(content)
	want(true, "with one receiver")
	second := s.Connect(content)
	first()
	want(true, "with the second of two receivers")
	second()
	want(false, "after all were disconnected")
}

// DispatcherTests.test_garbage_collected_receiver. Departure: references are strong.
func TestDispatcher_GarbageCollectedReceiver(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	func() {
		device := &printer{} // nobody else holds it
		s.ConnectOnce("printer", device.receive)
	}()
	s.Connect(heard.writes("heard"))
	runtime.GC()
	if err := s.Send(t.Context(), orderPlaced{}); !errors.Is(err, errOutOfInk) {
		t.Errorf("Send returned %v, want %v from the receiver that nobody else holds", err, errOutOfInk)
	}
	s.Disconnect("printer")
	send(t, &s)
	wantLines(t, heard.take(), "heard")
}

// DispatcherTests.test_cannot_connect_non_callable, and not in DEBUG only. The
// compiler does the rest.
func TestDispatcher_CannotConnectNonCallable(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	if panicOf(func() { s.Connect(nil) }) == nil {
		t.Error("Connect(nil) does not panic")
	}
}

// ReceiverTestCase.test_receiver_single_signal
func TestReceiver_SingleSignal(t *testing.T) {
	t.Parallel()
	var s, other signals.Signal[orderPlaced]
	var ids []int
	s.Connect(func(_ context.Context, e orderPlaced) error {
		ids = append(ids, e.ID)
		return nil
	})
	send(t, &other)
	send(t, &s)
	if len(ids) != 1 || ids[0] != 7 {
		t.Errorf("heard %v, want [7]", ids)
	}
}

// SignalTests.test_disconnect_in_dispatch
func TestSignal_DisconnectInDispatch(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	for _, name := range []string{"a", "b"} {
		s.ConnectOnce(name, func(context.Context, orderPlaced) error {
			heard.add(name)
			s.Disconnect(name)
			return nil
		})
	}
	s.Connect(heard.writes("stays"))
	send(t, &s)
	wantLines(t, heard.take(), "a", "b", "stays")
	send(t, &s)
	wantLines(t, heard.take(), "stays")
}

// SignalTests.test_decorators: the receiver that wants one sender looks at the event.
func TestSignal_Decorators(t *testing.T) {
	t.Parallel()
	var s signals.Signal[saved]
	var heard []string
	s.Connect(func(context.Context, saved) error {
		heard = append(heard, "everybody's")
		return nil
	})
	s.Connect(func(_ context.Context, e saved) error {
		if e.Sender == "Car" {
			heard = append(heard, "Car's")
		}
		return nil
	})
	for _, sender := range []string{"Car", "Person"} {
		if err := s.Send(t.Context(), saved{Sender: sender}); err != nil {
			t.Fatal(err)
		}
	}
	wantLines(t, heard, "everybody's", "Car's", "everybody's")
}

// No test in Django: a failing request_finished receiver stops later ones there.
// Departure: the life cycle sends robustly.
func TestSignal_FailingRequestFinishedReceiver(t *testing.T) {
	t.Parallel()
	var bus signals.Bus
	var heard int
	count := func(context.Context, signals.RequestFinished) error {
		heard++
		return nil
	}
	bus.RequestFinished.Connect(func(context.Context, signals.RequestFinished) error { return errOutOfInk })
	bus.RequestFinished.Connect(count)
	if err := bus.RequestFinished.Send(t.Context(), signals.RequestFinished{}); err == nil || heard != 0 {
		t.Errorf("Send returned %v and called %d later receivers, want an error and 0", err, heard)
	}
	if results := bus.RequestFinished.SendRobust(t.Context(), signals.RequestFinished{}); len(results) != 2 || heard != 1 {
		t.Errorf("SendRobust returned %v and called %d later receivers, want 2 results and 1", results, heard)
	}
}
