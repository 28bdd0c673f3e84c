package apptest

import (
	"bytes"
	"iter"
	"strconv"
	"strings"
	"time"
)

// Event is a server-sent event as a browser dispatches it.
type Event struct {
	ID    string // the last one that was sent
	Event string // the name, "message" when the site sent none
	Data  string
	Retry time.Duration // as long as the site has asked for, in this event or with it; 0 when not
}

// Events reads the stream as server-sent events, as the HTML standard (9.2) has it:
// comments are left out, and so are events without data. An error of the stream
// comes last.
func (s *Stream) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		var (
			rest  []byte
			event Event
			data  []string
		)
		for chunk, err := range s.Chunks() {
			if err != nil {
				yield(Event{}, err)
				return
			}
			rest = append(rest, chunk...)
			for {
				line, after, found := bytes.Cut(rest, []byte("\n"))
				if !found {
					break
				}
				rest = after
				text := strings.TrimSuffix(string(line), "\r")
				if text != "" {
					data = event.take(text, data)
					continue
				}
				if event.Data = strings.Join(data, "\n"); data != nil && !yield(event.named(), nil) {
					return
				}
				event, data = Event{ID: event.ID}, nil
			}
		}
	}
}

// take takes a line of an event, and returns the lines of its data.
func (e *Event) take(line string, data []string) []string {
	field, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "event":
		e.Event = value
	case "data":
		data = append(data, value)
	case "id":
		e.ID = value
	case "retry":
		if ms, err := strconv.Atoi(value); err == nil {
			e.Retry = time.Duration(ms) * time.Millisecond
		}
	}
	return data
}

func (e Event) named() Event {
	if e.Event == "" {
		e.Event = "message"
	}
	return e
}
