package views_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/views"
)

// clocked is a response writer that keeps the time of everything.
type clocked struct {
	t        testing.TB
	header   http.Header
	began    time.Time
	over     bool // nothing may happen any more
	mu       sync.Mutex
	total    int // flushed and pending bytes
	pending  bytes.Buffer
	writes   int
	flushes  []flushed
	deadline time.Time
	timeout  time.Duration // of a write
	cancel   context.CancelCauseFunc
	onWrite  func() error
	onFlush  func() error
}

// flushed is what a flush took with it, and when.
type flushed struct {
	after time.Duration
	text  string
}

func newClocked(t testing.TB) *clocked {
	return &clocked{t: t, header: make(http.Header), began: time.Now(), timeout: 30 * time.Second}
}

func (c *clocked) touched() {
	if c.over {
		c.t.Error("the writer was touched after the response was over")
	}
}

func (c *clocked) Header() http.Header { c.touched(); return c.header }
func (c *clocked) WriteHeader(int)     { c.touched() }

func (c *clocked) Write(p []byte) (int, error) {
	c.touched()
	if left := time.Until(c.deadline); left < c.timeout*29/30 || left > c.timeout {
		c.t.Errorf("a write has a deadline in %v, want %v", left, c.timeout)
	}
	c.writes++
	if c.onWrite != nil {
		if err := c.onWrite(); err != nil {
			return 0, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total += len(p)
	return c.pending.Write(p)
}

// taken returns how many bytes were written.
func (c *clocked) taken() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

func (c *clocked) FlushError() error {
	c.touched()
	if c.onFlush != nil {
		if err := c.onFlush(); err != nil {
			return err
		}
	}
	c.flushes = append(c.flushes, flushed{time.Since(c.began), c.pending.String()})
	c.pending.Reset()
	return nil
}

func (c *clocked) SetWriteDeadline(at time.Time) error {
	c.touched()
	c.deadline = at
	return nil
}

func (c *clocked) run(response views.StreamingResponse) error { return c.runAs(nil, response) }

func (c *clocked) runAs(l *life, response views.StreamingResponse) error {
	return c.runIn(l, func(context.Context) views.StreamingResponse { return response })
}

// runIn lets the generator have the context of its request.
func (c *clocked) runIn(l *life, response func(context.Context) views.StreamingResponse) error {
	var cycle views.Cycle
	if l != nil {
		cycle = l
	}
	ctx, cancel := context.WithCancelCause(c.t.Context())
	defer cancel(nil)
	if c.cancel = cancel; l != nil {
		l.stop = cancel
	}
	err := response(ctx).Respond(c, views.NewRequest(httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil), cycle))
	c.over = true
	return err
}

func TestFlow_SendsTheChunksOfASlowSourceAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newClocked(t)
		err := w.run(views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
			for i := range 5 {
				if !yield(fmt.Append(nil, i), nil) {
					return
				}
				if !w.deadline.IsZero() {
					t.Error("a silent stream has a deadline")
				}
				time.Sleep(views.HoldTime)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		for i, flush := range w.flushes {
			if want := (flushed{time.Duration(i) * views.HoldTime, fmt.Sprint(i)}); flush != want {
				t.Errorf("flush %d: %v, want %v", i, flush, want)
			}
		}
		if len(w.flushes) != 5 || w.writes != 5 {
			t.Errorf("%d writes and %d flushes of 5 chunks", w.writes, len(w.flushes))
		}
	})
}

func TestFlow_SendsTheTailOfABurstWhileTheGeneratorIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newClocked(t)
		err := w.run(views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
			for range 100 {
				yield([]byte("x"), nil)
			}
			time.Sleep(time.Hour)
		}})
		want := []flushed{{0, "x"}, {views.HoldTime, strings.Repeat("x", 99)}}
		if err != nil || fmt.Sprint(w.flushes) != fmt.Sprint(want) || w.writes != 2 {
			t.Errorf("%v, %d writes, %v, want %v", err, w.writes, w.flushes, want)
		}
	})
}

func TestFlow_HoldsNothingBackForLongerThanItsBounds(t *testing.T) {
	t.Parallel()
	const every = 100 * time.Microsecond
	for name, size := range map[string]int{"short lines": 10, "large chunks": views.HoldSize/4 + 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newClocked(t)
				const n = 1000
				held := 0
				err := w.run(views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
					for i := range n {
						yield(bytes.Repeat([]byte("x"), size), nil)
						held = max(held, (i+1)*size-w.taken())
						time.Sleep(every)
					}
				}})
				if err != nil {
					t.Fatal(err)
				}
				if held > views.HoldSize {
					t.Errorf("%d bytes were held back", held)
				}
				taken := 0
				for _, flush := range w.flushes {
					if taken += len(flush.text); flush.text == "" {
						continue
					}
					oldest := time.Duration(taken-len(flush.text)) / time.Duration(size) * every
					if late := flush.after - oldest; late > views.HoldTime {
						t.Errorf("a chunk was held back for %v", late)
					}
				}
				if most := int(n*every/views.HoldTime) + 2; taken != n*size || len(w.flushes) > most {
					t.Errorf("%d of %d bytes in %d flushes, want at most %d", taken, n*size, len(w.flushes), most)
				}
			})
		})
	}
}

