package views

import (
	"errors"
	"time"
)

// wind sets the timer for what is due next, if anything is.
func (f *flow) wind() {
	if f.waiting {
		f.set(f.flushAt)
	}
	if f.limits.beats() && f.err == nil {
		f.set(f.beatAt())
	}
	if f.limits.maxAge > 0 && !f.aged {
		f.set(f.began.Add(f.limits.maxAge))
	}
}

// set has the timer fire at this time at the latest.
func (f *flow) set(at time.Time) {
	if !f.due.IsZero() && !at.Before(f.due) {
		return
	}
	f.due = at
	switch d := time.Until(at); {
	case f.timer == nil:
		f.ticks.Add(1)
		f.timer = time.AfterFunc(d, f.tick)
	case !f.timer.Reset(d):
		f.ticks.Add(1)
	}
}

func (f *flow) beatAt() time.Time {
	silent := f.began
	if f.flushed.After(silent) {
		silent = f.flushed
	}
	return silent.Add(f.limits.every)
}

// tick does what is due. It runs in the goroutine of the timer.
func (f *flow) tick() {
	defer f.ticks.Done()
	if end := f.turn(); end != nil {
		f.limits.stop(end)
	}
}

var errPanicked = errors.New("views: the response writer has panicked")

// turn is a tick with the lock. It returns why the context of the stream is to end:
// a generator that waits has no other way to hear of it.
func (f *flow) turn() (end error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	defer func() {
		// A writer may panic to abort its request; only the goroutine of the
		// request can.
		if f.panicked = recover(); f.panicked != nil {
			f.fail(errPanicked)
			end = f.err
		}
	}()
	f.due = time.Time{}
	now := time.Now()
	old := f.limits.maxAge > 0 && !f.aged && now.Sub(f.began) >= f.limits.maxAge
	if f.waiting && (old || !now.Before(f.flushAt)) {
		f.letGo(now)
		f.flush()
	}
	if f.limits.beats() && !f.waiting && !now.Before(f.beatAt()) {
		f.write(f.limits.beat, 0, now)
		f.flush()
	}
	f.wind()
	switch {
	case f.err != nil:
		return f.err
	case old:
		f.aged = true
		return ErrMaxAge
	}
	return nil
}
