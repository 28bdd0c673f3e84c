package views_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/views"
)

func TestEvents_OnTheWire(t *testing.T) {
	t.Parallel()
	type point struct {
		X int `json:"x"`
	}
	for name, c := range map[string]struct {
		got  views.StreamingResponse
		want string
	}{
		"a string":         {events(views.Event[string]{Data: "hello"}), "data: hello\n\n"},
		"all ends of line": {events(views.Event[string]{Data: "a\nb\r\nc\rd\n"}), "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"},
		"a leading space":  {events(views.Event[string]{Data: " a"}), "data:  a\n\n"},
		"bytes":            {events(views.Event[[]byte]{Data: []byte("a\nb")}), "data: a\ndata: b\n\n"},
		"ready JSON":       {events(views.Event[json.RawMessage]{Data: json.RawMessage("{}")}), "data: {}\n\n"},
		"a value":          {events(views.Event[point]{Data: point{1}}), "data: {\"x\":1}\n\n"},
		"a number":         {events(views.Event[int]{}), "data: 0\n\n"},
		"nothing":          {events(views.Event[*point]{}), "data: null\n\n"},
		"an empty string":  {events(views.Event[string]{}), "data: \n\n"},
		"everything": {
			events(views.Event[int]{ID: "7", Event: "tick", Data: 1, Retry: 1500 * time.Millisecond, Comment: "a\nb"}),
			": a\n: b\nretry: 1500\nid: 7\nevent: tick\ndata: 1\n\n",
		},
		"a comment alone":       {events(views.Event[int]{Comment: "still here"}), ": still here\n\n"},
		"a retry alone":         {events(views.Event[point]{Retry: time.Microsecond}), "retry: 1\n\n"},
		"a comment with data":   {events(views.Event[int]{Comment: "c", Data: 2}), ": c\ndata: 2\n\n"},
		"a comment with a name": {events(views.Event[int]{Comment: "c", Event: "e"}), ": c\nevent: e\ndata: 0\n\n"},
		"several":               {events(views.Event[int]{Data: 1}, views.Event[int]{Data: 2}), "data: 1\n\ndata: 2\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recorder, err := respond(t, nil, c.got)
			if got := recorder.Body.String(); err != nil || got != c.want {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func events[T any](all ...views.Event[T]) views.StreamingResponse { return views.Events(rows(all...)) }

func TestEvents_RefuseWhatWouldBecomeAnotherField(t *testing.T) {
	t.Parallel()
	for says, event := range map[string]views.Event[any]{
		`ID "1\ndata: x"`:         {ID: "1\ndata: x"},
		`ID "1\r"`:                {ID: "1\r"},
		`ID "\x00"`:               {ID: "\x00"},
		`event name "tick\ndata"`: {Event: "tick\ndata"},
		`encode func()`:           {Data: func() {}},
	} {
		_, err := respond(t, nil, events(event))
		wantError(t, err, "views: Events: ", says)
	}
}

func TestEvents_SendTheirHeadersAtOnce(t *testing.T) {
	t.Parallel()
	for name, configure := range protocols() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			connected := make(chan struct{})
			s := stream(t, &life{}, views.Events(func(yield func(views.Event[string], error) bool) {
				<-connected // by the client, which has its headers
				yield(views.Event[string]{Data: "welcome"}, nil)
			}), configure)
			response := s.get(t)
			for name, want := range map[string]string{
				"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no",
			} {
				if got := response.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			close(connected)
			if line, err := bufio.NewReader(response.Body).ReadString('\n'); line != "data: welcome\n" {
				t.Errorf("%q, %v", line, err)
			}
		})
	}
}

func TestEvents_KeepTheHeadersThatTheSiteSets(t *testing.T) {
	t.Parallel()
	response := events(views.Event[int]{})
	response.Header = http.Header{"Cache-Control": {"no-store"}, "X-Accel-Buffering": {"yes"}}
	recorder, err := respond(t, nil, response)
	if h := recorder.Header(); err != nil || h.Get("Cache-Control") != "no-store" || h.Get("X-Accel-Buffering") != "yes" {
		t.Errorf("%v, %v", h, err)
	}
}

func TestEvents_AFirstErrorBreaksTheConnection(t *testing.T) {
	t.Parallel()
	s := stream(t, &life{}, views.Events(func(yield func(views.Event[int], error) bool) {
		yield(views.Event[int]{}, errBroken)
	}))
	response := s.get(t)
	if response.StatusCode != http.StatusOK {
		t.Errorf("status %d", response.StatusCode)
	}
	if _, err := bufio.NewReader(response.Body).ReadString('\n'); err == nil || strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "unexpected") {
		t.Errorf("the body ended with %v, want broken", err)
	}
	if end := <-s.over; !errors.Is(end.err, errBroken) {
		t.Errorf("ended with %v", end)
	}
}

func TestEvents_StopWithTheStream(t *testing.T) {
	t.Parallel()
	pulled := 0
	for range views.Events(func(yield func(views.Event[int], error) bool) {
		for yield(views.Event[int]{}, nil) {
			pulled++
		}
	}).Body {
		break
	}
	if pulled != 0 {
		t.Errorf("%d more events were pulled", pulled)
	}
}
