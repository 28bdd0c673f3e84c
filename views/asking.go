package views

import (
	"context"
	"encoding/binary"
	"unsafe"
)

// asking is how the body of [Write] gets the context of the stream that runs it.
// The two know nothing of each other but the sequence between them, and a
// sequence carries chunks: so the first chunk is an empty one, which means
// nothing to anybody else, in memory that is the beginning of an asking. A
// [StreamingResponse] recognises it and fills in the context. Whoever else it
// meets skips an empty chunk, and the context stays the background.
type asking struct {
	mark [askingSize]byte // first: the chunk is mark[:0]
	ctx  context.Context
	late error // what fn returned after it was told that the stream had ended
}

const (
	askingMark = "views.Write asks"
	askingSize = len(askingMark) + 8
)

// newAsking signs the mark with its own address, so that no copy passes for it.
func newAsking() *asking {
	a := &asking{ctx: context.Background()}
	binary.NativeEndian.PutUint64(a.mark[copy(a.mark[:], askingMark):], address(a.mark[:]))
	return a
}

func (a *asking) chunk() []byte { return a.mark[:0] }

// askedBy returns the asking whose chunk this is, or nil.
func askedBy(chunk []byte) *asking {
	if len(chunk) != 0 || cap(chunk) != askingSize {
		return nil
	}
	mark := chunk[:askingSize]
	if string(mark[:len(askingMark)]) != askingMark || binary.NativeEndian.Uint64(mark[len(askingMark):]) != address(mark) {
		return nil
	}
	return (*asking)(unsafe.Pointer(unsafe.SliceData(chunk)))
}

// answer gives the body its context.
func (a *asking) answer(ctx context.Context) *asking {
	a.ctx = ctx
	return a
}

func address(b []byte) uint64 {
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
}
