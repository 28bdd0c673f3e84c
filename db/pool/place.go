package pool

import (
	"iter"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// near is how many frames a place keeps. The user's line is looked for among the first
// few, and then among many.
const (
	near  = 6
	quick = 12
	far   = 64
)

// Place is where in the user's code something happened. Taking one costs no
// allocation; its text is made when somebody reads it.
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

// Here returns the innermost line of the user's code, which may have called through any
// number of libraries. It is what every statement asks for: see [Callers].
//
//go:noinline
func (p *Pool) Here() (at Place) {
	var pcs [quick]uintptr
	n := Callers(pcs[:])
	var known *places
	if p != nil {
		known = &p.places
	}
	if i := known.usersAmong(pcs[:n]); i >= 0 {
		at.n = copy(at.pcs[:], pcs[i:n])
		return at
	}
	return known.farther()
}

// Here is that of its pool.
func (l *Lease) Here() Place { return l.conn.pool.Here() }

// places knows of program counters that were seen before whether they are the user's. The
// zero value knows none, and nil never will; it may be used concurrently. Counters that
// fall on one row are known beside each other: were there room for one, two lines on the
// way of a statement could push each other out each time.
type places struct {
	known [64]row
}

// row is a line of the processor's cache: counters, twice each, and 1 for the user's.
type row [8]atomic.Uint64

// usersAmong returns the index of the first that is the user's, or -1.
func (ps *places) usersAmong(pcs []uintptr) int {
	for i, pc := range pcs {
		if ps.isUsers(pc) {
			return i
		}
	}
	return -1
}

func (ps *places) isUsers(pc uintptr) bool {
	if ps == nil {
		return isUsers(pc)
	}
	const golden = 0x9e3779b97f4a7c15 // spreads neighbours (Knuth, multiplicative hashing)
	hash := uint64(pc) * golden
	known := &ps.known[hash>>58]
	at := int(hash >> 55 & 7) // whose room it is in a row that is full
	for i := range known {
		seen := known[i].Load()
		if seen>>1 == uint64(pc) {
			return seen&1 == 1
		}
		if seen == 0 {
			at = i
			break
		}
	}
	if isUsers(pc) {
		known[at].Store(uint64(pc)<<1 | 1)
		return true
	}
	known[at].Store(uint64(pc) << 1)
	return false
}

func isUsers(pc uintptr) bool {
	for f := range framesOf([]uintptr{pc}) {
		if !ours(f.Function) {
			return true
		}
	}
	return false
}

// farther finds the user's line among more frames. Its own are not on the stack of
// those who do not need it.
//
//go:noinline
func (ps *places) farther() (at Place) {
	var pcs [far]uintptr
	n := runtime.Callers(3, pcs[:])
	i := max(0, ps.usersAmong(pcs[:n]))
	at.n = copy(at.pcs[:], pcs[i:n])
	return at
}

// framesOf are the calls, those of inlined functions included.
func framesOf(pcs []uintptr) iter.Seq[runtime.Frame] {
	return func(yield func(runtime.Frame) bool) {
		// Of the last address the runtime names the innermost function only.
		frames := runtime.CallersFrames(append(slices.Clone(pcs), 0))
		for {
			f, more := frames.Next()
			if f.PC != 0 && !yield(f) || !more {
				return
			}
		}
	}
}

// IsZero reports whether no place was taken.
func (p *Place) IsZero() bool { return p.n == 0 }

// String returns "folder/file.go:line" of the innermost frame that belongs
// neither to the framework nor to what it stands on, or "an unknown place".
func (p *Place) String() string {
	if p.n == 0 {
		return "an unknown place"
	}
	var first runtime.Frame
	for f := range framesOf(p.pcs[:p.n]) {
		if !ours(f.Function) {
			return site(f)
		}
		if first.PC == 0 {
			first = f
		}
	}
	return site(first)
}

// Frames are the calls that led to the place, the innermost first, of at most six
// functions and what was inlined into them.
func (p *Place) Frames() []runtime.Frame { return slices.Collect(framesOf(p.pcs[:p.n])) }

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
