package views

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of a stream, in bytes and in time.
const (
	holdSize  = 64 << 10             // held back at most, then it is written
	holdTime  = 5 * time.Millisecond // held back at most, then it is flushed
	largeSize = 16 << 10             // a larger chunk is better written than copied
)

// flow is the way of the chunks to the client. A chunk that comes later than
// holdTime after the last flush goes out at once. Those that come faster are
// collected, and a timer flushes what has collected: no goroutine waits with a
// stream, a source that falls silent has nothing held back for longer than
// holdTime, and a silent stream holds no buffer. The same timer sends the
// heartbeat, and tells a stream that is old enough to end.
//
// Most chunks of a fast source only go into the buffer, without a lock: see yield.
type flow struct {
	ctx      context.Context
	head     *head
	limits   limits
	progress *Progress
	began    time.Time
	ticks    sync.WaitGroup // a timer that is set or fires

	held  atomic.Pointer[held] // never nil
	taken atomic.Int64         // how much held has, or that it was taken away
	none  held                 // has no room, and nothing

	mu       sync.Mutex // guards the rest, and every use of the writer
	w        http.ResponseWriter
	control  *http.ResponseController
	started  bool // the headers are out
	waiting  bool // for the timer to flush
	flushed  time.Time
	flushAt  time.Time // when waiting
	armed    time.Time // when the write deadline was set, zero when there is none
	room     int       // of the next held
	err      error     // the first failure of the writer; nothing is written after it
	panicked any       // by the writer in the timer's goroutine, for the stream's

	timer *time.Timer // nil before its first use
	due   time.Time   // when it fires, zero when it is not set
	aged  bool        // MaxAge is over

	ask     *asking
	words   int   // chunks taken since the context has ended
	refused bool  // yield has returned false
	outcome error // why
	closed  bool
}

// held is what is held back. The stream's goroutine fills it; the timer reads as
// much of it as taken says.
type held struct {
	size   int
	buffer []byte
}

// taken is one word: bytes, the number of chunks above them, and the sign.
const (
	oneChunk  = 1 << 32
	takenAway = -1 << 63
	everySo   = 63 * oneChunk // one in 64 chunks that are held back looks at the context
)

func takenBytes(v int64) int    { return int(v & (oneChunk - 1)) }
func takenChunks(v int64) int64 { return v &^ takenAway / oneChunk }

func newFlow(w http.ResponseWriter, ctx context.Context, h *head, l limits, progress *Progress) *flow {
	f := &flow{
		ctx: ctx, head: h, limits: l, progress: progress, began: time.Now(),
		w: w, control: http.NewResponseController(w),
	}
	f.held.Store(&f.none)
	progress.state.Store(stateGenerating)
	f.deadline(time.Time{}) // the server's WriteTimeout does not cut streams
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wind()
	return f
}

// yield returns what the generator is given. The memory of a chunk is the
// generator's again when that returns.
//
// A chunk that there is room for is copied behind what is held back, and then
// counted in taken. The timer marks this word when it takes what is held: so either
// the timer has seen the chunk, or the count comes back with the mark. Then
// everything before the chunk has been taken and the chunk has not, and it goes the
// slow way.
//
// It is not inlined, because then nothing would be inlined in the function that it
// returns.
//
//go:noinline
func (f *flow) yield() func(chunk []byte, failure error) bool {
	leased := f.limits.leased
	return func(chunk []byte, failure error) bool {
		h := f.held.Load()
		if len(chunk) == 0 || len(chunk) > len(h.buffer)-h.size || failure != nil || leased.Load() != 0 {
			return f.send(chunk, failure)
		}
		h.size += copy(h.buffer[h.size:], chunk)
		taken := f.taken.Add(oneChunk + int64(len(chunk)))
		switch {
		case taken < 0:
			return f.send(chunk, nil)
		case taken&everySo == 0 && f.ctx.Err() != nil:
			return f.hear()
		}
		return true
	}
}

var errIgnored = errors.New("views: the generator continued iteration after yield had returned false")

