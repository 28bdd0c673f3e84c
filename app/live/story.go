package live

import (
	"time"

	"github.com/goquintet/quintet/views/debug"
)

// Story is what the request has done with its connections up to now, as its error page
// tells it. Of errors it has no more than their kind.
func (r *Record) Story() *debug.Scope {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &debug.Scope{MoreHolds: r.moreHolds, MoreStatements: r.more}
	for i := range r.holds {
		h := &r.holds[i]
		one := debug.Hold{
			Alias: h.alias, Connection: h.connection, Asked: time.Duration(h.asked), Got: time.Duration(h.got), Back: time.Duration(h.back),
			Idle: h.idle, Reason: h.reason, Err: h.err, At: h.at.String(),
		}
		if h.backAt != nil {
			one.BackAt = h.backAt.String()
		}
		s.Holds = append(s.Holds, one)
	}
	var failed moment
	for i := range r.statements {
		one := &r.statements[i]
		shown := debug.Statement{
			Hold: one.hold, Text: one.clear(), At: one.at.String(), Sent: time.Duration(one.sent), Rows: one.rows, Err: one.err, Control: one.control,
		}
		if one.answered != 0 {
			shown.Took = time.Duration(max(1, one.answered-one.sent))
		}
		if one.err != "" && one.ended >= failed {
			at := one.at
			failed, s.Failed = one.ended, &at
		}
		s.Statements = append(s.Statements, shown)
	}
	for i := range r.holds {
		if h := &r.holds[i]; h.err != "" && h.back >= failed {
			at := h.at
			failed, s.Failed = h.back, &at
		}
	}
	return s
}
