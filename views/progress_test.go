package views_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/views"
)

func TestProgress_SaysWhatTheStreamIsDoingAndHowFarItHasCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, w := &life{}, newClocked(t)
		p := &l.progress
		want := func(when string, state views.StreamState, bytes, chunks int64) {
			t.Helper()
			if p.State() != state || p.Bytes() != bytes || p.Chunks() != chunks {
				t.Errorf("%s: %s, %d bytes, %d chunks, want %s, %d, %d", when, p.State(), p.Bytes(), p.Chunks(), state, bytes, chunks)
			}
		}
		want("before", views.StreamStarting, 0, 0)
		if !p.Written().IsZero() {
			t.Errorf("written at %v before the first write", p.Written())
		}
		began := time.Now()
		w.onWrite = func() error {
			if w.writes == 1 {
				want("while the first is written", views.StreamWriting, 0, 0)
			}
			return nil
		}
		err := w.runAs(l, views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
			want("at the beginning", views.StreamGenerating, 0, 0)
			yield([]byte("one"), nil)
			want("after the first chunk", views.StreamGenerating, 3, 1)
			for range 10 {
				yield([]byte("more"), nil)
			}
			yield(nil, nil)
			want("while more is held back", views.StreamGenerating, 3, 1)
			time.Sleep(time.Minute)
			want("after the timer", views.StreamGenerating, 43, 11)
		}})
		want("at the end", views.StreamEnded, 43, 11)
		if at := p.Written().Sub(began); err != nil || at != views.HoldTime {
			t.Errorf("written after %v, %v", at, err)
		}
	})
}

func TestProgress_DoesNotCountWhatTheClientDidNotTake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, w := &life{}, newClocked(t)
		w.onWrite = func() error { return errBroken }
		err := w.runAs(l, views.StreamingResponse{Body: chunks("a", "b")})
		if p := &l.progress; !errors.Is(err, views.ErrClientGone) || p.Bytes() != 0 || p.Chunks() != 0 || p.State() != views.StreamEnded {
			t.Errorf("%d bytes, %d chunks, %s: %v", p.Bytes(), p.Chunks(), p.State(), err)
		}
	})
}
