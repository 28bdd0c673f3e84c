package hub_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/signals/hub"
)

var errEnough = errors.New("enough")

// subscribe fails the test when there is no subscription.
func subscribe[T any](t *testing.T, ctx context.Context, h *hub.Hub[T], policy ...hub.Policy) iter.Seq2[T, error] {
	t.Helper()
	seq, err := h.Subscribe(ctx, policy...)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// take reads so many pairs in words.
func take[T any](seq iter.Seq2[T, error], n int) (pairs []string) {
	for value, err := range seq {
		if err != nil {
			pairs = append(pairs, err.Error())
		} else {
			pairs = append(pairs, fmt.Sprint(value))
		}
		if len(pairs) == n {
			break
		}
	}
	return pairs
}

func expectPairs(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func expect[V comparable](t *testing.T, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

const gapOf = "hub: something was missed; read the state anew: "

func TestHub_EverySubscriberGetsWhatIsPublishedSinceItsCall(t *testing.T) {
	t.Parallel()
	var h hub.Hub[int]
	h.Publish(1) // nobody listens
	early := subscribe(t, t.Context(), &h)
	h.Publish(2)
	late := subscribe(t, t.Context(), &h)
	h.Publish(3)
	expect(t, "subscribers", h.Stats().Subscribers, 2)
	expectPairs(t, "the early one", take(early, 2), "2", "3")
	expectPairs(t, "the late one", take(late, 1), "3")
	expect(t, "subscribers after their loops", h.Stats().Subscribers, 0)
	expect(t, "published while somebody listened", h.Stats().Published, 2)
}

func TestHub_WhoFallsBehindHarmsNobodyAndHasItsPolicy(t *testing.T) {
	t.Parallel()
	h := hub.New[int](t.Context(), nil, hub.Options{Keep: 4})
	tells, latest, leaves := subscribe(t, t.Context(), h), subscribe(t, t.Context(), h, hub.Latest), subscribe(t, t.Context(), h, hub.Disconnect)
	subscribe(t, t.Context(), h) // and one that never reads
	for n := range 10 {
		h.Publish(n)
	}
	expectPairs(t, "TellGap", take(tells, 5), gapOf+"6 values came faster than they were read", "6", "7", "8", "9")
	expectPairs(t, "Latest", take(latest, 1), "9")
	expectPairs(t, "Disconnect", take(leaves, 9), "hub: the subscriber is too slow: it is 10 values behind, and 4 are kept")
	s := h.Stats()
	expect(t, "missed", s.Missed, 6)
	expect(t, "slow", s.Slow, 1)
	expect(t, "subscribers", s.Subscribers, 1)
}

func TestHub_AGapIsToldInItsPlaceAndIsNotTheEnd(t *testing.T) {
	t.Parallel()
	var h hub.Hub[string]
	seq, newest := subscribe(t, t.Context(), &h), subscribe(t, t.Context(), &h, hub.Latest)
	h.Publish("a")
	h.Gap(errEnough)
	h.Publish("b")
	expectPairs(t, "the pairs", take(seq, 3), "a", gapOf+"enough", "b")
	expectPairs(t, "the newest value is as good as reading anew", take(newest, 1), "b")
	newest = subscribe(t, t.Context(), &h, hub.Latest)
	h.Publish("c")
	h.Gap(errEnough)
	for _, err := range newest {
		gap, ok := errors.AsType[*hub.GapError](err)
		if !ok || !errors.Is(err, hub.ErrGap) || !errors.Is(err, errEnough) || gap.Missed != 0 {
			t.Errorf("a gap after the newest value: %v", err)
		}
		break
	}
	expect(t, "gaps", h.Stats().Gaps, 2)
}

func TestHub_ANewSubscriberGetsWhatIsReplayed(t *testing.T) {
	t.Parallel()
	h := hub.New[int](t.Context(), nil, hub.Options{Replay: 2})
	first := subscribe(t, t.Context(), h)
	for n := range 5 {
		h.Publish(n)
	}
	expectPairs(t, "the second", take(subscribe(t, t.Context(), h), 2), "3", "4")
	expectPairs(t, "the first", take(first, 5), "0", "1", "2", "3", "4")
	again := subscribe(t, t.Context(), h)
	h.Publish(5)
	expectPairs(t, "after nobody listened", take(again, 1), "5")
}

func TestHub_ASubscriptionEndsWithItsContextAlsoWithoutALoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var h hub.Hub[int]
		ctx, cancel := context.WithCancelCause(t.Context())
		seq := subscribe(t, ctx, &h)
		subscribe(t, ctx, &h) // nobody ranges over it: a HEAD, say
		var got []string
		go func() { got = take(seq, 9) }()
		h.Publish(1)
		synctest.Wait()
		cancel(errEnough)
		synctest.Wait()
		expectPairs(t, "the pairs", got, "1", "enough")
		expect(t, "subscribers", h.Stats().Subscribers, 0)
		expectPairs(t, "a second loop", take(seq, 9), "hub: it has ended: a subscription is for one loop")
		_, err := h.Subscribe(ctx)
		if !errors.Is(err, errEnough) {
			t.Errorf("a context that has ended: %v", err)
		}
	})
}

func TestHub_EndsWithItsContextAndTellsTheCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		h := hub.New(ctx, hub.Every(time.Second, func(context.Context) (string, error) { return "tick", nil }), hub.Options{Replay: 1})
		var got [3][]string
		for i := range got {
			seq := subscribe(t, t.Context(), h)
			go func() { got[i] = take(seq, 9) }()
		}
		time.Sleep(1500 * time.Millisecond)
		cancel(errEnough)
		synctest.Wait()
		for i := range got {
			expectPairs(t, "the pairs", got[i], "tick", "tick", "enough")
		}
		expect(t, "it runs", h.Stats().Running, false)
		_, err := h.Subscribe(t.Context())
		if !errors.Is(err, errEnough) {
			t.Errorf("a subscription after the end: %v", err)
		}
	})
}

func TestHub_ALoopThatBreaksOffOrPanicsLeaves(t *testing.T) {
	t.Parallel()
	var h hub.Hub[int]
	seq := subscribe(t, t.Context(), &h)
	h.Publish(1)
	func() {
		defer func() { expect(t, "the panic", recover(), any("loop")) }()
		for range seq {
			panic("loop")
		}
	}()
	expect(t, "subscribers", h.Stats().Subscribers, 0)
}

// Under the race detector: everybody comes, reads and goes at once.
func TestHub_EveryoneAtOnce(t *testing.T) {
	t.Parallel()
	starts := 0
	h := hub.New(t.Context(), func(ctx context.Context, feed hub.Feed[int]) error {
		starts++ // never two at a time
		for n := 0; ctx.Err() == nil; n++ {
			feed.Publish(n)
			if n%64 == 0 {
				feed.Gap(errEnough)
			}
		}
		return nil
	}, hub.Options{Keep: 8, Replay: 2})
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			for range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				seq, err := h.Subscribe(ctx, []hub.Policy{hub.TellGap, hub.Latest, hub.Disconnect}[i%3])
				if err != nil {
					t.Error(err)
					cancel()
					return
				}
				last := -1
				for value, err := range seq {
					if err == nil && value <= last {
						t.Errorf("%d after %d", value, last)
					}
					if err == nil {
						last = value
					}
					if last > 100 || i%4 == 0 {
						break
					}
				}
				cancel()
			}
		})
	}
	all.Wait()
	expect(t, "subscribers", h.Stats().Subscribers, 0)
}
