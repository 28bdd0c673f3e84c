package views

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// Chunks is the body of a stream whose source cannot fail: strings or bytes. Each
// is a chunk. A string is copied into memory that the next one reuses.
func Chunks[T ~string | ~[]byte](seq iter.Seq[T]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var buffer []byte
		for chunk := range seq {
			buffer = append(buffer[:0], chunk...)
			if !yield(buffer, nil) {
				return
			}
		}
	}
}

// Write is the body of a stream that something writes: an encoder, a template, an
// archive. Each Write to w is a chunk. fn runs in the goroutine of the stream,
// w is its own and serves it until it returns. An error of fn is the failure of
// the stream.
//
// The context that fn gets is the one of the request that is being answered, so
// that [db.From] and [Sleep] work with it; it ends with the client, with fn, and
// with the first write that was refused. Once the stream wants no more, each
// Write returns [ErrClientGone] and fn should return it; what fn returns then is
// reported only if it is another error. A loop that ranges over the sequence
// without a [StreamingResponse] gives fn a background context that ends in the
// same way, except that it knows of no client.
//
// [db.From]: https://pkg.go.dev/github.com/goquintet/quintet/db#From
func Write(fn func(ctx context.Context, w io.Writer) error) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		ask := newAsking()
		if !yield(ask.chunk(), nil) {
			return
		}
		ctx, cancel := context.WithCancel(ask.ctx)
		defer cancel()
		w := &yieldWriter{yield: yield, cancel: cancel}
		err := fn(ctx, w)
		w.done = true
		switch {
		case err == nil:
		case !w.refused:
			yield(nil, err)
		case !errors.Is(err, ErrClientGone) && !errors.Is(err, context.Canceled):
			ask.late = err
		}
	}
}

var errWriteOver = errors.New("views: Write: the function has returned, its writer writes no more")

// yieldWriter yields what is written to it.
type yieldWriter struct {
	yield   func([]byte, error) bool
	cancel  context.CancelFunc
	refused bool
	done    bool
}

func (w *yieldWriter) Write(p []byte) (int, error) {
	switch {
	case w.refused:
		return 0, ErrClientGone
	case w.done:
		return 0, errWriteOver
	case len(p) == 0:
		return 0, nil
	case w.yield(p, nil):
		return len(p), nil
	}
	w.refused = true
	w.cancel()
	return 0, ErrClientGone
}

// Sleep waits for d or until ctx ends, and then returns the cause of that. It is
// how a generator waits: one that calls time.Sleep notices only afterwards that
// its client has left. A d of zero or less returns at once.
func Sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil || d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
