package hub_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/signals/hub"
)

func TestSource_RunsWhileSomebodyListens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		h := hub.New(t.Context(), hub.Every(time.Second, func(context.Context) (int, error) {
			asked++
			return asked, nil
		}), hub.Options{Replay: 1})
		time.Sleep(time.Minute)
		expect(t, "asked while nobody listened", asked, 0)
		first, second := subscribe(t, t.Context(), h), subscribe(t, t.Context(), h)
		done := make(chan []string)
		go func() { done <- take(first, 3) }()
		expectPairs(t, "one of them", take(second, 2), "1", "2")
		expectPairs(t, "the other", <-done, "1", "2", "3")
		synctest.Wait()
		expect(t, "it runs", h.Stats().Running, false)
		time.Sleep(time.Minute)
		expect(t, "asked for both", asked, 3)
		expectPairs(t, "who comes later", take(subscribe(t, t.Context(), h), 1), "4")
		synctest.Wait()
	})
}

func TestSource_SubscribersWaitUntilItIsReadyAndMissNothingAfterThat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(t.Context(), func(ctx context.Context, feed hub.Feed[string]) error {
			time.Sleep(time.Second) // it connects
			feed.Ready()
			feed.Publish("at once")
			<-ctx.Done()
			return ctx.Err()
		})
		began := time.Now()
		expectPairs(t, "the pairs", take(subscribe(t, t.Context(), h), 1), "at once")
		expect(t, "waited", time.Since(began), time.Second)
		hurried, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := h.Subscribe(hurried)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who cannot wait: %v", err)
		}
		expect(t, "subscribers", h.Stats().Subscribers, 0)
		time.Sleep(time.Second) // the source does not look at its context before that
		synctest.Wait()
	})
}

func TestSource_ThatDoesNotStartSaysWhyAndIsStartedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		starts := 0
		h := hub.New(t.Context(), func(_ context.Context, feed hub.Feed[string]) error {
			if starts++; starts == 1 {
				return errEnough
			}
			if starts == 2 {
				return nil
			}
			feed.Publish("well")
			return nil
		})
		_, err := h.Subscribe(t.Context())
		if !errors.Is(err, errEnough) {
			t.Errorf("the first: %v", err)
		}
		_, err = h.Subscribe(t.Context())
		if !errors.Is(err, hub.ErrEnded) {
			t.Errorf("the second: %v", err)
		}
		expect(t, "subscribers", h.Stats().Subscribers, 0)
	})
}

func TestSource_ThatEndsEndsTheSequencesAndIsStartedByTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		starts, again := 0, make(chan error)
		h := hub.New(t.Context(), func(_ context.Context, feed hub.Feed[int]) error {
			starts++
			feed.Ready()
			err := <-again
			feed.Publish(starts)
			if errors.Is(err, errEnough) {
				panic(err)
			}
			return err
		}, hub.Options{Replay: 5})
		for n, end := range []error{nil, context.DeadlineExceeded, errEnough} {
			slow, quick := subscribe(t, t.Context(), h), subscribe(t, t.Context(), h, hub.Latest)
			again <- end
			synctest.Wait()
			for _, pairs := range [][]string{take(slow, 9), take(quick, 9)} {
				if pairs[0] != strconv.Itoa(n+1) {
					t.Errorf("run %d: %q", n+1, pairs)
				}
				switch {
				case end == nil && len(pairs) != 1, end != nil && len(pairs) != 2:
					t.Errorf("run %d ends with %q", n+1, pairs)
				case end != nil && !strings.Contains(pairs[1], end.Error()):
					t.Errorf("run %d ends with %q", n+1, pairs)
				case errors.Is(end, errEnough) && (!strings.Contains(pairs[1], "has panicked") || !strings.Contains(pairs[1], "source_test.go")):
					t.Errorf("a panic is told as %q", pairs[1])
				}
			}
		}
		expect(t, "starts", starts, 3)
	})
}

func TestMap_ConvertsOnceForAllAndTellsWhatItCannotConvert(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		converted := 0
		numbers := func(ctx context.Context, feed hub.Feed[string]) error {
			feed.Ready()
			time.Sleep(time.Second)
			for _, text := range []string{"1", "two", "3"} {
				feed.Publish(text)
			}
			<-ctx.Done()
			return ctx.Err()
		}
		h := hub.New(t.Context(), hub.Map(numbers, func(_ context.Context, text string) (int, error) {
			converted++
			return strconv.Atoi(text)
		}))
		first, second := subscribe(t, t.Context(), h), subscribe(t, t.Context(), h)
		want := []string{"1", gapOf + `strconv.Atoi: parsing "two": invalid syntax`, "3"}
		expectPairs(t, "one", take(first, 3), want...)
		expectPairs(t, "the other", take(second, 3), want...)
		expect(t, "conversions", converted, 3)
	})
}

func TestEvery_AnErrorIsAGapAndItGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		h := hub.New(t.Context(), hub.Every(time.Second, func(context.Context) (int, error) {
			if asked++; asked == 2 {
				return 0, errEnough
			}
			return asked, nil
		}))
		expectPairs(t, "the pairs", take(subscribe(t, t.Context(), h), 3), "1", gapOf+"enough", "3")
		synctest.Wait()
	})
}

func TestNew_RefusesOptionsThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, o := range []hub.Options{{Keep: -1}, {Replay: -1}, {Keep: 2, Replay: 3}, {Replay: 65}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v is no panic", o)
				}
			}()
			hub.New[int](t.Context(), nil, o)
		}()
	}
}
