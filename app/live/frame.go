package live

import (
	"time"

	"github.com/goquintet/quintet/db"
)

// What one frame has, at most.
const (
	mostSummaries   = 60
	mostConnections = 64
	mostQueued      = 40
)

// Process is the process that a page shows.
type Process struct {
	PID       int       `json:"pid"`
	Started   time.Time `json:"started"`
	Addresses []string  `json:"addresses"`
	Program   string    `json:"program"`
	Version   string    `json:"version"`
	Go        string    `json:"go"`
}

// Site are the numbers of the site, those of app.Stats.
type Site struct {
	Requests       int   `json:"requests"`
	Streams        int   `json:"streams"`
	TotalRequests  int64 `json:"total_requests"`
	TotalStreams   int64 `json:"total_streams"`
	RefusedStreams int64 `json:"refused_streams"`
	KeptStreams    int64 `json:"kept_streams"`
	HeldResponses  int64 `json:"held_responses"`

	Answered1xx int64 `json:"answered_1xx"`
	Answered2xx int64 `json:"answered_2xx"`
	Answered3xx int64 `json:"answered_3xx"`
	Answered4xx int64 `json:"answered_4xx"`
	Answered5xx int64 `json:"answered_5xx"`
	Unanswered  int64 `json:"unanswered"`
}

// frame is what the page is sent several times a second.
type frame struct {
	Now       millis          `json:"now"`
	Process   *Process        `json:"process,omitempty"` // in the first one
	Debug     bool            `json:"debug"`
	Site      Site            `json:"site"`
	Databases []databaseFrame `json:"databases"`
	Queue     []queued        `json:"queue"`
	Records   []summary       `json:"records"` // what has changed
	Running   int             `json:"running"`
	Finished  int64           `json:"finished"`
	Skipped   int64           `json:"skipped"` // that have ended and are in no frame
	Advice    []Advice        `json:"advice,omitempty"`
}

// databaseFrame is one alias. Its numbers are db.Stats, and called as dbstatus calls them.
type databaseFrame struct {
	Alias       string            `json:"alias"`
	Engine      string            `json:"engine"`
	Max         int               `json:"max"`
	Open        int               `json:"open"`
	InUse       int               `json:"in_use"`
	Idle        int               `json:"idle"`
	Connecting  int               `json:"connecting"`
	Closing     int               `json:"closing"`
	Waiting     int               `json:"waiting"`
	Writers     int               `json:"writers"`
	Dedicated   int               `json:"dedicated"`
	Leases      int64             `json:"leases"`
	Opened      int64             `json:"opened"`
	Closed      int64             `json:"closed"`
	Waited      int64             `json:"waited"`
	WaitSeconds float64           `json:"wait_seconds"`
	Refused     int64             `json:"refused"`
	Exhausted   int64             `json:"exhausted"`
	QueueFull   int64             `json:"queue_full"`
	Pings       int64             `json:"pings"`
	Dead        int64             `json:"dead"`
	Statements  int64             `json:"statements"`
	Failed      int64             `json:"failed"`
	Canceled    int64             `json:"canceled"`
	Leaked      int64             `json:"leaked"`
	Quarantined int64             `json:"quarantined"`
	Warn        millis            `json:"warn"` // HOLD_IDLE_WARN; 0 is never
	Connections []connectionFrame `json:"connections"`
	More        int               `json:"more"` // connections
}

// connectionFrame is one physical connection.
type connectionFrame struct {
	ID     int64        `json:"id"`
	State  string       `json:"state"`
	Age    millis       `json:"age"`
	Holder *holderFrame `json:"holder"`
}

type holderFrame struct {
	Name      string `json:"name"`
	Held      millis `json:"held"`
	Idle      millis `json:"idle"`
	Block     bool   `json:"block"`
	Open      bool   `json:"open"`
	Streaming bool   `json:"streaming"`
	Dedicated bool   `json:"dedicated"`
	Last      string `json:"last"`
	At        string `json:"at"`
}

