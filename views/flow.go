package views

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

// The bounds of a stream, in bytes and in time.
const (
	holdSize     = 32 << 10             // held back at most, then it is written
	holdTime     = 5 * time.Millisecond // held back at most, then it is flushed
	writeTimeout = 30 * time.Second     // a client that does not take a write within it has gone
)

// flow is the way of the chunks to the client. A chunk that comes later than
// holdTime after the last flush goes out at once. Those that come faster are
// collected, and a timer flushes what has collected: no goroutine waits with a
// stream, a source that falls silent has nothing held back for longer than
// holdTime, and a silent stream holds no buffer.
type flow struct {
	head     *head
	timeout  time.Duration
	progress *Progress
	ticks    sync.WaitGroup // a timer that is set or fires

	mu       sync.Mutex // guards the rest, and every use of the writer
	w        http.ResponseWriter
	control  *http.ResponseController
	started  bool        // the headers are out
	held     []byte      // not written yet
	chunks   int64       // taken and not counted yet
	timer    *time.Timer // flushes, nil before its first use
	waiting  bool        // for the timer
	flushed  time.Time
	armed    time.Time // when the write deadline was set, zero when there is none
	err      error     // the first failure of the writer; nothing is written after it
	panicked any       // by the writer in the timer's goroutine, for the stream's
	closed   bool
}

func newFlow(w http.ResponseWriter, h *head, timeout time.Duration, progress *Progress) *flow {
	if timeout == 0 {
		timeout = writeTimeout
	}
	f := &flow{head: h, timeout: timeout, progress: progress, w: w, control: http.NewResponseController(w)}
	progress.state.Store(stateGenerating)
	f.deadline(time.Time{}) // the server's WriteTimeout does not cut streams
	return f
}

// send takes a chunk. Its memory is the caller's again when send returns.
func (f *flow) send(chunk []byte) error {
	if len(chunk) == 0 {
		return nil
	}
	f.mu.Lock()
	f.chunks++
	if f.waiting && len(chunk) <= cap(f.held)-len(f.held) { // a fast source: most chunks come here
		f.held = append(f.held, chunk...)
		f.mu.Unlock()
		return nil
	}
	defer f.mu.Unlock()
	if err := f.failed(); err != nil {
		return err
	}
	if f.waiting {
		f.hold(chunk)
		return f.err
	}
	now := time.Now()
	if early := holdTime - now.Sub(f.flushed); early > 0 {
		f.wait(early)
		f.hold(chunk)
		return f.err
	}
	f.held = nil
	f.write(chunk, now)
	f.flush()
	return f.err
}

// sendHeaders sends the headers of a stream that has no chunk, or none yet.
func (f *flow) sendHeaders() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.failed(); err != nil || f.started {
		return err
	}
	f.arm(time.Now())
	f.start()
	f.flush()
	return f.err
}

// close sends what is held back. When it returns, nobody touches the writer any
// more.
func (f *flow) close() error {
	defer f.ticks.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.timer != nil && f.timer.Stop() {
		f.ticks.Done()
	}
	if err := f.failed(); err != nil {
		return err
	}
	now := time.Now()
	if f.waiting {
		f.write(f.held, now)
		f.flush()
	}
	if f.err == nil {
		// The server has the end of the body to write. It takes the deadline away
		// before the next request of this connection.
		f.deadline(now.Add(f.timeout))
	}
	return f.err
}

// hold keeps the chunk for the timer. What is too much is written without a
// flush, and a large chunk is better written than copied.
func (f *flow) hold(chunk []byte) {
	large := len(chunk) > holdSize/2
	if large || len(f.held)+len(chunk) > holdSize {
		now := time.Now()
		f.write(f.held, now)
		f.held = f.held[:0]
		if large {
			f.write(chunk, now)
			return
		}
	}
	if need := len(f.held) + len(chunk); need > cap(f.held) { // in few steps, and not beyond holdSize
		f.held = append(make([]byte, 0, min(max(need, 8*cap(f.held), 512), holdSize)), f.held...)
	}
	f.held = append(f.held, chunk...)
}

// wait sets the timer.
func (f *flow) wait(d time.Duration) {
	f.waiting = true
	f.ticks.Add(1)
	if f.timer == nil {
		f.timer = time.AfterFunc(d, f.tick)
	} else {
		f.timer.Reset(d)
	}
}

// tick flushes what has collected. It runs in the goroutine of the timer.
func (f *flow) tick() {
	defer f.ticks.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	defer func() {
		// A writer may panic to abort its request; only the goroutine of the
		// request can.
		if f.panicked = recover(); f.panicked != nil {
			f.fail(errPanicked)
		}
	}()
	f.write(f.held, time.Now())
	f.held = nil // the source may be silent now, and for long
	f.flush()
}

var errPanicked = errors.New("views: the response writer has panicked")

// failed returns the first failure of the writer, and lets its panic go on.
func (f *flow) failed() error {
	if p := f.panicked; p != nil {
		f.panicked = nil
		panic(p)
	}
	return f.err
}

// start sends the headers, once.
func (f *flow) start() {
	if f.started {
		return
	}
	f.started = true
	f.head.applyStream(f.w)
	f.w.WriteHeader(f.head.status)
}

func (f *flow) write(p []byte, now time.Time) {
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
	f.progress.wrote(n, f.chunks)
	f.chunks = 0
}

// fail keeps the first failure of the writer, and has the next chunk find it.
func (f *flow) fail(err error) {
	f.err = unsent(err)
	f.waiting = false
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

// arm gives the next write its deadline. One that is young enough still serves.
func (f *flow) arm(now time.Time) {
	if !f.armed.IsZero() && now.Sub(f.armed) < f.timeout/32 {
		return
	}
	f.armed = now
	f.deadline(now.Add(f.timeout))
}

// deadline tells the server. Its error is not kept: a writer without deadlines
// has none, and on a broken connection the write says so.
func (f *flow) deadline(t time.Time) {
	_ = f.control.SetWriteDeadline(t)
}
