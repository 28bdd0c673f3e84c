package views_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/goquintet/quintet/views"
)

func jsonLines(values iter.Seq2[any, error]) views.StreamingResponse {
	return views.StreamingResponse{ContentType: "application/x-ndjson", Body: views.JSONLines(values)}
}

func TestJSONLines_WritesEachValueOnALineOfItsOwn(t *testing.T) {
	t.Parallel()
	values := []any{
		map[string]any{"text": "two\nlines\r\n\u2028"}, []int{1, 2}, "x", 1.5, nil,
		json.RawMessage("{\n  \"raw\": [\n1]}"), (*sale)(nil),
	}
	recorder, err := respond(t, nil, jsonLines(rows(values...)))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(recorder.Body.String(), "\n"), "\n")
	if len(lines) != len(values) {
		t.Fatalf("%d lines of %d values: %q", len(lines), len(values), lines)
	}
	for i, line := range lines {
		want, err := json.Marshal(values[i])
		if err != nil || strings.TrimSuffix(line, "\n") != string(want) {
			t.Errorf("line %d is %q, want %q, %v", i, line, want, err)
		}
	}
	recorder, err = respond(t, nil, jsonLines(rows[any]()))
	if err != nil || recorder.Body.Len() != 0 || recorder.Header().Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("no value: %q, %v", recorder.Body, err)
	}
}

func TestJSONLines_AnErrorAtOnceIsAnOrdinaryError(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]iter.Seq2[any, error]{
		"of the sequence": func(yield func(any, error) bool) { yield(nil, errBroken) },
		"of a value":      rows[any](math.Inf(1)),
	} {
		recorder, err := respond(t, nil, jsonLines(values))
		if err == nil || views.StatusOf(err) != http.StatusInternalServerError {
			t.Errorf("%s: %v", name, err)
		}
		wantNothingSent(t, recorder)
	}
}

// The client has got whole lines, and sees that they are not all.
func TestJSONLines_AnErrorInTheMiddleBreaksOffBehindAWholeLine(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]struct {
		value any
		err   error
	}{"of the sequence": {nil, errBroken}, "of a value": {make(chan int), nil}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stream(t, &life{}, jsonLines(func(yield func(any, error) bool) {
				_ = yield(1, nil) && yield(2, nil) && yield(last.value, last.err)
			}))
			lines := bufio.NewReader(s.get(t).Body)
			for _, want := range []string{"1\n", "2\n"} {
				if line, err := lines.ReadString('\n'); line != want || err != nil {
					t.Errorf("read %q, %v, want %q", line, err, want)
				}
			}
			if rest, err := io.ReadAll(lines); err == nil || len(rest) > 0 {
				t.Errorf("then %q, %v, want a broken body", rest, err)
			}
			if end := <-s.over; last.err != nil && !errors.Is(end.err, last.err) || last.err == nil && !strings.Contains(end.err.Error(), "JSONLines: encode chan int") {
				t.Errorf("ended with %v", end)
			}
		})
	}
}

func TestJSONLines_StopsWhenItIsRefused(t *testing.T) {
	t.Parallel()
	asked := 0
	for range views.JSONLines(func(yield func(int, error) bool) {
		for asked++; yield(asked, nil); asked++ {
			continue
		}
	}) {
		if asked == 3 {
			break
		}
	}
	if asked != 3 {
		t.Errorf("%d values were asked for", asked)
	}
}
