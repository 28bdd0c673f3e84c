package signalstest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/signals/signalstest"
)

type placed struct{ ID int }

func send(t *testing.T, s *signals.Signal[placed], ids ...int) {
	t.Helper()
	for _, id := range ids {
		if err := s.Send(t.Context(), placed{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
}

func want(t *testing.T, got []placed, ids ...int) {
	t.Helper()
	var events []placed
	for _, id := range ids {
		events = append(events, placed{ID: id})
	}
	if !slices.Equal(got, events) {
		t.Errorf("recorded %v, want %v", got, events)
	}
}

func TestRecorderKeepsEventsInTheOrderOfArrival(t *testing.T) {
	t.Parallel()
	var s signals.Signal[placed]
	send(t, &s, 0)
	recorder := signalstest.Record(t, &s)
	want(t, recorder.Events())
	send(t, &s, 1, 2)
	s.SendRobust(t.Context(), placed{ID: 3})
	want(t, recorder.Events(), 1, 2, 3)
}

func TestEventsAndWaitReturnCopies(t *testing.T) {
	t.Parallel()
	var s signals.Signal[placed]
	recorder := signalstest.Record(t, &s)
	send(t, &s, 1, 2)
	recorder.Events()[0].ID = 99
	recorder.Wait(1)[1].ID = 99
	want(t, recorder.Events(), 1, 2)
}

func TestResetForgetsWhatHasArrived(t *testing.T) {
	t.Parallel()
	var s signals.Signal[placed]
	recorder := signalstest.Record(t, &s)
	send(t, &s, 1, 2)
	kept := recorder.Events()
	recorder.Reset()
	if events := recorder.Events(); events != nil {
		t.Errorf("after a Reset Events returned %#v, want nil", events)
	}
	send(t, &s, 3)
	want(t, recorder.Wait(1), 3)
	want(t, kept, 1, 2)
}

func TestTheRecorderIsDisconnectedInTheCleanup(t *testing.T) {
	t.Parallel()
	var s signals.Signal[placed]
	var recorder *signalstest.Recorder[placed]
	t.Run("inner", func(t *testing.T) {
		recorder = signalstest.Record(t, &s)
		t.Cleanup(func() {
			if !s.HasReceivers() {
				t.Error("disconnected before the cleanups of the test")
			}
		})
	})
	if s.HasReceivers() {
		t.Error("the recorder is still connected after its test")
	}
	send(t, &s, 1)
	want(t, recorder.Events())
}

func TestTheRecorderIsAReceiverLikeAnyOther(t *testing.T) {
	t.Parallel()
	var s signals.Signal[placed]
	before := signalstest.Record(t, &s)
	s.ConnectOnce("printer", func(context.Context, placed) error { return errors.New("out of ink") })
	after := signalstest.Record(t, &s)
	if err := s.Send(t.Context(), placed{ID: 1}); err == nil {
		t.Error("Send returned nil, want the printer's error")
	}
	want(t, before.Events(), 1)
	want(t, after.Events())
}

func TestWaitReturnsAtOnceWhenTheEventsAreThere(t *testing.T) {
	t.Parallel()
	var s signals.Signal[placed]
	recorder := signalstest.Record(t, &s)
	want(t, recorder.Wait(0))
	send(t, &s, 1, 2)
	want(t, recorder.Wait(1), 1, 2)
	want(t, recorder.Wait(2), 1, 2)
}

func TestWaitWaitsUntilTheEventsHaveArrived(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s signals.Signal[placed]
		recorder := signalstest.Record(t, &s)
		go func() {
			for id := range 3 {
				time.Sleep(3 * time.Second)
				s.SendRobust(t.Context(), placed{ID: id})
			}
		}()
		start := time.Now()
		want(t, recorder.Wait(3), 0, 1, 2)
		if waited := time.Since(start); waited != 9*time.Second {
			t.Errorf("waited %v, want 9s", waited)
		}
	})
}

func TestEventsAndResetMayBeCalledFromSeveralGoroutines(t *testing.T) {
	t.Parallel()
	const senders = 8
	var s signals.Signal[placed]
	recorder := signalstest.Record(t, &s)
	var all sync.WaitGroup
	for id := range senders {
		all.Go(func() {
			s.SendRobust(t.Context(), placed{ID: id})
			recorder.Events()
		})
	}
	if got := len(recorder.Wait(senders)); got != senders {
		t.Errorf("%d events, want %d", got, senders)
	}
	for range senders {
		all.Go(recorder.Reset)
	}
	all.Wait()
	want(t, recorder.Events())
}

// test is a testing.TB that fails without failing the test around it.
type test struct {
	testing.TB
	failure string
}

func (t *test) Fatalf(format string, args ...any) {
	t.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// datedTest has a deadline, as a *testing.T has.
type datedTest struct {
	*test
	deadline time.Time
}

func (t datedTest) Deadline() (time.Time, bool) { return t.deadline, !t.deadline.IsZero() }

// waitFor has a recorder in tb wait for n events and says when it gave up.
func waitFor(tb testing.TB, s *signals.Signal[placed], n int, ids ...int) time.Duration {
	start := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		recorder := signalstest.Record(tb, s)
		for _, id := range ids {
			s.SendRobust(tb.Context(), placed{ID: id})
		}
		recorder.Wait(n)
	}()
	<-done
	return time.Since(start)
}

func TestWaitFailsTheTestWithWhatArrived(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		ids  []int
		want string
	}{
		"none": {nil, "signalstest: waited 10s for 3 events of signalstest_test.placed, got none"},
		"some": {[]int{4, 5}, "signalstest: waited 10s for 3 events of signalstest_test.placed, got 2:\n\t1. {ID:4}\n\t2. {ID:5}"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var s signals.Signal[placed]
				failing := &test{TB: t}
				if waited := waitFor(failing, &s, 3, c.ids...); waited != 10*time.Second {
					t.Errorf("gave up after %v, want 10s", waited)
				}
				if failing.failure != c.want {
					t.Errorf("failed with %q, want %q", failing.failure, c.want)
				}
			})
		})
	}
}

func TestWaitGivesUpShortlyBeforeTheTestsDeadline(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ left, want time.Duration }{
		"near":         {5 * time.Second, 4500 * time.Millisecond},
		"far":          {time.Hour, 10 * time.Second},
		"already over": {-time.Second, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var s signals.Signal[placed]
				failing := &test{TB: t}
				dated := datedTest{failing, time.Now().Add(c.left)}
				if waited := waitFor(dated, &s, 1); waited != c.want {
					t.Errorf("gave up after %v, want %v", waited, c.want)
				}
				if failing.failure == "" {
					t.Error("did not fail the test")
				}
			})
		})
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var s signals.Signal[placed]
			if waited := waitFor(datedTest{test: &test{TB: t}}, &s, 1); waited != 10*time.Second {
				t.Errorf("gave up after %v, want 10s", waited)
			}
		})
	})
}
