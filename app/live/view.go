package live

import (
	"cmp"
	"math"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// What the page is sent of one record, at most.
const mostSpans = 48 // statements of one hold

// millis is a time on the recorder's clock, in milliseconds; what never was is null.
type millis float64

func (rec *Recorder) millis(t time.Time) millis {
	return millis(math.Round(float64(t.Sub(rec.began).Microseconds())) / 1000)
}

func (r *Record) millis(m moment) *millis {
	if m == 0 {
		return nil
	}
	v := r.recorder.millis(r.time(m))
	return &v
}

func inMillis(d time.Duration) millis { return millis(float64(d.Microseconds()) / 1000) }

// summary is a record as its bar is drawn.
type summary struct {
	ID       int64      `json:"id"`
	Parent   int64      `json:"parent,omitempty"`
	Request  bool       `json:"request"`
	Name     string     `json:"name"`
	Begun    millis     `json:"begun"`
	Ended    *millis    `json:"ended"`
	Status   int        `json:"status"`
	Bytes    int64      `json:"bytes"`
	Error    string     `json:"error,omitempty"`
	First    *millis    `json:"first"`
	Stream   *millis    `json:"stream"`
	Keeps    bool       `json:"keeps"`
	Chunks   int64      `json:"chunks"`
	Ticks    []millis   `json:"ticks"`
	Holds    []holdView `json:"holds"`
	More     int64      `json:"more_holds"`
	Queries  int64      `json:"queries"`
	Repeated int        `json:"repeated"` // the most that one line has sent of a statement, if that is worth a word
}

// holdView is one hold: null is not yet.
type holdView struct {
	Alias      string       `json:"alias"`
	Connection int64        `json:"connection"`
	Asked      *millis      `json:"asked"`
	Got        *millis      `json:"got"`
	Back       *millis      `json:"back"`
	Reason     string       `json:"reason,omitempty"`
	Error      string       `json:"error,omitempty"`
	Statements [][3]*millis `json:"statements"` // sent, answered, ended
	Blocks     [][2]*millis `json:"blocks"`     // begun, ended
}

// label is what a record is called.
func (r *Record) label() string {
	if r.request && r.name == "" {
		return cmp.Or(r.method, "?") + " (no route yet)"
	}
	return r.name
}

// summarize returns the bar, and the revision that it shows.
func (r *Record) summarize() (summary, int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := summary{
		ID: r.id, Parent: r.parent, Request: r.request, Name: r.label(), Begun: r.recorder.millis(r.begun), Ended: r.millis(r.finished),
		Status: r.status, Bytes: r.bytes, Error: r.err, First: r.millis(r.first), Stream: r.millis(r.stream),
		Keeps: r.kept, Chunks: r.chunks, Ticks: []millis{}, Holds: []holdView{}, More: r.moreHolds, Queries: r.sent,
	}
	if r.request && r.name == "" && r.finished != 0 {
		s.Name = cmp.Or(r.method, "?") + " (no route)"
	}
	for _, tick := range r.ticks {
		s.Ticks = append(s.Ticks, *r.millis(tick))
	}
	for i := range r.holds {
		s.Holds = append(s.Holds, r.viewHold(i))
	}
	s.Repeated = r.repeated()
	return s, r.revision
}

func (r *Record) viewHold(i int) holdView {
	h := &r.holds[i]
	v := holdView{
		Alias: h.alias, Connection: h.connection, Asked: r.millis(h.asked), Got: r.millis(h.got), Back: r.millis(h.back),
		Reason: h.reason, Error: h.err, Statements: [][3]*millis{}, Blocks: [][2]*millis{},
	}
	var depth []int
	for j := range r.statements {
		s := &r.statements[j]
		if s.hold != i {
			continue
		}
		v.Statements = append(v.Statements, [3]*millis{r.millis(s.sent), r.millis(s.answered), r.millis(s.ended)})
		if s.control && s.err == "" && s.ended != 0 {
			switch opens, closes := s.controls(); {
			case opens:
				depth = append(depth, len(v.Blocks))
				v.Blocks = append(v.Blocks, [2]*millis{r.millis(s.sent), nil})
			case closes && len(depth) > 0:
				v.Blocks[depth[len(depth)-1]][1] = r.millis(s.ended)
				depth = depth[:len(depth)-1]
			}
		}
	}
	for _, open := range depth {
		v.Blocks[open][1] = r.millis(h.back)
	}
	v.Statements, v.Blocks = thinned(v.Statements), v.Blocks[:min(len(v.Blocks), mostSpans)]
	return v
}

// controls reports whether the statement opens a block, or ends one.
func (s *statement) controls() (opens, closes bool) {
	switch text, _ := pool.TextOf(s.text); text {
	case pool.Begins, pool.Saves:
		return true, false
	case pool.Ends, pool.Releases, pool.RollsBack:
		return false, true
	}
	return false, false
}

// thinned makes one span of several neighbours where there are too many to be seen.
func thinned(spans [][3]*millis) [][3]*millis {
	if len(spans) <= mostSpans {
		return spans
	}
	step := (len(spans) + mostSpans - 1) / mostSpans
	var few [][3]*millis
	for i := 0; i < len(spans); i += step {
		last := spans[min(i+step, len(spans))-1]
		few = append(few, [3]*millis{spans[i][0], last[1], last[2]})
	}
	return few
}

// repeated is how often the statement was sent that was repeated the most, 0 when that
// is not worth a word.
func (r *Record) repeated() (most int) {
	if len(r.statements) < pool.ManyRepeats {
		return 0
	}
	counts, suspect := make(map[pool.Place]int), false
	for i := range r.statements {
		if s := &r.statements[i]; s.counts() {
			counts[s.at]++
			suspect = suspect || counts[s.at] == pool.ManyRepeats
		}
	}
	if !suspect { // as most are: nothing has to be put into words
		return 0
	}
	for _, one := range r.repeats(pool.ManyRepeats, func(s *statement) bool { return counts[s.at] >= pool.ManyRepeats }) {
		most = max(most, one.Count)
	}
	return most
}

// repeats are the statements that came so often, of those that are asked for.
func (r *Record) repeats(count int, of func(*statement) bool) []pool.Repeated {
	var found pool.Repeats
	lines := make(map[pool.Place]string)
	for i := range r.statements {
		s := &r.statements[i]
		if !s.counts() || !of(s) {
			continue
		}
		if lines[s.at] == "" {
			lines[s.at] = s.at.String()
		}
		found.Add(s.clear(), lines[s.at], r.time(s.sent), time.Duration(max(0, s.answered-s.sent)))
	}
	return found.AtLeast(count)
}

// counts reports whether the statement may be one too many.
func (s *statement) counts() bool { return !s.control && !s.goesOn }

// detail is all that is known of a record.
type detail struct {
	summary
	Tag        string            `json:"tag"` // X-Request-ID
	Leases     []leaseDetail     `json:"leases"`
	Statements []statementDetail `json:"statements"`
	Unkept     int64             `json:"unkept"` // statements
	Groups     []group           `json:"groups"` // of statements that are repeated
	Explains   bool              `json:"explains"`
}

// leaseDetail is a hold, with its places.
type leaseDetail struct {
	At     string `json:"at"`
	BackAt string `json:"back_at,omitempty"`
	Idle   millis `json:"idle"`
	Kept   bool   `json:"kept"`
}

type statementDetail struct {
	Hold     int     `json:"hold"` // its index
	Alias    string  `json:"alias"`
	Text     string  `json:"text"` // without values
	At       string  `json:"at"`
	Sent     *millis `json:"sent"`
	Answered *millis `json:"answered"`
	Ended    *millis `json:"ended"`
	Rows     int64   `json:"rows"`
	Error    string  `json:"error,omitempty"`
	Control  bool    `json:"control"`
	Select   bool    `json:"select"` // it can be explained
}

// group is one statement that was sent again and again from one line.
type group struct {
	Text  string `json:"text"`
	At    string `json:"at"`
	Count int    `json:"count"`
	Took  millis `json:"took"` // all together
}

// fewRepeats is from how many on the same statement of one line is worth a group.
const fewRepeats = 3

func (r *Record) details() detail {
	s, _ := r.summarize()
	r.mu.Lock()
	defer r.mu.Unlock()
	d := detail{summary: s, Tag: r.tag, Leases: []leaseDetail{}, Statements: []statementDetail{}, Unkept: r.more, Groups: []group{}}
	for i := range r.holds {
		h := &r.holds[i]
		one := leaseDetail{At: h.at.String(), Idle: inMillis(h.idle), Kept: h.kept}
		if h.backAt != nil {
			one.BackAt = h.backAt.String()
		}
		d.Leases = append(d.Leases, one)
	}
	for i := range r.statements {
		one := &r.statements[i]
		text, at := one.clear(), one.at.String()
		d.Statements = append(d.Statements, statementDetail{
			Hold: one.hold, Alias: r.holds[one.hold].alias, Text: text, At: at, Sent: r.millis(one.sent), Answered: r.millis(one.answered), Ended: r.millis(one.ended),
			Rows: one.rows, Error: one.err, Control: one.control, Select: isSelect(text),
		})
	}
	for _, one := range r.repeats(fewRepeats, func(*statement) bool { return true }) {
		d.Groups = append(d.Groups, group{Text: one.Query, At: one.At, Count: one.Count, Took: inMillis(one.Took)})
	}
	return d
}

// clear is the text without its values.
func (s *statement) clear() string {
	if !s.clean {
		s.text, s.clean = pool.Normalize(s.text, mostText), true
	}
	return s.text
}
