package signals_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/goquintet/quintet/signals"
)

func TestATakenUIDChangesNothing(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	disconnectFirst := s.ConnectOnce("audit", heard.writes("first"))
	disconnectSecond := s.ConnectOnce("audit", heard.writes("second"))
	send(t, &s)
	wantLines(t, heard.take(), "first")

	if disconnectSecond() {
		t.Error("the function returned for a taken uid returned true")
	}
	send(t, &s)
	wantLines(t, heard.take(), "first")

	if !disconnectFirst() {
		t.Error("the function returned for the first returned false")
	}
	if disconnectSecond() {
		t.Error("the function returned for a taken uid returned true once the uid was free")
	}
}

func TestAUIDIsFreeAgainOnceItsReceiverIsDisconnected(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	disconnectFormer := s.ConnectOnce("audit", heard.writes("former"))
	if !s.Disconnect("audit") {
		t.Fatal("Disconnect returned false for a connected uid")
	}
	s.ConnectOnce("audit", heard.writes("new"))
	if disconnectFormer() {
		t.Error("the former receiver's function returned true")
	}
	send(t, &s)
	wantLines(t, heard.take(), "new")
}

func TestAUIDBelongsToOneSignal(t *testing.T) {
	t.Parallel()
	var placed, cancelled signals.Signal[orderPlaced]
	placed.ConnectOnce("audit", content)
	cancelled.ConnectOnce("audit", content)
	if !placed.Disconnect("audit") {
		t.Error("Disconnect returned false for a connected uid")
	}
	if !cancelled.HasReceivers() {
		t.Error("Disconnect of one signal removed another's receiver")
	}
}

func TestDisconnectIsTrueTheFirstTimeAndFalseAfter(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	s.Connect(heard.writes("kept"))
	disconnect := s.Connect(heard.writes("gone"))
	if !disconnect() {
		t.Error("disconnect returned false the first time")
	}
	for range 3 {
		if disconnect() {
			t.Error("disconnect returned true again")
		}
	}
	send(t, &s)
	wantLines(t, heard.take(), "kept")

	disconnectAudit := s.ConnectOnce("audit", content)
	if !s.Disconnect("audit") {
		t.Error("Disconnect returned false for a connected uid")
	}
	if s.Disconnect("audit") {
		t.Error("Disconnect returned true for a uid that is gone")
	}
	if disconnectAudit() {
		t.Error("disconnect returned true after Disconnect with the uid")
	}
}

func TestDisconnectWithoutAUIDRemovesNobody(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	s.Connect(content)
	for _, uid := range []string{"", "unknown"} {
		if s.Disconnect(uid) {
			t.Errorf("Disconnect(%q) returned true", uid)
		}
	}
	if !s.HasReceivers() {
		t.Error("the receiver without a uid is gone")
	}
}

func TestWiringMistakesPanicAndNameThePlace(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	const test = "signals_test.TestWiringMistakesPanicAndNameThePlace"
	type mistake struct {
		connect func()
		want    string
	}
	_, _, line, _ := runtime.Caller(0)
	mistakes := []mistake{
		{func() { s.Connect(nil) }, "signals: nil receiver connected at %s: pass a function"},
		{func() { s.ConnectOnce("audit", nil) }, "signals: nil receiver connected at %s: pass a function"},
		{func() { s.ConnectOnce("", content) }, "signals: empty uid connected at %s: name the receiver, or use Connect"},
	}
	for i, mistake := range mistakes {
		place := fmt.Sprintf("github.com/goquintet/quintet/%s.func%d (connect_test.go:%d)", test, i+1, line+2+i)
		want := fmt.Sprintf(mistake.want, place)
		if got := panicOf(mistake.connect); got != want {
			t.Errorf("panic is %v, want %s", got, want)
		}
	}
	if s.HasReceivers() {
		t.Error("a wiring mistake connected a receiver")
	}
}

func TestOnDuplicateHearsOfBothPlaces(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard []signals.Duplicate
	s.ConnectOnce("audit", content)
	s.OnDuplicate(func(d signals.Duplicate) {
		heard = append(heard, d)
		s.Disconnect("unknown") // the signal is not locked
	})
	s.ConnectOnce("other", content)
	s.Connect(content)
	s.Connect(content)
	if len(heard) != 0 {
		t.Fatalf("heard %v without a duplicate", heard)
	}

	_, _, line, _ := runtime.Caller(0)
	s.ConnectOnce("mail", content)
	func() { s.ConnectOnce("mail", content) }()
	const test = "github.com/goquintet/quintet/signals_test.TestOnDuplicateHearsOfBothPlaces"
	want := signals.Duplicate{
		Event:  "signals_test.orderPlaced",
		UID:    "mail",
		First:  fmt.Sprintf("%s (connect_test.go:%d)", test, line+1),
		Second: fmt.Sprintf("%s.func2 (connect_test.go:%d)", test, line+2),
	}
	if len(heard) != 1 || heard[0] != want {
		t.Errorf("heard %+v, want %+v", heard, want)
	}
}

func TestOnDuplicateReplacesTheFormerFunction(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	s.ConnectOnce("audit", content)
	s.OnDuplicate(func(signals.Duplicate) { heard.add("former") })
	s.OnDuplicate(func(signals.Duplicate) { heard.add("present") })
	s.ConnectOnce("audit", content)
	wantLines(t, heard.take(), "present")
	s.OnDuplicate(nil)
	s.ConnectOnce("audit", content)
	wantLines(t, heard.take())
}

// printer has receiving methods.
type printer struct{ jams int }

func (p *printer) receive(context.Context, orderPlaced) error {
	p.jams++
	return errOutOfInk
}

func (p printer) look(context.Context, orderPlaced) error { return errOutOfInk }

func generic[E any](context.Context, E) error { return errOutOfInk }

func TestAReceiverIsCalledByItsUIDOrItsFunctionWithFileAndLine(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	device := &printer{}
	captured := errOutOfInk

	_, _, line, _ := runtime.Caller(0)
	s.ConnectOnce("audit", fails)
	s.Connect(fails)
	s.Connect(func(context.Context, orderPlaced) error { return nil })
	s.Connect(func(context.Context, orderPlaced) error { return captured })
	s.Connect(device.receive)
	s.Connect(device.look)
	s.Connect(generic[orderPlaced])

	const test = "TestAReceiverIsCalledByItsUIDOrItsFunctionWithFileAndLine"
	want := []string{
		"audit",
		"fails (helpers_test.go:",
		fmt.Sprintf("%s.func1 (connect_test.go:%d)", test, line+3),
		fmt.Sprintf("%s.func2 (connect_test.go:%d)", test, line+4),
		fmt.Sprintf("(*printer).receive (connect_test.go:%d)", line+5), // a method: where it was connected
		fmt.Sprintf("printer.look (connect_test.go:%d)", line+6),
		"generic[...] (connect_test.go:",
	}
	results := s.SendRobust(t.Context(), orderPlaced{})
	if len(results) != len(want) {
		t.Fatalf("%d results, want %d", len(results), len(want))
	}
	for i, result := range results {
		const here = "github.com/goquintet/quintet/signals_test."
		got := strings.TrimPrefix(result.Receiver, here)
		if i > 0 && got == result.Receiver {
			t.Errorf("receiver %d is called %q, want the package in front", i, result.Receiver)
		}
		if !strings.HasPrefix(got, want[i]) {
			t.Errorf("receiver %d is called %q, want %q", i, got, want[i])
		}
	}
}
