package signals_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/goquintet/quintet/signals"
)

func TestSendsWaitForNobodyButTheirOwnReceivers(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	entered, leave := make(chan struct{}), make(chan struct{})
	s.ConnectOnce("slow", func(_ context.Context, e orderPlaced) error {
		if e.ID == 1 {
			close(entered)
			<-leave
		}
		return nil
	})

	done := make(chan error)
	go func() { done <- s.Send(t.Context(), orderPlaced{ID: 1}) }()
	<-entered // from here on a send stands in its receiver

	send(t, &s)
	s.SendRobust(t.Context(), orderPlaced{})
	disconnect := s.Connect(content)
	s.ConnectOnce("slow", content)
	s.OnDuplicate(nil)
	if !disconnect() || !s.Disconnect("slow") {
		t.Error("disconnecting during a send returned false")
	}
	if s.HasReceivers() {
		t.Error("HasReceivers is true after all were disconnected")
	}

	close(leave)
	if err := <-done; err != nil {
		t.Errorf("Send: %v", err)
	}
}

func TestASendUnderWayMayCallAReceiverAfterItsDisconnectHasReturned(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	var heard log
	entered, leave := make(chan struct{}), make(chan struct{})
	s.Connect(func(context.Context, orderPlaced) error {
		close(entered)
		<-leave
		return nil
	})
	disconnect := s.Connect(heard.writes("disconnected"))

	done := make(chan error)
	go func() { done <- s.Send(t.Context(), orderPlaced{}) }()
	<-entered
	disconnect()
	wantLines(t, heard.take())
	close(leave)
	if err := <-done; err != nil {
		t.Errorf("Send: %v", err)
	}
	wantLines(t, heard.take(), "disconnected")
}

func TestOneReceiverMayBeRunningInSeveralGoroutines(t *testing.T) {
	t.Parallel()
	var s signals.Signal[orderPlaced]
	meet := make(chan struct{})
	s.Connect(func(_ context.Context, e orderPlaced) error {
		if e.ID == 1 { // comes back only when another call is in the receiver
			meet <- struct{}{}
		} else {
			<-meet
		}
		return nil
	})
	var all sync.WaitGroup
	for id := range 2 {
		all.Go(func() { s.SendRobust(t.Context(), orderPlaced{ID: id}) })
	}
	all.Wait()
}

// Its work is done by the race detector, and by the last lines.
func TestAllMethodsMayBeCalledFromSeveralGoroutinesAtOnce(t *testing.T) {
	t.Parallel()
	const goroutines, rounds = 8, 200
	var s signals.Signal[orderPlaced]
	var steady, duplicates atomic.Int64
	s.Connect(func(context.Context, orderPlaced) error {
		steady.Add(1)
		return nil
	})
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for round := range rounds {
				disconnect := s.Connect(content)
				s.OnDuplicate(func(signals.Duplicate) { duplicates.Add(1) })
				s.ConnectOnce("shared", content)
				own := strconv.Itoa(g)
				s.ConnectOnce(own, content)
				send(t, &s)
				s.SendRobust(t.Context(), orderPlaced{})
				if !s.HasReceivers() {
					t.Error("HasReceivers is false with a steady receiver")
				}
				if !disconnect() || !s.Disconnect(own) {
					t.Errorf("round %d: a receiver of this goroutine was already gone", round)
				}
				s.Disconnect("shared")
			}
		})
	}
	all.Wait()

	if got, want := steady.Load(), int64(2*goroutines*rounds); got != want {
		t.Errorf("the steady receiver was called %d times, want %d", got, want)
	}
	if got := len(s.SendRobust(t.Context(), orderPlaced{})); got != 1 {
		t.Errorf("%d receivers are left, want 1", got)
	}
}

func TestOfManyWhoConnectOneUIDExactlyOneWins(t *testing.T) {
	t.Parallel()
	const goroutines = 16
	var s signals.Signal[orderPlaced]
	var told, winners atomic.Int64
	s.OnDuplicate(func(signals.Duplicate) { told.Add(1) })
	disconnects := make([]func() bool, goroutines)
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() { disconnects[g] = s.ConnectOnce("audit", content) })
	}
	all.Wait()
	if got := len(s.SendRobust(t.Context(), orderPlaced{})); got != 1 {
		t.Errorf("%d receivers, want 1", got)
	}
	for _, disconnect := range disconnects {
		all.Go(func() {
			if disconnect() {
				winners.Add(1)
			}
		})
	}
	all.Wait()
	if winners.Load() != 1 || told.Load() != goroutines-1 {
		t.Errorf("%d won and %d were told, want 1 and %d", winners.Load(), told.Load(), goroutines-1)
	}
}
