package reload

import (
	"context"
	"io/fs"
	"os"
	"sync/atomic"
	"time"
)

// pollEvery is how often polling looks, at most: it takes a tenth of the time for
// that.
const pollEvery = 500 * time.Millisecond

// polling looks at every file again and again.
type polling struct {
	layout atomic.Pointer[layout]
	out    chan string
	ctx    context.Context
	cancel context.CancelFunc
}

func newPolling(l layout) *polling {
	p := &polling{out: make(chan string)}
	p.layout.Store(&l)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	go p.run(snapshot(l))
	return p
}

func (p *polling) paths() <-chan string { return p.out }
func (p *polling) failed() <-chan error { return nil }
func (p *polling) close()               { p.cancel() }

func (p *polling) extend(l layout) error {
	p.layout.Store(&l)
	return nil
}

func (p *polling) run(seen map[string]fs.FileInfo) {
	wait := time.NewTimer(pollEvery)
	defer wait.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-wait.C:
		}
		begun := time.Now()
		now := snapshot(*p.layout.Load())
		wait.Reset(max(pollEvery, 9*time.Since(begun)))
		for path, info := range now {
			if before, known := seen[path]; !known || !same(before, info) {
				p.tell(path)
			}
		}
		for path := range seen {
			if _, still := now[path]; !still {
				p.tell(path)
			}
		}
		seen = now
	}
}

func (p *polling) tell(path string) {
	select {
	case p.out <- path:
	case <-p.ctx.Done():
	}
}

func snapshot(l layout) map[string]fs.FileInfo {
	files := make(map[string]fs.FileInfo)
	_ = l.walk(func(string) error { return nil }, func(path string, info fs.FileInfo) { files[path] = info }) // nothing in it fails
	return files
}

// same looks at what a rename-over cannot keep as well.
func same(a, b fs.FileInfo) bool {
	return a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && os.SameFile(a, b)
}
