package dbtest

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// flow is one connection through a [Proxy].
type flow struct {
	client, server *net.TCPConn // server is nil before a deaf proxy
	up, down       way          // to the server, to the client
	over           chan struct{}
	once           sync.Once
}

// way is one direction of a flow.
type way struct {
	mu     sync.Mutex
	thawed chan struct{} // nil unless frozen
	left   int           // bytes until it is cut; 0 is no limit
}

// chunk is what was read at once.
type chunk struct {
	bytes []byte
	err   error // after the bytes
	due   time.Time
}

// pieces is how often a second a throttled flow moves.
const pieces = 20

func newFlow(client, server net.Conn) *flow {
	f := &flow{client: client.(*net.TCPConn), over: make(chan struct{})}
	if server != nil {
		f.server = server.(*net.TCPConn)
	}
	return f
}

// run hands on bytes until both sides have ended.
func (f *flow) run(now func() weather) {
	defer f.end()
	if f.server == nil {
		_, _ = io.Copy(io.Discard, f.client) // until it hangs up
		return
	}
	var both sync.WaitGroup
	both.Go(func() { f.carry(f.server, f.client, &f.up, now) })
	both.Go(func() { f.carry(f.client, f.server, &f.down, now) })
	both.Wait()
}

// carry hands bytes on until one side ends, and then ends the other side likewise.
func (f *flow) carry(to, from *net.TCPConn, w *way, now func() weather) {
	chunks := make(chan chunk, 8) // what is under way when bytes take long
	var reader sync.WaitGroup
	defer reader.Wait()
	reader.Go(func() {
		for {
			buf := make([]byte, 16<<10)
			n, err := from.Read(buf)
			select {
			case chunks <- chunk{buf[:n], err, time.Now().Add(now().delay)}:
			case <-f.over:
				return
			}
			if err != nil {
				return
			}
		}
	})
	for {
		var c chunk
		select {
		case c = <-chunks:
		case <-f.over:
			return
		}
		if !f.until(c.due) || !f.passes(w) {
			return
		}
		if !f.write(to, c.bytes, w, now) {
			_ = from.Close() // its other end sees that nobody listens
			return
		}
		switch {
		case c.err == nil:
			continue
		case errors.Is(c.err, io.EOF):
			_ = to.CloseWrite() // says the same to the other side
		default:
			_ = to.Close()
		}
		return
	}
}

// write hands on the bytes in pieces, and reports whether it could.
func (f *flow) write(to *net.TCPConn, bytes []byte, w *way, now func() weather) bool {
	for len(bytes) > 0 {
		n := len(bytes)
		rate := now().rate
		if rate > 0 {
			n = min(n, max(1, rate/pieces))
		}
		if rate > 0 && !f.until(time.Now().Add(time.Second*time.Duration(n)/time.Duration(rate))) {
			return false
		}
		n, cut := w.take(n)
		if _, err := to.Write(bytes[:n]); err != nil {
			return false
		}
		bytes = bytes[n:]
		if cut {
			f.reset()
			return false
		}
	}
	return true
}

// until waits for a moment, and reports whether the flow has lasted so long.
func (f *flow) until(due time.Time) bool {
	wait := time.Until(due)
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-f.over:
		return false
	}
}

// passes waits while the way is frozen, and reports whether the flow has lasted so long.
func (f *flow) passes(w *way) bool {
	w.mu.Lock()
	thawed := w.thawed
	w.mu.Unlock()
	if thawed == nil {
		return true
	}
	select {
	case <-thawed:
		return true
	case <-f.over:
		return false
	}
}

// reset ends the flow with RST.
func (f *flow) reset() {
	for _, c := range []*net.TCPConn{f.client, f.server} {
		if c != nil {
			_ = c.SetLinger(0) // fails when it has ended already
		}
	}
	f.end()
}

// end hangs up on both sides. It may be called again.
func (f *flow) end() {
	f.once.Do(func() { close(f.over) })
	_ = f.client.Close() // the end is what was wanted
	if f.server != nil {
		_ = f.server.Close()
	}
}

func (w *way) freeze() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.thawed == nil {
		w.thawed = make(chan struct{})
	}
}

func (w *way) thaw() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.thawed != nil {
		close(w.thawed)
		w.thawed = nil
	}
}

// limit makes the way end after so many bytes more; 0 is never.
func (w *way) limit(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = bytes
}

// take returns how many of n bytes pass, and whether the way ends with them.
func (w *way) take(n int) (pass int, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left == 0 {
		return n, false
	}
	pass = min(n, w.left)
	w.left -= pass
	return pass, w.left == 0
}