// queued is somebody who waits for a connection.
type queued struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Alias string `json:"alias"`
	Since millis `json:"since"`
	At    string `json:"at"`
}

func (rec *Recorder) databases() []databaseFrame {
	frames := []databaseFrame{}
	for _, alias := range rec.connections.Aliases() {
		settings, _ := rec.connections.Settings(alias)
		now := rec.connections.Snapshot(alias)
		n := now.Stats
		d := databaseFrame{
			Alias: alias, Engine: settings.Engine, Max: n.Max, Open: n.Open, InUse: n.InUse, Idle: n.Idle, Connecting: n.Connecting,
			Closing: n.Closing, Waiting: n.Waiting, Writers: n.Writers, Dedicated: n.Dedicated,
			Leases: n.Leases, Opened: n.Opened, Closed: n.Closed, Waited: n.Waited, WaitSeconds: n.WaitDuration.Seconds(),
			Refused: n.Refused, Exhausted: n.Exhausted, QueueFull: n.QueueFull, Pings: n.Pings, Dead: n.Dead,
			Statements: n.Statements, Failed: n.Failed, Canceled: n.Canceled, Leaked: n.Leaked, Quarantined: n.Quarantined,
			Warn: inMillis(max(0, settings.HoldIdleWarn)), Connections: []connectionFrame{},
		}
		for _, c := range now.Connections {
			if len(d.Connections) == mostConnections {
				d.More++
				continue
			}
			d.Connections = append(d.Connections, connectionFrame{ID: c.ID, State: string(c.State), Age: inMillis(c.Age), Holder: holderOf(c)})
		}
		frames = append(frames, d)
	}
	return frames
}

func holderOf(c db.Connection) *holderFrame {
	h := c.Holder
	if h == nil {
		return nil
	}
	return &holderFrame{
		Name: h.Name, Held: inMillis(h.Held), Idle: inMillis(h.Idle), Block: h.InAtomicBlock, Open: h.Open,
		Streaming: h.Streaming, Dedicated: h.Dedicated, Last: h.LastStatement, At: h.At,
	}
}

// viewer is one page that looks, and what it has been sent.
type viewer struct {
	recorder *Recorder
	seen     map[int64]int64 // revisions of the records that run
	total    int64           // finished ones that it knows of
	ended    bool            // it has been sent the finished ones that there were
}

// frame returns what has changed since the last one.
func (v *viewer) frame() frame {
	rec := v.recorder
	running, finished, total := rec.recordsNow()
	f := frame{Now: rec.millis(time.Now()), Databases: rec.databases(), Queue: []queued{}, Records: []summary{}, Running: len(running), Finished: total}

	fresh := total - v.total
	if !v.ended {
		v.ended, fresh = true, int64(len(finished))
	}
	v.total = total
	send := min(fresh, mostSummaries, int64(len(finished)))
	f.Skipped = fresh - send
	for i := send - 1; i >= 0; i-- {
		s, _ := finished[i].summarize()
		f.Records = append(f.Records, s)
	}
	seen := make(map[int64]int64, len(running))
	for i := len(running) - 1; i >= 0; i-- { // the oldest first: they matter most
		r := running[i]
		if q, waits := r.waits(); waits && len(f.Queue) < mostQueued {
			f.Queue = append(f.Queue, q)
		}
		revision, known := v.seen[r.id]
		if known {
			seen[r.id] = revision
		}
		if known && r.unchanged(revision) || len(f.Records) >= 2*mostSummaries {
			continue
		}
		s, now := r.summarize()
		seen[r.id] = now
		f.Records = append(f.Records, s)
	}
	v.seen = seen
	return f
}

func (r *Record) unchanged(since int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.revision == since
}

// waits reports whether the record waits for a connection.
func (r *Record) waits() (queued, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.holds) == 0 {
		return queued{}, false
	}
	h := &r.holds[len(r.holds)-1]
	if h.got != 0 || h.err != "" {
		return queued{}, false
	}
	return queued{ID: r.id, Name: r.label(), Alias: h.alias, Since: *r.millis(h.asked), At: h.at.String()}, true
}
