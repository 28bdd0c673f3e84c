package pool

import (
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
)

// near and far are how many frames are looked at: most often the user's line is among
// the first, and each frame has its price.
const (
	near = 6
	far  = 64
)

// Place is where in the user's code something happened. Taking one costs a few
// hundred nanoseconds and no allocation; its text is made when somebody reads it.
type Place struct {
	pcs [near]uintptr
	n   int
}

// Here returns the place of the caller, skipping that many further frames. It is for
// what the user's code calls, or what that calls: see [Pool.Here].
func Here(skip int) (at Place) {
	at.n = runtime.Callers(skip+2, at.pcs[:])
	return at
}

// Here is [Here] for what the user's code may call through any number of libraries.
func (p *Pool) Here(skip int) (at Place) {
	at.n = runtime.Callers(skip+2, at.pcs[:])
	if at.n < near || p == nil || p.places.haveUser(at.pcs[:]) {
		return at
	}
	return p.places.fartherThan(skip + 1)
}

// Here is that of its pool.
func (l *Lease) Here(skip int) Place { return l.conn.pool.Here(skip + 1) }

// places knows of program counters that were seen before whether they are the user's. The
// zero value knows none; it may be used concurrently.
type places struct {
	known [512]atomic.Uint64 // each twice the counter, and 1 for the user's
}

func (ps *places) haveUser(pcs []uintptr) bool {
	for _, pc := range pcs {
		if ps.isUsers(pc) {
			return true
		}
	}
	return false
}

func (ps *places) isUsers(pc uintptr) bool {
	known := &ps.known[(pc^pc>>9)%uintptr(len(ps.known))]
	if seen := known.Load(); seen>>1 == uint64(pc) {
		return seen&1 == 1
	}
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	if ours(frame.Function) {
		known.Store(uint64(pc) << 1)
		return false
	}
	known.Store(uint64(pc)<<1 | 1)
	return true
}

// fartherThan finds the user's line among more frames. Its own are not on the stack of
// those who do not need it.
//
//go:noinline
func (ps *places) fartherThan(skip int) (at Place) {
	var pcs [far]uintptr
	n := runtime.Callers(skip+2, pcs[:])
	for i, pc := range pcs[:n] {
		if ps.isUsers(pc) {
			at.n = copy(at.pcs[:], pcs[i:n])
			return at
		}
	}
	at.n = copy(at.pcs[:], pcs[:n])
	return at
}

// IsZero reports whether no place was taken.
func (p *Place) IsZero() bool { return p.n == 0 }

// String returns "folder/file.go:line" of the innermost frame that belongs
// neither to the framework nor to what it stands on, or "an unknown place".
func (p *Place) String() string {
	if p.n == 0 {
		return "an unknown place"
	}
	frames := runtime.CallersFrames(p.pcs[:p.n])
	var first runtime.Frame
	for {
		f, more := frames.Next()
		if first.PC == 0 {
			first = f
		}
		if !ours(f.Function) {
			return site(f)
		}
		if !more {
			return site(first)
		}
	}
}

// Frames are the calls that led to the place, the innermost first and at most six.
func (p *Place) Frames() []runtime.Frame {
	if p.n == 0 {
		return nil
	}
	all := make([]runtime.Frame, 0, p.n)
	for frames := runtime.CallersFrames(p.pcs[:p.n]); ; {
		f, more := frames.Next()
		all = append(all, f)
		if !more {
			return all
		}
	}
}

func site(f runtime.Frame) string {
	dir, file := path.Split(f.File)
	return path.Join(path.Base(dir), file) + ":" + strconv.Itoa(f.Line)
}

const module = "github.com/goquintet/quintet/"

// beneath are the packages between a user's line and the driver. A package's
// external tests ("db_test.") and the demo are users.
var beneath = [...]string{
	"db.", "db/pool.", "db/migrate.", "db/postgres.", "db/sqlite.",
	"views.", "app.", "app/echov4.", "app/apptest.", "signals.",
}

func ours(function string) bool {
	if rest, ok := strings.CutPrefix(function, module); ok {
		for _, p := range beneath {
			if strings.HasPrefix(rest, p) {
				return true
			}
		}
		return false
	}
	for _, p := range [...]string{"github.com/uptrace/bun.", "github.com/pressly/goose/", "database/sql.", "runtime.", "iter.", "sync."} {
		if strings.HasPrefix(function, p) {
			return true
		}
	}
	return false
}

// goroutineID parses the number that the runtime prints. It is slow and used
// only when debugging, to tell a caller that waits for itself.
func goroutineID() uint64 {
	var buf [64]byte
	text := buf[:runtime.Stack(buf[:], false)]
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	id, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return id
}
