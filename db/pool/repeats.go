package pool

import (
	"strings"
	"time"
)

const (
	// ManyRepeats is from how many on a statement that is repeated is worth a word.
	ManyRepeats = 5

	// repeatPause is how long after the last answer the next one of the same statement
	// does not repeat it: who asks every other second waits for news.
	repeatPause = time.Second
	// mostRepeats is how many statements are told apart.
	mostRepeats = 1000
)

// Repeated is one statement that was sent again and again from one line.
type Repeated struct {
	Query string // without its values
	At    string // file:line
	Count int
	Took  time.Duration // all together
}

// Hint is what to do instead.
func (r *Repeated) Hint() string {
	word, _ := firstWord(r.Query)
	switch {
	case strings.EqualFold(word, "INSERT"):
		return "insert all rows in one statement: give Model the slice"
	case strings.EqualFold(word, "UPDATE"), strings.EqualFold(word, "DELETE"), strings.EqualFold(word, "MERGE"):
		return "write all rows in one statement: WHERE ... IN, or Bulk"
	}
	return "read all rows in one statement: Relation, or WHERE ... IN"
}

// Repeats finds the statements of one request or task that were repeated where one for
// all rows would have done: N+1. It is the same statement, but for its values, of the
// same line of code, with no pause of a second in between. An INSERT of several rows is
// none. What begins and ends transactions, or reads on in an iteration, its owner leaves
// out. The zero value is ready. It tells a thousand statements apart, and sees no others.
type Repeats struct {
	bursts map[repeatKey]*burst
	order  []*burst
}

type repeatKey struct{ query, at string }

// burst is a statement, and how often it came without a pause.
type burst struct {
	longest, now Repeated
	ended        time.Time
}

// Add counts a statement, without its values, that was sent at a time and took until it
// was answered.
func (r *Repeats) Add(query, at string, sent time.Time, took time.Duration) {
	if ofManyRows(query) {
		return
	}
	key := repeatKey{query, at}
	b := r.bursts[key]
	if b == nil {
		if len(r.order) == mostRepeats {
			return
		}
		if r.bursts == nil {
			r.bursts = make(map[repeatKey]*burst)
		}
		b = &burst{now: Repeated{Query: query, At: at}}
		r.bursts[key] = b
		r.order = append(r.order, b)
	} else if sent.Sub(b.ended) >= repeatPause {
		b.now.Count, b.now.Took = 0, 0
	}
	b.now.Count++
	b.now.Took += took
	if b.ended = sent.Add(took); b.now.Count >= b.longest.Count {
		b.longest = b.now
	}
}

// ofManyRows reports whether a statement inserts several rows already: one batch after
// the other is as it should be.
func ofManyRows(query string) bool {
	word, _ := firstWord(query)
	return strings.EqualFold(word, "INSERT") && (strings.Contains(query, "), (") || strings.Contains(query, "),("))
}

// AtLeast returns the statements that came so often, in the order of their coming.
func (r *Repeats) AtLeast(count int) (repeated []Repeated) {
	for _, b := range r.order {
		if b.longest.Count >= count {
			repeated = append(repeated, b.longest)
		}
	}
	return repeated
}
