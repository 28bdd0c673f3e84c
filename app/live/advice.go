package live

import (
	"math"
	"slices"
	"strings"
	"time"
)

const (
	bucketTime = 5 * time.Second
	buckets    = 60
)

// demand is what one alias was asked for in the last five minutes, in parts of five
// seconds. Recorder.mu guards it.
type demand struct {
	parts [buckets]part
}

// part is what happened in one part of the time: connection time, and how often it began.
type part struct {
	number      int64 // of the part since the epoch; what is older does not count
	held, kept  time.Duration
	began, uses int64
}

func (rec *Recorder) demand(alias string) *demand {
	d := rec.demanding[alias]
	if d == nil {
		d = &demand{}
		rec.demanding[alias] = d
	}
	return d
}

func (d *demand) at(number int64) *part {
	p := &d.parts[number%buckets]
	if p.number < number {
		*p = part{number: number}
	}
	return p
}

// spread calls add for each part of the time from one moment to another, and for how
// long it covers that.
func (d *demand) spread(from, to time.Time, add func(p *part, covered time.Duration)) {
	const length = int64(bucketTime)
	begin, end := from.UnixNano(), to.UnixNano()
	begin = max(begin, end-length*(buckets-1))
	for number := begin / length; number <= end/length; number++ {
		covered := min(end, (number+1)*length) - max(begin, number*length)
		if p := d.at(number); p.number == number {
			add(p, time.Duration(covered))
		}
	}
}

// holds counts a connection that was held.
func (d *demand) holds(from, to time.Time) {
	if p := d.at(from.UnixNano() / int64(bucketTime)); p.number == from.UnixNano()/int64(bucketTime) {
		p.began++
	}
	d.spread(from, to, func(p *part, covered time.Duration) { p.held += covered })
}

// uses counts a request that used one or more, from its first to its end: how long it
// would have held one without early release.
func (d *demand) uses(from, to time.Time) {
	if p := d.at(from.UnixNano() / int64(bucketTime)); p.number == from.UnixNano()/int64(bucketTime) {
		p.uses++
	}
	d.spread(from, to, func(p *part, covered time.Duration) { p.kept += covered })
}

// Load is a demand for connections in Little's terms: as many are in use on average as
// begin in a second, times the seconds that each lasts. L = λ × W.
type Load struct {
	Rate   float64 `json:"rate"`   // λ, per second
	Time   float64 `json:"time"`   // W, in seconds
	InUse  float64 `json:"in_use"` // L, on average
	Peak   float64 `json:"peak"`   // L of the busiest five seconds
	Needed int     `json:"needed"` // connections: Peak + 3 × √Peak, rounded up
}

// Advice says how many connections of an alias the recorded load needs.
type Advice struct {
	Alias   string  `json:"alias"`
	Seconds float64 `json:"seconds"` // that were recorded, at most 300
	Max     int     `json:"max"`     // MAX_CONNECTIONS now

	Early   Load `json:"early"`   // as it is: what is not needed goes home
	Without Load `json:"without"` // each request keeps its connection from its first statement to its end
}

// Advise computes what the load of the last five minutes, or since it began to record,
// needs of each alias that was used.
func (rec *Recorder) Advise() []Advice {
	running, _, _ := rec.recordsNow()
	now := time.Now()
	rec.mu.Lock()
	since := now.Sub(rec.since)
	demands := make(map[string]*demand, len(rec.demanding))
	for alias, d := range rec.demanding {
		own := *d
		demands[alias] = &own
	}
	rec.mu.Unlock()
	for _, r := range running { // what they hold counts, too
		r.mu.Lock()
		over := r.finished != 0
		holds, uses := slices.Clone(r.holds), slices.Clone(r.uses)
		r.mu.Unlock()
		if over { // in between: it is counted, or will be the next time
			continue
		}
		for _, h := range holds {
			if h.got == 0 {
				continue
			}
			to := now
			if h.back != 0 {
				to = r.time(h.back)
			}
			known(demands, h.alias).holds(r.time(h.got), to)
		}
		for _, u := range uses {
			known(demands, u.alias).uses(r.time(u.since), now)
		}
	}
	window := min(since, bucketTime*(buckets-1))
	var all []Advice
	for alias, d := range demands {
		settings, _ := rec.connections.Settings(alias)
		all = append(all, Advice{
			Alias: alias, Seconds: window.Seconds(), Max: settings.MaxConnections,
			Early:   d.load(now, window, func(p part) (time.Duration, int64) { return p.held, p.began }),
			Without: d.load(now, window, func(p part) (time.Duration, int64) { return p.kept, p.uses }),
		})
	}
	slices.SortFunc(all, func(a, b Advice) int { return strings.Compare(a.Alias, b.Alias) })
	return all
}

func known(demands map[string]*demand, alias string) *demand {
	if demands[alias] == nil {
		demands[alias] = &demand{}
	}
	return demands[alias]
}

func (d *demand) load(now time.Time, window time.Duration, of func(part) (time.Duration, int64)) (l Load) {
	var sum time.Duration
	var n int64
	last := now.UnixNano() / int64(bucketTime)
	for _, p := range d.parts {
		if p.number <= last-buckets+1 || p.number > last {
			continue
		}
		spent, began := of(p)
		sum, n = sum+spent, n+began
		length := min(bucketTime, window)
		l.Peak = max(l.Peak, spent.Seconds()/length.Seconds())
	}
	if window <= 0 {
		return Load{}
	}
	l.InUse = sum.Seconds() / window.Seconds()
	l.Peak = max(l.Peak, l.InUse)
	l.Rate = float64(n) / window.Seconds()
	if n > 0 {
		l.Time = l.InUse / l.Rate
	}
	l.Needed = Needed(l.Peak)
	return l
}

// Needed is how many connections a load needs that has so many in use on average:
// requests come by chance, and hardly ever are there three times the root of their
// average more. L + 3 × √L, rounded up, and one at least.
func Needed(inUse float64) int {
	return max(1, int(math.Ceil(inUse+3*math.Sqrt(inUse)-1e-9)))
}
