package live

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
)

// What is kept of one request or task, at most. Of what there is more of, the number
// is kept.
const (
	MostHolds      = 64
	MostStatements = 256
	MostTicks      = 128

	mostRaw   = 1 << 10  // bytes of a statement that is kept as it was sent until somebody looks
	mostText  = 2 << 10  // bytes of one without its values
	mostBytes = 32 << 10 // bytes of all statements of a record, about
)

// Record is what is known of one request or task: when it waited for a connection, held
// one, sent statements and streamed. It is written while it runs and read meanwhile.
type Record struct {
	recorder *Recorder
	id       int64
	parent   int64 // the request in which it runs; 0 is none
	begun    time.Time

	before, after *Record // among the running; guarded by recorder.mu

	mu       sync.Mutex // guards the rest
	revision int64      // moves with each change
	request  bool
	name     string // the route or the task
	method   string
	tag      string // X-Request-ID
	finished moment
	status   int
	bytes    int64
	err      string

	first  moment // byte to the client
	stream moment // the generator starts
	kept   bool   // KeepConnection
	chunks int64
	every  int64 // of so many chunks one is a tick
	ticks  []moment

	holds      []hold
	moreHolds  int64
	statements []statement
	more       int64 // statements that were not kept
	sent       int64
	textBytes  int

	uses []use
}

// first is what a record needs that has one hold, in one piece. Many need none.
type first struct {
	uses       [1]use
	holds      [1]hold
	statements [2]statement
}

// moment is a time after the beginning of a record; 0 is never.
type moment int64

func (r *Record) moment(t time.Time) moment { return moment(max(1, t.Sub(r.begun))) }

// now is half the price of time.Now.
func (r *Record) now() moment { return moment(max(1, time.Since(r.begun))) }

// time is the moment on the recorder's clock.
func (r *Record) time(m moment) time.Time { return r.begun.Add(time.Duration(m)) }

// hold is a wish for a connection, and what came of it.
type hold struct {
	alias      string
	lease      int64 // 0 until there is one
	connection int64
	asked      moment
	got        moment
	back       moment
	idle       time.Duration
	reason     string // why it went back
	err        string // why there was no lease
	at         pool.Place
	backAt     *pool.Place
	kept       bool // the connection lives on
	running    int  // the statement under way, as an index + 1
}

// use is when a record got its first connection of an alias.
type use struct {
	alias string
	since moment
}

type statement struct {
	hold     int
	control  bool
	goesOn   bool // where another one has stopped
	clean    bool // text has no values
	text     string
	sent     moment
	answered moment
	ended    moment
	rows     int64
	err      string
	at       pool.Place
}

var _ db.Trace = (*Record)(nil)

// Asks implements [db.Trace].
func (r *Record) Asks(e pool.Asked) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision++
	if r.holds == nil {
		space := new(first)
		r.uses, r.holds, r.statements = space.uses[:0], space.holds[:0], space.statements[:0]
	}
	if len(r.holds) == MostHolds {
		// The oldest make room: those who lease for each statement have many.
		r.forgetHold()
	}
	r.holds = append(r.holds, hold{alias: e.Alias, asked: r.moment(e.Time), at: e.At})
}

// forgetHold forgets the oldest hold that is over, and lets its statements go.
func (r *Record) forgetHold() {
	r.moreHolds++
	oldest := 0
	for i := range r.holds {
		if r.holds[i].back != 0 || r.holds[i].err != "" {
			oldest = i
			break
		}
	}
	r.recorder.forget(r, r.holds[oldest])
	r.holds = append(r.holds[:oldest], r.holds[oldest+1:]...)
	kept := r.statements[:0]
	for _, s := range r.statements {
		switch {
		case s.hold == oldest:
			r.more++
			r.textBytes -= len(s.text)
			continue
		case s.hold > oldest:
			s.hold--
		}
		kept = append(kept, s)
		if s.ended == 0 {
			r.holds[s.hold].running = len(kept)
		}
	}
	clear(r.statements[len(kept):])
	r.statements = kept
}

// Acquires implements [db.Trace].
func (r *Record) Acquires(e pool.Acquired) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision++
	for i := len(r.holds) - 1; i >= 0; i-- {
		if h := &r.holds[i]; h.alias == e.Alias && h.got == 0 && h.err == "" {
			h.lease, h.connection, h.err = e.Lease, e.Connection, kind(e.Err)
			if h.err == "" {
				h.got = r.moment(e.Time)
				r.uses = used(r.uses, e.Alias, h.got)
			} else {
				h.back = r.moment(e.Time)
			}
			return
		}
	}
}

func used(uses []use, alias string, since moment) []use {
	for _, u := range uses {
		if u.alias == alias {
			return uses
		}
	}
	return append(uses, use{alias, since})
}

// held returns the hold of a lease, and its index.
func (r *Record) held(alias string, lease int64) (*hold, int) {
	for i := len(r.holds) - 1; i >= 0; i-- {
		if h := &r.holds[i]; h.lease == lease && h.alias == alias {
			return h, i
		}
	}
	return nil, -1
}

