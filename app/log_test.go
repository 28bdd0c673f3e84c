package app_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
)

// HD-039, HD-040, HD-046, tests/logging_tests/tests.py: one line for each request,
// whose level follows the status.
func TestLog_OneLineForEachRequest(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		s := play(t, withDatabase(database), app.Options{Routes: func(s *app.Site) {
			s.GET("/text/{id}", afterQuery(views.Text{Body: "hello"}, nil))
			s.GET("/stream", stream(1, nil))
			s.GET("/late", stream(1, fails))
			s.GET("/fails", afterQuery(nil, errScene))
			s.GET("/forbidden", afterQuery(nil, views.ErrPermission))
		}}).over("HTTP/1.1")
		for i, test := range []struct{ path, line string }{
			{"/text/7", `bytes=5 level=INFO method=GET path=/text/7 queries=1 route=GET /text/{id} status=200`},
			{"/stream", `bytes=8 level=INFO method=GET path=/stream queries=2 route=GET /stream status=200 stream=true`},
			{"/late", `aborted=true bytes=8 err=the scene fails level=ERROR method=GET path=/late queries=2 route=GET /late status=200 stream=true`},
			{"/fails", `bytes=26 err=the scene fails level=ERROR method=GET path=/fails queries=1 route=GET /fails status=500`},
			{"/forbidden", `bytes=14 err=views: 403 forbidden level=WARN method=GET path=/forbidden queries=1 route=GET /forbidden status=403`},
			{"/nothing", `bytes=14 level=WARN method=GET path=/nothing queries=0 route= status=404`},
		} {
			_, _, _ = s.fetch(t, "GET", test.path, nil) // one is broken off
			lines := s.journal.wait(t, "request", i+1)
			if len(lines) != i+1 {
				t.Fatalf("%s has %d lines", test.path, len(lines)-i)
			}
			line := lines[i]
			equal(t, test.path, brief(line), test.line)
			if line["client"] != "127.0.0.1" || line["request_id"] == "" || line["duration"].(float64) <= 0 {
				t.Errorf("%s: the line is %v", test.path, line)
			}
			if took := line["db"].(float64) > 0; took != (test.path != "/nothing") {
				t.Errorf("%s: the time in the database is %v", test.path, line["db"])
			}
		}
	})
}

func TestLog_APanicHasItsStack(t *testing.T) {
	t.Parallel()
	s := play(t, anyHost(), app.Options{Routes: oneRoute(func(*views.Request) (views.Response, error) { panic("oops") })})
	get(s, "/")
	panics := s.journal.entries(t, "app: panic")
	if len(panics) != 1 || !strings.Contains(panics[0]["stack"].(string), "log_test.go:") || panics[0]["route"] != "GET /" {
		t.Errorf("the panic is told as %v", panics)
	}
	failed := s.failed.Events()
	if len(failed) != 1 || !bytes.Contains(failed[0].Stack, []byte("log_test.go:")) {
		t.Errorf("RequestFailed was sent as %v", failed)
	}
	equal(t, "the lines", len(s.journal.entries(t, "request")), 1)
}

func TestLog_Level(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.LogLevel = slog.LevelWarn
	s := play(t, settings, app.Options{Routes: oneRoute(text("in"))})
	get(s, "/")
	get(s, "/nothing")
	if lines := s.journal.entries(t, "request"); len(lines) != 1 || lines[0]["path"] != "/nothing" {
		t.Errorf("the lines are %v", lines)
	}
}

// ST-026, tests/servers/test_basehttp.py::test_broken_pipe_errors: a client that
// hangs up is no error.
func TestLog_AClientThatLeaves(t *testing.T) {
	t.Parallel()
	s := play(t, anyHost(), app.Options{Routes: func(s *app.Site) { s.GET("/scene", stream(1, waits)) }}).over("HTTP/1.1")
	leaves("GET")(t, s)
	s.finished.Wait(1)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	line := s.journal.entries(t, "request")[0]
	if line["level"] != "INFO" || !strings.Contains(line["err"].(string), "the client has gone") {
		t.Errorf("the line is %v", line)
	}
}

func TestLog_AReceiverThatFails(t *testing.T) {
	t.Parallel()
	s := play(t, anyHost(), app.Options{Routes: oneRoute(text("in"))})
	s.Bus().RequestFinished.ConnectOnce("audit", func(context.Context, signals.RequestFinished) error { return errScene })
	get(s, "/")
	if told := s.journal.entries(t, "app: a receiver fails"); len(told) != 1 || told[0]["receiver"] != "audit" ||
		told[0]["signal"] != "RequestFinished" || told[0]["err"] != "the scene fails" {
		t.Errorf("it is told as %v", told)
	}
}

func TestLog_AnUIDThatIsTaken(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.Debug, settings.LogLevel = true, slog.LevelDebug
	s := play(t, settings, app.Options{})
	for range 2 {
		s.Bus().RequestFinished.ConnectOnce("audit", func(context.Context, signals.RequestFinished) error { return nil })
	}
	if told := s.journal.entries(t, "app: a uid is taken; nothing was connected"); len(told) != 1 || told[0]["uid"] != "audit" ||
		!strings.Contains(told[0]["second"].(string), "log_test.go:") {
		t.Errorf("it is told as %v", told)
	}
}

// What a raw handler still reads from while it answers is named, once.
func TestLog_AHandlerThatHoldsItsRows(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		s := play(t, withDatabase(database), app.Options{})
		wrapped := s.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rows, err := db.From(r.Context()).QueryContext(r.Context(), "SELECT 1 UNION ALL SELECT 2")
			if err != nil {
				panic(err)
			}
			defer func() { _ = rows.Close() }()
			for rows.Next() {
				_, _ = w.Write([]byte("row\n"))
			}
			if err := rows.Err(); err != nil {
				panic(err)
			}
		}))
		equal(t, "the answer", get(wrapped, "/raw").Body.String(), "row\nrow\n")
		told := s.journal.entries(t, "app: the response begins while a connection is held")
		if len(told) != 1 || told[0]["route"] != "/raw" || !strings.HasPrefix(told[0]["at"].(string), "app/log_test.go:") {
			t.Errorf("it is told as %v", told)
		}
		equal(t, "held responses", s.Stats().HeldResponses, 1)
		s.atHome(t)
	})
}
