package views

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Event is one server-sent event, as the HTML standard (9.2) defines it.
//
// An event that has nothing but a Comment, a Retry or both says nothing to the
// page: a comment keeps proxies from closing a silent connection, a retry sets
// how long a browser waits before it connects again. Every other event dispatches
// a message, also one whose Data is empty.
type Event[T any] struct {
	ID      string        // the browser sends the last one as Last-Event-ID when it connects again
	Event   string        // the name that the page listens to, "message" when empty
	Data    T             // a string and bytes as they are, line by line; everything else as JSON
	Retry   time.Duration // in milliseconds on the wire; zero says nothing
	Comment string        // not seen by the page
}

// Events answers with server-sent events. The headers go out at once, so that the
// page knows that it is connected before there is an event; an error of the
// sequence, also its first, therefore breaks the connection, and the browser
// connects again. Each event is a chunk. While there is none, a comment is sent as
// often as the site's STREAM_HEARTBEAT says, 15 seconds by default.
//
// A stream that is told to end, because the site stops or by its MaxAge, may send a
// last event: its context ends with the cause, and one more yield is taken. The
// browser connects again in any case, and says the last ID that it has got:
// [Request.LastEventID].
//
// The type of the data is one for all events; Event[any] takes different ones.
//
// A newline in an ID or in the name of an event, a NUL in an ID, and data that
// does not encode end the stream with an error. The fields of the response may be
// set before it is returned.
func Events[T any](events iter.Seq2[Event[T], error]) StreamingResponse {
	return StreamingResponse{ContentType: "text/event-stream", Heartbeat: []byte(":\n\n"), Body: func(yield func([]byte, error) bool) {
		var block bytes.Buffer
		for event, err := range events {
			if err == nil {
				block.Reset()
				err = event.write(&block)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(block.Bytes(), nil) {
				return
			}
		}
	}}
}

// write writes the event and the empty line that ends it.
func (e Event[T]) write(b *bytes.Buffer) error {
	if strings.ContainsAny(e.ID, "\r\n\x00") {
		return fmt.Errorf("views: Events: the ID %q has a newline or a NUL", e.ID)
	}
	if strings.ContainsAny(e.Event, "\r\n") {
		return fmt.Errorf("views: Events: the event name %q has a newline", e.Event)
	}
	if e.Comment != "" {
		writeLines(b, ": ", e.Comment)
	}
	if e.Retry > 0 {
		writeLines(b, "retry: ", strconv.FormatInt(max(1, e.Retry.Milliseconds()), 10))
	}
	if e.ID != "" {
		writeLines(b, "id: ", e.ID)
	}
	if e.Event != "" {
		writeLines(b, "event: ", e.Event)
	}
	if !e.silent() {
		if err := writeData(b, e.Data); err != nil {
			return err
		}
	}
	b.WriteByte('\n')
	return nil
}

// silent reports whether the event dispatches nothing.
func (e Event[T]) silent() bool {
	if e.Comment == "" && e.Retry <= 0 || e.ID != "" || e.Event != "" {
		return false
	}
	data := reflect.ValueOf(&e.Data).Elem()
	return data.IsZero()
}

func writeData(b *bytes.Buffer, data any) error {
	switch data := data.(type) {
	case string:
		writeLines(b, "data: ", data)
	case []byte:
		writeLines(b, "data: ", string(data))
	case json.RawMessage:
		writeLines(b, "data: ", string(data))
	default:
		encoded, err := json.Marshal(data)
		if err != nil {
			return fmt.Errorf("views: Events: encode %T: %w", data, err)
		}
		writeLines(b, "data: ", string(encoded))
	}
	return nil
}

// writeLines writes each line of the text as a field of its own: CRLF, CR and LF
// all end one.
func writeLines(b *bytes.Buffer, field, text string) {
	for {
		b.WriteString(field)
		end := strings.IndexAny(text, "\r\n")
		if end < 0 {
			b.WriteString(text)
			b.WriteByte('\n')
			return
		}
		b.WriteString(text[:end])
		b.WriteByte('\n')
		if strings.HasPrefix(text[end:], "\r\n") {
			end++
		}
		text = text[end+1:]
	}
}
