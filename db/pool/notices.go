package pool

import (
	"container/list"
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// MostNotices is how many notices are told apart.
	MostNotices = 1000
	// noticeEvery is how long a notice is not logged again.
	noticeEvery = time.Minute
)

// Notice is something that should not be, and that may come again and again: what is
// wrong, and where. Those that are equal are one.
type Notice struct {
	Message string
	At      string // file:line; logged as "at"
	Of      string // whose it is, where the place does not say enough
}

// Notices log each notice once a minute, however often it comes meanwhile: the next
// line says how many were left out ("repeated"). A site has one of them for all of its
// databases. Methods may be called concurrently; the fields are set before.
//
// The memory is bounded: [MostNotices] are told apart. When there are so many, the one
// that was logged the longest ago makes room, and is forgotten with its count, if that
// was more than a minute ago. Otherwise all further ones of a message are one: its line
// has the place of the one that came, and how many were left out at other places
// ("elsewhere").
type Notices struct {
	Logger *slog.Logger
	Now    func() time.Time // nil is time.Now

	mu     sync.Mutex               // guards the rest
	known  map[Notice]*list.Element // of *told
	order  list.List                // of them, the one that was logged the longest ago first
	others map[string]*told         // of the others, by their messages
}

// told is a notice that was logged.
type told struct {
	notice Notice
	when   time.Time
	left   int // out since then
}

// again reports whether it is to be logged again, and how many were left out since.
func (t *told) again(now time.Time) (left int, due bool) {
	if now.Sub(t.when) < noticeEvery {
		t.left++
		return 0, false
	}
	left, t.left, t.when = t.left, 0, now
	return left, true
}

// Tell logs a notice, unless it was logged within a minute. The attributes are asked
// for when it is. The context is that of who does it: a logger may find the request
// in it.
func (n *Notices) Tell(ctx context.Context, level slog.Level, notice Notice, attrs func() []slog.Attr) {
	if !n.Logger.Enabled(ctx, level) {
		return
	}
	left, counts, due := n.due(notice)
	if !due {
		return
	}
	all := append(attrs(), slog.String("at", notice.At))
	if left > 0 {
		all = append(all, slog.Int(counts, left))
	}
	n.Logger.LogAttrs(ctx, level, notice.Message, all...)
}

// due reports whether the notice is to be logged now, and how many were left out since
// it was the last time.
func (n *Notices) due(notice Notice) (left int, counts string, due bool) {
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.known[notice]; e != nil {
		if left, due = e.Value.(*told).again(now); due {
			n.order.MoveToBack(e)
		}
		return left, "repeated", due
	}
	if n.known == nil {
		n.known, n.others = make(map[Notice]*list.Element), make(map[string]*told)
	}
	if n.roomLocked(now) {
		n.known[notice] = n.order.PushBack(&told{notice: notice, when: now})
		return 0, "", true
	}
	if t := n.others[notice.Message]; t != nil {
		left, due = t.again(now)
		return left, "elsewhere", due
	}
	n.others[notice.Message] = &told{when: now}
	return 0, "", true
}

// roomLocked reports whether there is room for another notice, and makes some.
func (n *Notices) roomLocked(now time.Time) bool {
	if len(n.known) < MostNotices {
		return true
	}
	oldest := n.order.Front()
	if now.Sub(oldest.Value.(*told).when) < noticeEvery {
		return false
	}
	delete(n.known, n.order.Remove(oldest).(*told).notice)
	return true
}

func (n *Notices) now() time.Time {
	if n.Now != nil {
		return n.Now()
	}
	return time.Now()
}

// tell is [Notices.Tell] for something that a holder of a connection of this pool has
// done.
func (p *Pool) tell(ctx context.Context, level slog.Level, notice Notice, holder string, attrs func() []slog.Attr) {
	p.cfg.Notices.Tell(ctx, level, notice, func() []slog.Attr {
		return append([]slog.Attr{slog.String("alias", p.cfg.Alias), slog.String("holder", holder)}, attrs()...)
	})
}

// slowMessage is for a statement that has taken SLOW_STATEMENT.
const slowMessage = "db: a statement is slow"

// slowly tells of a statement that took so long, in the database and without the time
// that its caller has spent between two rows.
func (st *Statement) slowly(took time.Duration) {
	if st.query == "" || st.raw { // a ping, and what may wait for as long as it likes
		return
	}
	p := st.lease.conn.pool
	notice := Notice{Message: slowMessage, At: st.place.String()}
	p.tell(st.Context, slog.LevelWarn, notice, name(st.lease.owner), func() []slog.Attr {
		attrs := []slog.Attr{
			slog.String("statement", Fingerprint(st.query)), slog.Duration("duration", took.Round(time.Microsecond)),
		}
		if !st.failed {
			attrs = append(attrs, slog.Int64("rows", st.count+st.rows.count))
		}
		return attrs
	})
}

// lateMessage is for who uses what he has given back.
const lateMessage = "db: a connection is used after its release; do not keep rows, transactions or statements beyond that"

// late tells of a statement that comes after the end of its lease, and returns its
// error. What was taken away was told when that happened.
func (p *Pool) late(ctx context.Context, l *Lease, used Place, e *ReleasedError) *ReleasedError {
	e.Used = used.String()
	if e.Reason == holdLimit {
		return e
	}
	p.tell(ctx, slog.LevelWarn, Notice{Message: lateMessage, At: e.Used}, name(l.owner), func() []slog.Attr {
		return []slog.Attr{
			slog.String("taken", e.Opened), slog.String("released", e.Released), slog.String("reason", e.Reason),
		}
	})
	return e
}
