package within

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
)

// tests are the goroutines that make a site for a test. A site's own New takes no
// arguments, so that what the test wants of it goes around it. Nothing is
// shared: each goroutine finds what it has left, and another site that is made at
// the same time finds nothing.
var tests struct {
	running atomic.Int64
	wishes  sync.Map // by goroutine
}

// ForTest runs fn with wish as what [Test] returns in this goroutine.
func ForTest(wish any, fn func()) {
	id := goroutine()
	tests.wishes.Store(id, wish)
	tests.running.Add(1)
	defer func() {
		tests.running.Add(-1)
		tests.wishes.Delete(id)
	}()
	fn()
}

// Test returns the wish of the [ForTest] that this goroutine is in, or nil. Where
// no test is, it costs the look at a number.
func Test() any {
	if tests.running.Load() == 0 {
		return nil
	}
	wish, _ := tests.wishes.Load(goroutine())
	return wish
}

// goroutine is the number that the runtime prints.
func goroutine() string {
	var buf [64]byte
	text := string(buf[:runtime.Stack(buf[:], false)])
	id, _, _ := strings.Cut(strings.TrimPrefix(text, "goroutine "), " ")
	return id
}
