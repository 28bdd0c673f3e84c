package views_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/views"
)

const beat = 15 * time.Second

func TestFlow_TheHeartbeatGoesOutWhileTheGeneratorIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, l := newClocked(t), &life{}
		err := w.runAs(l, views.StreamingResponse{Heartbeat: []byte("."), Body: func(yield func([]byte, error) bool) {
			yield([]byte("a"), nil)
			yield([]byte("b"), nil)
			time.Sleep(2*beat + time.Second)
			yield([]byte("c"), nil) // the next is due that much later
			time.Sleep(beat - time.Second)
			yield([]byte("d"), nil)
			time.Sleep(beat + time.Second)
		}})
		want := []flushed{{0, "a"}, {views.HoldTime, "b"}, {views.HoldTime + beat, "."}, {views.HoldTime + 2*beat, "."}, {2*beat + time.Second, "c"}, {3 * beat, "d"}, {4 * beat, "."}}
		if err != nil || fmt.Sprint(w.flushes) != fmt.Sprint(want) {
			t.Errorf("%v, %v, want %v", err, w.flushes, want)
		}
		if p := &l.progress; p.Chunks() != 4 || p.Bytes() != 7 {
			t.Errorf("%d chunks, %d bytes", p.Chunks(), p.Bytes())
		}
	})
}

func TestFlow_TheHeartbeatIsTheResponsesOrTheSites(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		site, own time.Duration
		beats     int // in an hour
	}{
		"by default":        {0, 0, 240},
		"of the site":       {time.Minute, 0, 60},
		"of the response":   {time.Minute, 10 * time.Minute, 6},
		"of neither":        {-1, 0, 0},
		"not of this one":   {time.Minute, -1, 0},
		"of this one alone": {-1, 30 * time.Minute, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, l := newClocked(t), &life{settings: views.StreamSettings{Heartbeat: c.site}}
				err := w.runAs(l, views.StreamingResponse{Heartbeat: []byte("."), HeartbeatEvery: c.own, Body: func(func([]byte, error) bool) {
					time.Sleep(time.Hour + time.Second)
				}})
				if got := w.taken(); err != nil || got != c.beats {
					t.Errorf("%v, %d heartbeats in an hour, want %d", err, got, c.beats)
				}
			})
		})
	}
}

// A heartbeat finds out that a client has gone, and wakes the generator.
func TestFlow_AHeartbeatThatFailsEndsTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newClocked(t)
		w.onWrite = func() error { return errBroken }
		began := time.Now()
		err := w.runIn(&life{}, func(ctx context.Context) views.StreamingResponse {
			return views.StreamingResponse{Heartbeat: []byte("."), Body: func(func([]byte, error) bool) { <-ctx.Done() }}
		})
		if !errors.Is(err, views.ErrClientGone) || !errors.Is(err, errBroken) || time.Since(began) != beat {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestFlow_MaxAgeTellsTheStream(t *testing.T) {
	t.Parallel()
	lastWord := func(yield func([]byte, error) bool, ctx context.Context) {
		<-ctx.Done()
		if cause := context.Cause(ctx); errors.Is(cause, views.ErrMaxAge) {
			yield([]byte("bye"), nil)
		}
	}
	for name, c := range map[string]struct {
		site, own time.Duration
		after     time.Duration
	}{
		"of the site":     {time.Minute, 0, time.Minute},
		"of the response": {time.Minute, time.Hour, time.Hour},
		"not of this one": {time.Minute, -1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, l := newClocked(t), &life{settings: views.StreamSettings{MaxAge: c.site}}
				err := w.runIn(l, func(ctx context.Context) views.StreamingResponse {
					return views.StreamingResponse{MaxAge: c.own, Body: func(yield func([]byte, error) bool) {
						yield([]byte("a"), nil)
						if c.after == 0 {
							time.Sleep(24 * time.Hour)
							return
						}
						lastWord(yield, ctx)
					}}
				})
				want := []flushed{{0, "a"}, {c.after, "bye"}}
				if c.after == 0 {
					want = want[:1]
				}
				if err != nil || fmt.Sprint(w.flushes) != fmt.Sprint(want) {
					t.Errorf("%v, %v, want %v", err, w.flushes, want)
				}
			})
		})
	}
}

// One that does not listen is refused its third chunk after that, by the site and
// without one.
func TestFlow_MaxAgeEndsAStreamThatGoesOn(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]*life{"in a site": {}, "without a site": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newClocked(t)
				yielded := 0
				err := w.runAs(l, views.StreamingResponse{MaxAge: 90 * time.Second, Body: func(yield func([]byte, error) bool) {
					for yield([]byte("x"), nil) {
						yielded++
						time.Sleep(time.Minute)
					}
				}})
				if !errors.Is(err, views.ErrMaxAge) || errors.Is(err, views.ErrClientGone) || yielded != 4 || w.taken() != 4 {
					t.Errorf("%v after %d chunks, %d sent", err, yielded, w.taken())
				}
			})
		})
	}
}

func TestFlow_AFastStreamHearsOfItsEnd(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{"its client leaves": nil, "it is told": errBroken} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newClocked(t)
				after := 0
				err := w.run(views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
					for range 1000 {
						yield([]byte("x"), nil)
					}
					w.cancel(cause)
					for yield([]byte("y"), nil) { // in no time at all
						after++
					}
				}})
				if errors.Is(err, views.ErrClientGone) != (cause == nil) || !errors.Is(err, orElse(cause, context.Canceled)) || after > 64 {
					t.Errorf("%v, %d chunks after the end, want at most 64", err, after)
				}
				if got := w.taken(); got != 1000+after && got != 1000+after+1 {
					t.Errorf("%d bytes were sent of %d that were taken", got, 1000+after)
				}
			})
		})
	}
}

func orElse(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// A goroutine that the generator has left behind yields into nothing.
func TestStreamingResponse_AYieldAfterTheEndIsRefused(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]int{"a slow stream": 1, "a fast stream": 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, late := newClocked(t), make(chan func() bool, 1)
			err := w.run(views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
				for range before {
					yield([]byte("x"), nil)
				}
				late <- func() bool { return yield([]byte("late"), nil) || yield(nil, errBroken) || yield(nil, nil) }
			}})
			yield, refused := <-late, make(chan bool)
			go func() { refused <- !yield() }()
			if !<-refused || err != nil || w.taken() != before {
				t.Errorf("it was taken: %v, %d bytes", err, w.taken())
			}
		})
	}
}

// Yields of one stream may come from several goroutines, one at a time, while its
// timer fires: nothing is lost, doubled or out of order.
func TestFlow_KeepsTheOrderWhileTheTimerTakesWhatIsHeld(t *testing.T) {
	t.Parallel()
	const n = 200_000
	w := newClocked(t)
	err := w.run(views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
		line, turn := make([]byte, 0, 16), make(chan struct{})
		for from := 0; from < n; from += n / 10 {
			go func() {
				defer func() { turn <- struct{}{} }()
				for i := range n / 10 {
					line = append(fmt.Appendf(line[:0], "%d", from+i), '\n')
					if !yield(line, nil) {
						t.Error("refused")
					}
				}
			}()
			<-turn
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for _, flush := range append(w.flushes, flushed{text: w.pending.String()}) {
		for line := range strings.Lines(flush.text) {
			if want := fmt.Sprintln(i); line != want {
				t.Fatalf("line %d is %q", i, line)
			}
			i++
		}
	}
	if i != n || len(w.flushes) < 2 {
		t.Errorf("%d lines in %d flushes, want %d", i, len(w.flushes), n)
	}
}
