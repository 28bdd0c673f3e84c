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

// databaseFrame is one alias.
type databaseFrame struct {
	Alias  string `json:"alias"`
	Engine string `json:"engine"`
	Numbers
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
		d := databaseFrame{
			Alias: alias, Engine: settings.Engine, Numbers: NumbersOf(now.Stats),
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