// send takes a chunk the slow way, or the failure of the generator, or refuses.
func (f *flow) send(chunk []byte, failure error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed: // by a goroutine that the generator has left behind
		return false
	case f.refused:
		panic(errIgnored)
	case failure != nil:
		return f.refuse(failure)
	}
	if a := askedBy(chunk); a != nil {
		f.ask = a.answer(f.ctx)
		return true
	}
	if err := f.mayGoOn(); err != nil {
		return f.refuse(err)
	}
	if err := f.limits.held(f.ctx); err != nil {
		return f.refuse(err)
	}
	if len(chunk) > 0 {
		f.take(chunk)
	}
	return f.err == nil || f.refuse(f.err)
}

// hear is the end of yield for a chunk that is held back while the context has
// ended.
func (f *flow) hear() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	if err := f.mayGoOn(); err != nil {
		return f.refuse(err)
	}
	f.letGo(time.Now())
	f.flush()
	return f.err == nil || f.refuse(f.err)
}

// mayGoOn returns why no more chunks are taken. A stream that is told to end, and
// not because its client has left, may say two more: the one that it was about to
// yield when it was told, and its last word.
func (f *flow) mayGoOn() error {
	if err := f.failed(); err != nil { // it may be why the context has ended
		return err
	}
	if f.ctx.Err() == nil && !f.aged {
		return nil
	}
	cause := context.Cause(f.ctx)
	if cause == nil {
		cause = ErrMaxAge
	}
	if f.words == 2 || isDeparture(cause) {
		return cause
	}
	f.words++
	return nil
}

// refuse ends the stream: yield returns false.
func (f *flow) refuse(err error) bool {
	f.refused, f.outcome = true, err
	f.letGo(time.Now())
	return false
}

// take sends the chunk now, or holds it back for the timer.
func (f *flow) take(chunk []byte) {
	now := time.Now()
	early := holdTime - now.Sub(f.flushed)
	switch {
	case f.words > 0:
		f.letGo(now)
	case f.waiting:
		f.hold(chunk, now)
		return
	case early > 0:
		f.waiting, f.flushAt = true, now.Add(early)
		f.set(f.flushAt)
		f.hold(chunk, now)
		return
	}
	f.write(chunk, 1, now)
	f.flush()
}

// hold keeps the chunk for the timer. What is too much is written without a flush.
func (f *flow) hold(chunk []byte, now time.Time) {
	if len(chunk) > largeSize {
		f.letGo(now)
		f.write(chunk, 1, now)
		return
	}
	h := f.held.Load()
	switch {
	case h == &f.none:
		f.room = max(f.room, 512, len(chunk))
		h = &held{buffer: make([]byte, f.room)}
		f.taken.Store(0)
		f.held.Store(h)
	case h.size+len(chunk) > holdSize:
		f.write(h.buffer[:h.size], takenChunks(f.taken.Load()), now)
		h.size = 0
		f.taken.Store(0)
	case h.size+len(chunk) > len(h.buffer): // in few steps, and not beyond holdSize
		f.room = min(max(h.size+len(chunk), 8*len(h.buffer)), holdSize)
		h = &held{h.size, append(make([]byte, 0, f.room), h.buffer[:h.size]...)[:f.room]}
		f.held.Store(h)
	}
	h.size += copy(h.buffer[h.size:], chunk)
	f.taken.Add(oneChunk + int64(len(chunk)))
}

// letGo writes what is held back, without a flush. The source may be silent from
// now on, and for long: the buffer goes, too.
func (f *flow) letGo(now time.Time) {
	v := f.taken.Or(takenAway)
	h := f.held.Swap(&f.none)
	if h == &f.none {
		return
	}
	size := takenBytes(v)
	f.room = min(f.room, 8*size)
	f.write(h.buffer[:size], takenChunks(v), now)
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

// end returns why yield has refused, nil when it has not.
func (f *flow) end() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ask != nil && f.ask.late != nil {
		return errors.Join(f.outcome, f.ask.late)
	}
	return f.outcome
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
	f.letGo(now)
	if f.waiting {
		f.flush()
	}
	if f.err == nil {
		// The server has the end of the body to write. It takes the deadline away
		// before the next request of this connection.
		f.deadline(now.Add(f.limits.writeTimeout))
	}
	return f.err
}