// Sends implements [db.Trace].
func (r *Record) Sends(e pool.Sent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision++
	r.sent++
	h, i := r.held(e.Alias, e.Lease)
	if h == nil {
		return
	}
	if len(r.statements) == MostStatements {
		r.more++
		return
	}
	s := statement{hold: i, control: e.Control, goesOn: e.GoesOn, text: e.Query, sent: r.moment(e.Time), at: e.At}
	r.keepText(&s)
	r.statements = append(r.statements, s)
	h.running = len(r.statements)
}

// keepText bounds what the text of a statement takes. Most are never looked at, so that
// the values are taken out when somebody does; a long one is dealt with at once.
func (r *Record) keepText(s *statement) {
	if len(s.text) > mostRaw || r.textBytes+len(s.text) > mostBytes {
		s.text, s.clean = pool.Normalize(s.text, mostText), true
		if n := len(r.statements); n > 0 && r.statements[n-1].text == s.text {
			s.text = r.statements[n-1].text // once is enough
			return
		}
		if r.textBytes+len(s.text) > mostBytes {
			s.text = pool.Shorten(s.text)
		}
	}
	r.textBytes += len(s.text)
}

// Answers implements [db.Trace].
func (r *Record) Answers(e pool.Answered) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision++
	if h, _ := r.held(e.Alias, e.Lease); h != nil && h.running > 0 {
		r.statements[h.running-1].answered = r.moment(e.Time)
	}
}

// Ends implements [db.Trace].
func (r *Record) Ends(e pool.Ended) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision++
	h, _ := r.held(e.Alias, e.Lease)
	if h == nil || h.running == 0 {
		return
	}
	s := &r.statements[h.running-1]
	h.running = 0
	s.ended, s.rows, s.err = r.moment(e.Time), e.Rows, kind(e.Err)
	if s.answered = s.ended; !e.Answered.IsZero() {
		s.answered = r.moment(e.Answered)
	}
}

// Returns implements [db.Trace].
func (r *Record) Returns(e pool.Returned) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision++
	h, _ := r.held(e.Alias, e.Lease)
	if h == nil {
		return
	}
	h.back, h.idle, h.reason, h.kept = r.moment(e.Time), e.Idle, e.Reason, e.Kept
	if !e.At.IsZero() {
		at := e.At
		h.backAt = &at
	}
}

// Named implements [db.Trace].
func (r *Record) Named(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision++
	r.name = name
}

// ScopeEnds implements [db.Trace]. A request ends with [Record.Finish].
func (r *Record) ScopeEnds() {
	r.mu.Lock()
	isRequest := r.request
	r.mu.Unlock()
	if !isRequest {
		r.Finish(Outcome{})
	}
}

// Request says that the record is of a request, whose route is named when it is found:
// a path may have a secret in it, and is not kept.
func (r *Record) Request(method, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision++
	r.request, r.name, r.method, r.tag = true, "", method, id
}

// Stream says that the request is a stream, and whether it keeps its connections.
func (r *Record) Stream(keeps bool) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision++
	r.kept = r.kept || keeps
	if r.stream == 0 {
		r.stream = now
	}
}

// Responds says that the response begins, with a status.
func (r *Record) Responds(status int) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision++
	r.status = status
	if r.first == 0 {
		r.first = now
	}
}

// Wrote says that so many bytes went to the client. Those of a stream are its chunks.
func (r *Record) Wrote(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision++
	r.bytes += n
	if r.stream == 0 || n == 0 {
		return
	}
	r.every = max(1, r.every)
	if r.chunks++; (r.chunks-1)%r.every != 0 {
		return
	}
	if len(r.ticks) == MostTicks { // every second one stays
		for i := range MostTicks / 2 {
			r.ticks[i] = r.ticks[2*i]
		}
		r.ticks = r.ticks[:MostTicks/2]
		if r.every *= 2; (r.chunks-1)%r.every != 0 {
			return
		}
	}
	r.ticks = append(r.ticks, r.now())
}

// Outcome is how a request has ended.
type Outcome struct {
	Status int
	Bytes  int64
	Err    error
}

// Finish ends the record. Later calls change nothing.
func (r *Record) Finish(o Outcome) {
	now := r.now()
	r.mu.Lock()
	if r.finished != 0 {
		r.mu.Unlock()
		return
	}
	r.revision++
	r.finished, r.status, r.err = now, o.Status, kind(o.Err)
	r.bytes = max(r.bytes, o.Bytes)
	r.recorder.finish(r, r.time(now))
	r.mu.Unlock()
}

// kind is what may be shown of an error: the text of a driver's has values in it, and
// that of a view's may have anything.
func kind(err error) string {
	if err == nil {
		return ""
	}
	for _, known := range []error{
		db.ErrUnique, db.ErrForeignKey, db.ErrNotNull, db.ErrCheck, db.ErrIntegrity, db.ErrSerialization,
		db.ErrUnavailable, db.ErrTransactionAborted, db.ErrOutsideBlock, db.ErrHeldAcrossYield, db.ErrReleased, db.ErrScopeEnded,
		db.ErrSelfDeadlock, db.ErrBusy, db.ErrConnectionLost, context.Canceled, context.DeadlineExceeded, db.ErrDatabase,
	} {
		if errors.Is(err, known) {
			text, _, _ := strings.Cut(strings.TrimPrefix(known.Error(), "db: "), ";")
			return text
		}
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}
