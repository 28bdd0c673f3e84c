package views

import (
	"sync/atomic"
	"time"
)

// Progress is how far a stream has come. A [Cycle] makes one for each stream, the
// stream writes it, and whoever watches reads it: its methods may be called at
// any time from any goroutine. The zero value is a stream that has not begun.
type Progress struct {
	bytes, chunks, written atomic.Int64
	state                  atomic.Int32
}

// StreamState is what a stream is doing.
type StreamState string

// The states of a stream, in the order in which it goes through them; the middle
// two take turns.
const (
	// StreamStarting is before its generator runs: what the view left of the
	// request's body is being dropped.
	StreamStarting StreamState = "starting"
	// StreamGenerating waits for the generator, which works or waits for something
	// itself.
	StreamGenerating StreamState = "generating"
	// StreamWriting waits for the client: a write is under way.
	StreamWriting StreamState = "writing"
	// StreamEnded is over: nothing is written any more.
	StreamEnded StreamState = "ended"
)

const (
	stateStarting int32 = iota
	stateGenerating
	stateWriting
	stateEnded
)

// State returns what the stream is doing now.
func (p *Progress) State() StreamState {
	return [...]StreamState{StreamStarting, StreamGenerating, StreamWriting, StreamEnded}[p.state.Load()]
}

// Bytes returns how many bytes of the body the stream has written so far, before
// a compression that may come after it. What is held back is not among them.
func (p *Progress) Bytes() int64 { return p.bytes.Load() }

// Chunks returns how many chunks of the generator are in what was written so far.
// Empty ones do not count.
func (p *Progress) Chunks() int64 { return p.chunks.Load() }

// Written returns when a write was last taken from the stream, the zero time
// before the first.
func (p *Progress) Written() time.Time {
	at := p.written.Load()
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at)
}

// wrote counts a write that was taken.
func (p *Progress) wrote(bytes int, chunks int64) {
	p.bytes.Add(int64(bytes))
	p.chunks.Add(chunks)
	p.written.Store(time.Now().UnixNano())
}