func TestFlow_TouchesNothingAfterTheResponse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newClocked(t)
		if err := w.run(views.StreamingResponse{Body: chunks("a", "b", "c")}); err != nil {
			t.Fatal(err)
		}
		if want := []flushed{{0, "a"}, {0, "bc"}}; fmt.Sprint(w.flushes) != fmt.Sprint(want) {
			t.Errorf("flushes %v, want %v", w.flushes, want)
		}
		time.Sleep(time.Hour)
	})
}

func TestFlow_EachWriteHasADeadlineOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newClocked(t)
		w.timeout = 30 * time.Millisecond
		w.onWrite = func() error {
			time.Sleep(views.HoldTime / 4) // a slow client, before the timer's turn
			return nil
		}
		err := w.run(views.WithWriteTimeout(views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
			for range 4 {
				yield(make([]byte, views.HoldSize), nil)
			}
		}}, w.timeout))
		if err != nil || w.writes != 4 {
			t.Errorf("%v after %d writes, want 4", err, w.writes)
		}
	})
}

// The timer fires while the response ends: whoever comes first, nothing is sent
// twice or late.
func TestFlow_EndsWhileItsTimerFires(t *testing.T) {
	t.Parallel()
	var running sync.WaitGroup
	for i := range 200 {
		running.Go(func() {
			w := newClocked(t)
			err := w.run(views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
				yield([]byte("a"), nil)
				yield([]byte("b"), nil)
				time.Sleep(views.HoldTime + time.Duration(i-150)*10*time.Microsecond)
			}})
			got := ""
			for _, flush := range w.flushes {
				got += flush.text
			}
			if err != nil || got != "ab" {
				t.Errorf("%q, %v, want ab", got, err)
			}
		})
	}
	running.Wait()
}

func TestFlow_LeavesTheEndOfTheBodyADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newClocked(t)
		_ = w.run(views.StreamingResponse{Body: chunks("a")})
		if left := time.Until(w.deadline); left != 30*time.Second {
			t.Errorf("the deadline is in %v, want 30s", left)
		}
	})
}

func TestFlow_AFailedFlushIsSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newClocked(t)
		w.onFlush = func() error { return errBroken }
		yielded := 0
		err := w.run(views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
			for yield([]byte("x"), nil) {
				yielded++
			}
		}})
		if !errors.Is(err, views.ErrClientGone) || !errors.Is(err, errBroken) || yielded != 0 {
			t.Errorf("%v after %d yields, want ErrClientGone at the first", err, yielded)
		}
	})
}

func TestFlow_AWriterThatCannotFlushStillWrites(t *testing.T) {
	t.Parallel()
	w := newClocked(t)
	plain := struct{ http.ResponseWriter }{plainWriter{w}}
	response := views.StreamingResponse{Body: chunks("a", "b")}
	w.deadline = time.Now().Add(29500 * time.Millisecond) // nobody else sets one here
	err := response.Respond(plain, views.NewRequest(httptest.NewRequest(http.MethodGet, "/", nil), nil))
	if err != nil || w.pending.String() != "ab" {
		t.Errorf("%q, %v", w.pending.String(), err)
	}
}

// plainWriter hides everything but the three methods.
type plainWriter struct{ w *clocked }

func (p plainWriter) Header() http.Header         { return p.w.Header() }
func (p plainWriter) WriteHeader(status int)      { p.w.WriteHeader(status) }
func (p plainWriter) Write(b []byte) (int, error) { return p.w.Write(b) }

func TestFlow_AFailureOfTheTimersWriteIsSeenByTheNextYield(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newClocked(t)
		w.onWrite = func() error {
			if w.writes > 1 {
				return errBroken
			}
			return nil
		}
		err := w.run(views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
			if !yield([]byte("a"), nil) || !yield([]byte("b"), nil) {
				t.Error("a yield was refused before the timer")
			}
			time.Sleep(views.HoldTime)
			synctest.Wait()
			if yield([]byte("c"), nil) {
				t.Error("the yield after the failure was taken")
			}
		}})
		if !errors.Is(err, views.ErrClientGone) || !errors.Is(err, errBroken) {
			t.Errorf("error %v", err)
		}
	})
}

func TestFlow_APanicOfTheWriterReachesTheGoroutineOfTheRequest(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]bool{"at the next yield": true, "at the end": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newClocked(t)
				w.onWrite = func() error {
					if w.writes > 1 {
						panic(http.ErrAbortHandler)
					}
					return nil
				}
				closed := 0
				panicked := panicOf(func() {
					_ = w.run(views.StreamingResponse{
						Body: func(yield func([]byte, error) bool) {
							yield([]byte("a"), nil)
							yield([]byte("b"), nil)
							time.Sleep(views.HoldTime)
							synctest.Wait()
							if again {
								yield([]byte("c"), nil)
								t.Error("the yield returned")
							}
						},
						Close: func() { closed++ },
					})
				})
				if panicked != http.ErrAbortHandler || closed != 1 { //nolint:errorlint // the value itself
					t.Errorf("panic %v, closed %d times", panicked, closed)
				}
			})
		})
	}
}

func TestFlow_AFastSourceIsFlushedByTheClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newClocked(t)
		const n = 10_000
		line := []byte("0123456789abcdef\n")
		err := w.run(views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
			for range n { // in no time at all
				yield(line, nil)
			}
		}})
		if most := n*len(line)/views.HoldSize + 2; err != nil || w.writes > most || len(w.flushes) != 2 {
			t.Errorf("%v, %d writes, want at most %d, and %d flushes, want 2", err, w.writes, most, len(w.flushes))
		}
	})
}
