package telemetry

import (
	"strconv"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/goquintet/quintet/db/pool"
)

// place is where in the code something was done.
type place struct {
	text       string
	attributes []attribute.KeyValue
}

// places are those that were looked up: a program has a few that it comes by all the time.
type places struct {
	mu    sync.RWMutex // guards the rest
	known map[pool.Place]place
}

// mostPlaces bounds what is kept: a line may be reached in many ways.
const mostPlaces = 1 << 10

// place looks up where in the code something was done.
func (t *telemetry) place(at pool.Place) place {
	if at.IsZero() {
		return place{}
	}
	ps := &t.places
	ps.mu.RLock()
	found, ok := ps.known[at]
	ps.mu.RUnlock()
	if ok {
		return found
	}
	found = newPlace(at.String())
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.known == nil {
		ps.known = make(map[pool.Place]place)
	}
	if len(ps.known) < mostPlaces {
		ps.known[at] = found
	}
	return found
}

func newPlace(text string) place {
	p := place{text: text}
	file, number, found := strings.Cut(text, ":")
	if line, err := strconv.Atoi(number); found && err == nil { // nobody's line is an unknown place
		p.attributes = []attribute.KeyValue{semconv.CodeFilePath(file), semconv.CodeLineNumber(line)}
	}
	return p
}
