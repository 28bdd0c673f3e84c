package live

import (
	"context"
	"sync"
	"time"

	"github.com/goquintet/quintet/db"
)

// How many records there are, at most.
const (
	MostFinished = 256
	MostRunning  = 512
)

// Recorder keeps what requests and tasks did with their connections: of those that run,
// and of the last that have ended. It hears of the ones that begin while it observes
// [db.Connections], and takes bounded memory. Its methods may be called concurrently.
type Recorder struct {
	connections *db.Connections
	began       time.Time // the zero of its clock

	opening sync.Mutex // guards the next two
	open    int
	stop    func()

	mu        sync.Mutex // guards the rest; never held while a record's is taken
	since     time.Time  // when it began to observe, the last time
	lastID    int64
	first     *Record // the running, the newest first
	running   int
	unkept    int64     // that began while MostRunning ran
	finished  []*Record // a ring
	next      int       // the oldest in it, once it is full
	total     int64     // finished
	demanding map[string]*demand
}

// NewRecorder makes a recorder that hears of nothing until it is opened.
func NewRecorder(connections *db.Connections) *Recorder {
	return &Recorder{connections: connections, began: time.Now(), demanding: make(map[string]*demand)}
}

// Open lets it record until every Open was closed; close may be called once.
func (rec *Recorder) Open() (closed func()) {
	rec.opening.Lock()
	defer rec.opening.Unlock()
	if rec.open++; rec.open == 1 {
		rec.mu.Lock()
		rec.since = time.Now()
		clear(rec.demanding)
		rec.mu.Unlock()
		rec.stop = rec.connections.Observe(rec)
	}
	return sync.OnceFunc(func() {
		rec.opening.Lock()
		defer rec.opening.Unlock()
		if rec.open--; rec.open == 0 {
			rec.stop()
		}
	})
}

// Asked is the key under which the context of a request has a *[Place].
type Asked struct{}

// Place is where a request finds its record, nil while nothing records.
type Place struct {
	Record *Record
	Begins bool // the scope that begins is the request's
	Own    bool // the request is of the page that shows the records, and not recorded
}

// ScopeBegins implements [db.Observer].
func (rec *Recorder) ScopeBegins(ctx context.Context, sc *db.Scope) db.Trace {
	place, _ := ctx.Value(Asked{}).(*Place)
	if place != nil && place.Own {
		return nil
	}
	r := &Record{recorder: rec, begun: time.Now(), name: sc.Name()}
	switch {
	case place == nil || place.Begins:
	case place.Record != nil && place.Record.recorder == rec:
		r.parent = place.Record.id
	}
	if !rec.begin(r) {
		return nil
	}
	if place != nil && place.Begins {
		place.Record = r
	}
	return r
}

func (rec *Recorder) begin(r *Record) bool {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.running == MostRunning {
		rec.unkept++
		return false
	}
	rec.running++
	rec.lastID++
	r.id = rec.lastID
	r.after = rec.first
	if rec.first != nil {
		rec.first.before = r
	}
	rec.first = r
	return true
}

// finish moves a record, whose lock is taken, from the running to the finished.
func (rec *Recorder) finish(r *Record, now time.Time) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if r.before != nil {
		r.before.after = r.after
	} else {
		rec.first = r.after
	}
	if r.after != nil {
		r.after.before = r.before
	}
	r.before, r.after = nil, nil
	rec.running--
	if !r.request && r.sent == 0 && len(r.holds) == 0 {
		return // a task that has not asked for a connection: there is nothing to see
	}
	rec.total++
	if len(rec.finished) < MostFinished {
		rec.finished = append(rec.finished, r)
	} else {
		rec.finished[rec.next] = r
		rec.next = (rec.next + 1) % MostFinished
	}
	for i := range r.holds {
		rec.countHold(r, &r.holds[i], now)
	}
	for _, u := range r.uses {
		rec.demand(u.alias).uses(r.time(u.since), now)
	}
}

// forget counts a hold that its record does not keep.
func (rec *Recorder) forget(r *Record, h hold) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.countHold(r, &h, time.Now())
}

func (rec *Recorder) countHold(r *Record, h *hold, now time.Time) {
	if h.got == 0 {
		return
	}
	back := now
	if h.back != 0 {
		back = r.time(h.back)
	}
	rec.demand(h.alias).holds(r.time(h.got), back)
}

// recordsNow are the running and the finished, each the newest first, and how many have
// finished so far.
func (rec *Recorder) recordsNow() (running, finished []*Record, total int64) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	running = make([]*Record, 0, rec.running)
	for r := rec.first; r != nil; r = r.after {
		running = append(running, r)
	}
	n := len(rec.finished)
	finished = make([]*Record, 0, n)
	for i := range n {
		finished = append(finished, rec.finished[(rec.next+n-1-i)%n])
	}
	return running, finished, rec.total
}

// find returns a record that is still kept.
func (rec *Recorder) find(id int64) *Record {
	running, finished, _ := rec.recordsNow()
	for _, list := range [][]*Record{running, finished} {
		for _, r := range list {
			if r.id == id {
				return r
			}
		}
	}
	return nil
}

// Kept is how much a recorder keeps.
type Kept struct {
	Running, Finished        int   // records
	Holds, Statements, Ticks int   // in all of them
	Bytes                    int   // of the statements' texts
	Total                    int64 // records that have finished, kept or not
	Unkept                   int64 // that were not recorded, because too many ran
}

// Kept counts what is kept now.
func (rec *Recorder) Kept() (k Kept) {
	running, finished, total := rec.recordsNow()
	rec.mu.Lock()
	k.Unkept = rec.unkept
	rec.mu.Unlock()
	k.Running, k.Finished, k.Total = len(running), len(finished), total
	for _, list := range [][]*Record{running, finished} {
		for _, r := range list {
			r.mu.Lock()
			k.Holds += len(r.holds)
			k.Statements += len(r.statements)
			k.Ticks += len(r.ticks)
			for i := range r.statements {
				k.Bytes += len(r.statements[i].text)
			}
			r.mu.Unlock()
		}
	}
	return k
}

// Recorded is for how long it has been recording; 0 while it does not.
func (rec *Recorder) Recorded() time.Duration {
	rec.opening.Lock()
	defer rec.opening.Unlock()
	if rec.open == 0 {
		return 0
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return time.Since(rec.since)
}
