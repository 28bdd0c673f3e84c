package app

import (
	"cmp"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/goquintet/quintet/app/live"
	"github.com/goquintet/quintet/db"
)

// Status is what a process says about itself: the answer to GET /status on its admin
// socket. The tags are the keys of the JSON. Times are RFC 3339, durations are in
// seconds, and what does not apply is left out. Keys may be added, and none changes
// its meaning.
//
// What it says of one alias was true at one moment. Statements are without their
// values, and nothing in it comes from the settings but aliases and engines.
type Status struct {
	Process   ProcessStatus    `json:"process"`
	Site      SiteStatus       `json:"site"`
	Streams   []StreamStatus   `json:"streams"`   // the oldest first, and no more than a hundred
	Databases []DatabaseStatus `json:"databases"` // in alphabetical order of their aliases
}

// ProcessStatus is the process itself.
type ProcessStatus struct {
	PID        int       `json:"pid"`
	Started    time.Time `json:"started"` // when it made the site
	Now        time.Time `json:"now"`     // when it was asked
	Addresses  []string  `json:"addresses"`
	Program    string    `json:"program"` // the path of the package that was built
	Version    string    `json:"version"` // of its module
	Go         string    `json:"go"`
	GOMAXPROCS int       `json:"gomaxprocs"`
	Goroutines int       `json:"goroutines"`
}

// SiteStatus is the [Stats] of the site.
type SiteStatus = live.Site

// StreamStatus is one [Stream].
type StreamStatus struct {
	Route          string     `json:"route"`
	RequestID      string     `json:"request_id"`
	Since          time.Time  `json:"since"`
	AgeSeconds     float64    `json:"age_seconds"`
	State          string     `json:"state"` // starting, generating, writing, or ending
	Bytes          int64      `json:"bytes"`
	Chunks         int64      `json:"chunks"`
	Written        *time.Time `json:"written,omitempty"` // the last chunk
	KeepConnection bool       `json:"keep_connection"`
}

// DatabaseStatus is the [db.Snapshot] of one alias; [db.Stats] explains the numbers.
type DatabaseStatus struct {
	Alias  string `json:"alias"`
	Engine string `json:"engine"`

	live.Numbers

	Waiters     []WaiterStatus     `json:"waiters"`     // the next one first
	Connections []ConnectionStatus `json:"connections"` // the oldest first
}

// WaiterStatus is who waits for a connection, or for a turn to write: a [db.Waiter].
type WaiterStatus struct {
	Name          string    `json:"name"` // the route or the task
	Since         time.Time `json:"since"`
	WaitedSeconds float64   `json:"waited_seconds"`
	At            string    `json:"at"`     // file:line
	Writes        bool      `json:"writes"` // it has its connection, and wants to write
}

// ConnectionStatus is one physical connection: a [db.Connection].
type ConnectionStatus struct {
	State      string        `json:"state"` // idle, leased, or between
	Opened     time.Time     `json:"opened"`
	AgeSeconds float64       `json:"age_seconds"`
	Expires    *time.Time    `json:"expires,omitempty"`
	IdleSince  *time.Time    `json:"idle_since,omitempty"`
	Holder     *HolderStatus `json:"holder,omitempty"` // when it is leased
}

// HolderStatus is who has a connection: a [db.Holder].
type HolderStatus struct {
	Name          string    `json:"name"` // the route or the task
	Since         time.Time `json:"since"`
	HeldSeconds   float64   `json:"held_seconds"`
	IdleSeconds   float64   `json:"idle_seconds"` // of them, without a statement under way
	InAtomicBlock bool      `json:"in_atomic_block"`
	Open          bool      `json:"open"` // rows, a transaction or a statement are
	Streaming     bool      `json:"streaming"`
	Dedicated     bool      `json:"dedicated"` // the connection is its own
	Kept          bool      `json:"kept"`      // by KeepConnection, or in a snapshot of db.Iterate
	Queries       int       `json:"queries"`
	LastStatement string    `json:"last_statement"` // without its values
	At            string    `json:"at"`             // file:line
}

// Status returns what this process says about itself now.
func (s *Site) Status() Status {
	status := Status{Process: s.processStatus(), Site: s.liveSite(), Streams: s.streamStatus(), Databases: []DatabaseStatus{}}
	for _, alias := range s.connections.Aliases() {
		settings, _ := s.connections.Settings(alias)
		status.Databases = append(status.Databases, databaseStatus(alias, settings.Engine, s.connections.Snapshot(alias)))
	}
	return status
}

func (s *Site) processStatus() ProcessStatus {
	p := ProcessStatus{
		PID: os.Getpid(), Started: s.admin.since, Now: time.Now(), Addresses: s.admin.servedAt(),
		Version: "(unknown)", Go: runtime.Version(), GOMAXPROCS: runtime.GOMAXPROCS(0), Goroutines: runtime.NumGoroutine(),
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		p.Program, p.Version = build.Path, cmp.Or(build.Main.Version, "(devel)")
	}
	return p
}

// shownStreams bounds what one who asks is told: there may be thousands, and those that
// last are the ones that people look for.
const shownStreams = 100

func (s *Site) streamStatus() []StreamStatus {
	streams := s.Streams()
	shown := make([]StreamStatus, min(len(streams), shownStreams))
	for i := range shown {
		one := streams[i]
		shown[i] = StreamStatus{
			Route: one.Route, RequestID: one.RequestID, Since: one.Since, AgeSeconds: one.Age.Seconds(), State: string(one.State),
			Bytes: one.Bytes, Chunks: one.Chunks, Written: notZero(one.Written), KeepConnection: one.KeepConnection,
		}
	}
	return shown
}

func databaseStatus(alias, engine string, snapshot db.Snapshot) DatabaseStatus {
	d := DatabaseStatus{
		Alias: alias, Engine: engine, Numbers: live.NumbersOf(snapshot.Stats),
		Waiters: []WaiterStatus{}, Connections: []ConnectionStatus{},
	}
	for _, w := range snapshot.Waiters {
		d.Waiters = append(d.Waiters, WaiterStatus{Name: w.Name, Since: w.Since, WaitedSeconds: w.Waited.Seconds(), At: w.At, Writes: w.Writes})
	}
	for _, c := range snapshot.Connections {
		one := ConnectionStatus{
			State: string(c.State), Opened: c.Opened, AgeSeconds: c.Age.Seconds(),
			Expires: notZero(c.Expires), IdleSince: notZero(c.IdleSince),
		}
		if h := c.Holder; h != nil {
			one.Holder = &HolderStatus{
				Name: h.Name, Since: h.Since, HeldSeconds: h.Held.Seconds(), IdleSeconds: h.Idle.Seconds(), InAtomicBlock: h.InAtomicBlock,
				Open: h.Open, Streaming: h.Streaming, Dedicated: h.Dedicated, Kept: h.Kept, Queries: h.Queries, LastStatement: h.LastStatement, At: h.At,
			}
		}
		d.Connections = append(d.Connections, one)
	}
	return d
}

func notZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// status answers GET /status.
func (a *adminListener) status(w http.ResponseWriter, _ *http.Request) {
	a.say(w, http.StatusOK, a.site.Status())
}
