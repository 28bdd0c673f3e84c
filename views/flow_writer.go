package views

import (
	"errors"
	"time"
)

// start sends the headers, once.
func (f *flow) start() {
	if f.started {
		return
	}
	f.started = true
	f.head.applyStream(f.w)
	f.w.WriteHeader(f.head.status)
}

// write writes what has so many chunks.
func (f *flow) write(p []byte, chunks int64, now time.Time) {
	if f.err != nil || len(p) == 0 {
		return
	}
	f.arm(now)
	f.start()
	f.progress.state.Store(stateWriting)
	n, err := f.w.Write(p)
	f.progress.state.Store(stateGenerating)
	if err != nil {
		f.fail(err)
		return
	}
	f.progress.wrote(n, chunks)
}

func (f *flow) flush() {
	f.waiting = false
	if f.err != nil {
		return
	}
	if err := f.control.Flush(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		f.fail(err)
		return
	}
	f.flushed = time.Now()
	// HTTP/2 resets a stream whose deadline passes, also while it is silent.
	f.armed = time.Time{}
	f.deadline(time.Time{})
}

// fail keeps the first failure of the writer.
func (f *flow) fail(err error) {
	f.err = unsent(err)
	f.waiting = false
}

// failed returns the first failure of the writer, and lets its panic go on.
func (f *flow) failed() error {
	if p := f.panicked; p != nil {
		f.panicked = nil
		panic(p)
	}
	return f.err
}

// arm gives the next write its deadline. One that is young enough still serves.
func (f *flow) arm(now time.Time) {
	if !f.armed.IsZero() && now.Sub(f.armed) < f.limits.writeTimeout/32 {
		return
	}
	f.armed = now
	f.deadline(now.Add(f.limits.writeTimeout))
}

// deadline tells the server. Its error is not kept: a writer without deadlines
// has none, and on a broken connection the write says so.
func (f *flow) deadline(t time.Time) {
	_ = f.control.SetWriteDeadline(t)
}
