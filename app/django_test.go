package app_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/views"
)

// Tests of Django that are about the life of a request, with ours' outcome where
// that differs. The rest of its handlers' tests are cited where they fit best.

// leavesEarly sends a request and goes when the view is inside.
func leavesEarly(t *testing.T, s *stage, inside <-chan struct{}) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.server.URL, strings.NewReader("name=ada"))
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		response, err := s.server.Client().Do(request)
		if err == nil {
			_ = response.Body.Close()
			t.Error("the client was answered")
		}
	}()
	<-inside
	leave()
	<-left
}

// tests/asgi/tests.py::ASGITest::test_asyncio_cancel_error and
// test_delayed_disconnect_with_body (ST-017, ST-020): a disconnect before the view
// returns cancels the view, no response is sent, and request_finished fires once.
func TestASGI_DisconnectBeforeTheViewReturns(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		inside := make(chan struct{})
		s := play(t, anyHost(), app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
			if _, err := readsBody(r); err != nil { // or net/http does not see the client leave
				return nil, err
			}
			close(inside)
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}).over(proto)
		leavesEarly(t, s, inside)
		event := s.finished.Wait(1)[0]
		if event.Status != 0 || event.Bytes != 0 || !errors.Is(event.Err, context.Canceled) {
			t.Errorf("%s: RequestFinished says %d, %d bytes, %v", proto, event.Status, event.Bytes, event.Err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		equal(t, "ends", len(s.finished.Events()), 1)
		equal(t, "failures", len(s.failed.Events()), 0)
		line := s.journal.entries(t, "request")[0]
		equal(t, "the level", line["level"].(string), "INFO")
	}
}

// test_cancel_post_request_with_sync_processing (ST-019): a running view is not
// interrupted by a disconnect, and still has its body.
func TestASGI_CancelPostRequestWithSyncProcessing(t *testing.T) {
	t.Parallel()
	inside, goOn := make(chan struct{}), make(chan struct{})
	finished := false
	s := play(t, anyHost(), app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
		close(inside)
		<-goOn
		body, err := io.ReadAll(r.Body)
		finished = string(body) == "name=ada"
		return views.Text{}, err
	})}).over("HTTP/1.1")
	leavesEarly(t, s, inside)
	close(goOn)
	s.finished.Wait(1)
	equal(t, "the view ran to its end", finished, true)
}

// test_disconnect and test_disconnect_with_body (HD-018): the client leaves before
// the body is complete. Django reads the whole body first, and runs nothing;
// here the view runs, its reading fails, nothing is sent, and request_finished
// fires all the same (GP-049: not in Django).
func TestASGI_DisconnectWithBody(t *testing.T) {
	t.Parallel()
	inside := make(chan struct{})
	s := play(t, anyHost(), app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
		close(inside)
		return readsBody(r)
	})}).over("HTTP/1.1")
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", s.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	<-inside
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	event := s.finished.Wait(1)[0]
	if event.Status != 0 || !errors.Is(event.Err, views.ErrClientGone) || !errors.Is(event.Err, io.ErrUnexpectedEOF) || len(s.failed.Events()) != 0 {
		t.Errorf("RequestFinished says %d, %v; %d failures", event.Status, event.Err, len(s.failed.Events()))
	}
}

// A body that is malformed is the client's mistake, and the client is told.
func TestBody_Malformed(t *testing.T) {
	t.Parallel()
	s := play(t, anyHost(), app.Options{Routes: oneRoute(readsBody)}).over("HTTP/1.1")
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", s.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 400" {
		t.Errorf("the answer begins with %q, %v", answer, err)
	}
	s.finished.Wait(1)
	equal(t, "failures", len(s.failed.Events()), 0)
}

// test_request_too_big_request_error (HD-028): a request that is too big still
// fires request_finished exactly once.
func TestASGI_RequestTooBigRequestError(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.MaxBody = 2
	s := play(t, settings, app.Options{Routes: oneRoute(readsBody)}).over("HTTP/1.1")
	status, _, err := s.fetch(t, "POST", "/", strings.NewReader("too much"))
	if status != 413 || err != nil {
		t.Errorf("got %d, %v", status, err)
	}
	s.finished.Wait(1)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	equal(t, "starts", len(s.started.Events()), 1)
	equal(t, "ends", len(s.finished.Events()), 1)
}

// tests/test_client/tests.py::ClientTest::test_exc_info and test_exc_info_none
// (HD-042, HD-043): the error is kept with the response, and none without one.
func TestClient_ExcInfo(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]error{errScene: errScene, views.ErrNotFound: nil, nil: nil} {
		s := play(t, anyHost(), app.Options{Routes: oneRoute(func(*views.Request) (views.Response, error) { return views.NoContent{}, err })})
		get(s, "/")
		if got := s.finished.Events()[0].Err; got != want { //nolint:errorlint // the very one
			t.Errorf("a view that returns %v leaves %v", err, got)
		}
	}
}

// tests/servers/tests.py::LiveServerViews (ST-022, ST-023): Django's server closes
// the connection of an answer whose length it does not know. Ours does not need to:
// HTTP/1.1 has chunks, and a stream that ends in order leaves the connection open.
func TestLiveServerViews_KeepAlive(t *testing.T) {
	t.Parallel()
	s := play(t, anyHost(), app.Options{Routes: func(s *app.Site) {
		s.GET("/stream", stream(2, nil))
		s.GET("/text", text("in"))
	}})
	var opened atomic.Int32
	s.server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.over("HTTP/1.1")
	for range 2 {
		for _, path := range []string{"/stream", "/text"} {
			if status, _, err := s.fetch(t, "GET", path, nil); status != 200 || err != nil {
				t.Errorf("%s: %d, %v", path, status, err)
			}
		}
	}
	equal(t, "connections", opened.Load(), 1)
}
