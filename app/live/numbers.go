package live

import "github.com/goquintet/quintet/db"

// The page, dbstatus and the last lines of the log say these numbers with the same words.

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

// Numbers are the numbers of one alias, those of [db.Stats].
type Numbers struct {
	Max         int     `json:"max"`
	Open        int     `json:"open"`
	InUse       int     `json:"in_use"`
	Idle        int     `json:"idle"`
	Connecting  int     `json:"connecting"`
	Closing     int     `json:"closing"`
	Waiting     int     `json:"waiting"`
	Writers     int     `json:"writers"`
	Dedicated   int     `json:"dedicated"`
	Leases      int64   `json:"leases"`
	Opened      int64   `json:"opened"`
	Closed      int64   `json:"closed"`
	Waited      int64   `json:"waited"`
	WaitSeconds float64 `json:"wait_seconds"`
	Refused     int64   `json:"refused"`
	Exhausted   int64   `json:"exhausted"`
	QueueFull   int64   `json:"queue_full"`
	Pings       int64   `json:"pings"`
	Dead        int64   `json:"dead"`
	Statements  int64   `json:"statements"`
	Failed      int64   `json:"failed"`
	Canceled    int64   `json:"canceled"`
	Leaked      int64   `json:"leaked"`
	Quarantined int64   `json:"quarantined"`
}

// NumbersOf returns them.
func NumbersOf(n db.Stats) Numbers {
	return Numbers{
		Max: n.Max, Open: n.Open, InUse: n.InUse, Idle: n.Idle, Connecting: n.Connecting, Closing: n.Closing,
		Waiting: n.Waiting, Writers: n.Writers, Dedicated: n.Dedicated,
		Leases: n.Leases, Opened: n.Opened, Closed: n.Closed, Waited: n.Waited, WaitSeconds: n.WaitDuration.Seconds(),
		Refused: n.Refused, Exhausted: n.Exhausted, QueueFull: n.QueueFull, Pings: n.Pings, Dead: n.Dead,
		Statements: n.Statements, Failed: n.Failed, Canceled: n.Canceled, Leaked: n.Leaked, Quarantined: n.Quarantined,
	}
}
