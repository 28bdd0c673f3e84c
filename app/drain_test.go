package app_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/views"
)

// pipes is a listener without a network, so that a test's clock is its own.
type pipes struct {
	calls  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{calls: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.calls:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// caller is a client that keeps its connection.
type caller struct {
	conn   net.Conn
	answer *bufio.Reader
}

func (p *pipes) call() *caller {
	mine, theirs := net.Pipe()
	p.calls <- theirs
	return &caller{mine, bufio.NewReader(mine)}
}

func (c *caller) get(t *testing.T, path string) *http.Response {
	t.Helper()
	if _, err := io.WriteString(c.conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(c.answer, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response
}

// isClosed waits until the server has closed the connection.
func (c *caller) isClosed(t *testing.T) {
	t.Helper()
	if _, err := c.answer.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection says %v", err)
	}
}

// inBubble serves a site in a bubble of time.
func inBubble(t *testing.T, routes func(*app.Site), test func(t *testing.T, p *pipes, stop func(), ended <-chan error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		settings := anyHost()
		settings.AdminSockets = app.NoAdmin // a socket of the kernel would stop the clock
		site := newSite(t, settings, app.Options{Routes: routes})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		p, ended := newPipes(), make(chan error, 1)
		go func() { ended <- site.Serve(ctx, p) }()
		test(t, p, stop, ended)
	})
}

// A request that is on its way while the site begins to drain is answered: its
// connection is not closed under it. The answer says that it is the last.
func TestServe_AnswersWhatComesOnAKeptConnectionWhileItDrains(t *testing.T) {
	t.Parallel()
	inBubble(t, oneRoute(text("in")), func(t *testing.T, p *pipes, stop func(), ended <-chan error) {
		c := p.call()
		equal(t, "before, it is kept", c.get(t, "/").Close, false)
		stop()
		synctest.Wait() // it drains
		time.Sleep(900 * time.Millisecond)
		last := c.get(t, "/")
		equal(t, "the status", last.StatusCode, 200)
		equal(t, "the last one says so", last.Close, true)
		c.isClosed(t)
		equal(t, "Serve", <-ended, nil)
	})
}

// Who is idle is closed a second after the last answer, one who has been longer at
// once; one who has never said anything gets as long as net/http gives him.
func TestServe_ClosesIdleConnections(t *testing.T) {
	t.Parallel()
	inBubble(t, oneRoute(text("in")), func(t *testing.T, p *pipes, stop func(), ended <-chan error) {
		old := p.call()
		old.get(t, "/")
		time.Sleep(time.Minute)
		young, silent := p.call(), p.call()
		young.get(t, "/")
		begin := time.Now()
		stop()
		old.isClosed(t)
		equal(t, "the old one", time.Since(begin), 0)
		young.isClosed(t)
		equal(t, "the young one", time.Since(begin), time.Second)
		silent.isClosed(t)
		equal(t, "the silent one", time.Since(begin), 5*time.Second)
		equal(t, "Serve", <-ended, nil)
		equal(t, "all of it", time.Since(begin), 5*time.Second)
	})
}

// A connection that the drain finds in mid-answer is not closed before its client
// can know that it will be.
func TestServe_ClosesAConnectionSomeTimeAfterAnAnswerThatDidNotSaySo(t *testing.T) {
	t.Parallel()
	goOn := make(chan func(), 1)
	inBubble(t, func(s *app.Site) {
		s.GET("/", text("in"))
		wait := make(chan struct{})
		goOn <- func() { close(wait) }
		s.GET("/slow", func(*views.Request) (views.Response, error) {
			return respond(func(w http.ResponseWriter, _ *views.Request) error {
				w.Header().Set("Content-Length", "2")
				_ = http.NewResponseController(w).Flush()
				<-wait
				_, err := io.WriteString(w, "ok")
				return err
			}), nil
		})
	}, func(t *testing.T, p *pipes, stop func(), ended <-chan error) {
		c := p.call()
		answered := make(chan bool)
		go func() { answered <- c.get(t, "/slow").Close }()
		synctest.Wait() // its headers are sent
		stop()
		synctest.Wait()
		(<-goOn)()
		equal(t, "the answer says that it is the last", <-answered, false)
		equal(t, "the next one says so", c.get(t, "/").Close, true)
		c.isClosed(t)
		equal(t, "Serve", <-ended, nil)
	})
}

// A site serves TCP beside a unix socket; both drain together.
func TestServeAll_SeveralListenersAreOneServer(t *testing.T) {
	t.Parallel()
	s := play(t, anyHost(), app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
		address, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		return views.Text{Body: address.Network()}, nil
	})})
	var config net.ListenConfig
	tcp, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unix, err := config.Listen(t.Context(), "unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.ServeAll(ctx, tcp, unix) }()
	for _, listener := range []net.Listener{tcp, unix} {
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, listener.Addr().Network(), listener.Addr().String())
		}}
		response, err := (&http.Client{Transport: transport}).Get("http://x/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		transport.CloseIdleConnections()
		if err != nil || string(body) != listener.Addr().Network() {
			t.Errorf("over %s it answers %q, %v", listener.Addr().Network(), body, err)
		}
	}
	stop()
	equal(t, "ServeAll", <-ended, nil)
	if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", tcp.Addr().String()); err == nil {
		t.Error("it still listens")
	}
}

// One listener that fails takes the others with it: half a site is none.
func TestServeAll_EndsWithTheFirstListenerThatFails(t *testing.T) {
	t.Parallel()
	s := play(t, anyHost(), app.Options{})
	var config net.ListenConfig
	var listeners []net.Listener
	for range 2 {
		listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, listener)
	}
	if err := listeners[1].Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.ServeAll(t.Context(), listeners...); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ServeAll returned %v", err)
	}
	if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", listeners[0].Addr().String()); err == nil {
		t.Error("the other one still listens")
	}
}

// While the site drains, no stream starts, and nothing else is refused.
func TestServe_StartsNoStreamWhileItDrains(t *testing.T) {
	t.Parallel()
	inside, goOn := make(chan struct{}), make(chan struct{})
	s := serve(t, anyHost(), app.Options{Routes: func(s *app.Site) {
		s.GET("/late", func(r *views.Request) (views.Response, error) {
			close(inside)
			<-goOn
			return untilTold(r)
		})
		s.GET("/told", untilTold)
	}})
	type answer struct {
		status int
		retry  string
		err    error
	}
	answers := make(chan answer, 1)
	_, _ = s.opens(t, "/told")
	http1 := client(t)
	go func() {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/late", nil)
		if err != nil {
			answers <- answer{err: err}
			return
		}
		response, err := http1.Do(request)
		if err != nil {
			answers <- answer{err: err}
			return
		}
		_ = response.Body.Close()
		answers <- answer{response.StatusCode, response.Header.Get("Retry-After"), nil}
	}()
	<-inside
	s.stop()
	s.finished.Wait(1) // the told one: the drain has begun
	close(goOn)
	got := <-answers
	if got.status != 503 || got.retry == "" || got.err != nil {
		t.Errorf("the late stream is answered with %+v", got)
	}
	if err := s.ended(t); err != nil {
		t.Errorf("Serve returned %v", err)
	}
}

// An EventSource that comes while the site drains is to come again: it takes a 503 for
// the end of all, and a stream that is over for a reason to connect again.
func TestServe_AnEventSourceComesAgain(t *testing.T) {
	t.Parallel()
	inside, goOn := make(chan struct{}), make(chan struct{})
	s := serve(t, anyHost(), app.Options{Routes: func(s *app.Site) {
		s.GET("/late", func(*views.Request) (views.Response, error) {
			close(inside)
			<-goOn
			return views.Events(func(yield func(views.Event[string], error) bool) { t.Error("the generator runs") }), nil
		})
		s.GET("/told", untilTold)
	}})
	_, _ = s.opens(t, "/told")
	answered := make(chan *http.Response)
	go func() {
		defer close(answered)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/late", nil)
		if err != nil {
			t.Error(err)
			return
		}
		request.Header.Set("Accept", "text/event-stream")
		response, err := client(t).Do(request)
		if err != nil {
			t.Error(err)
			return
		}
		answered <- response
	}()
	<-inside
	s.stop()
	s.finished.Wait(1) // the told one: the drain has begun
	close(goOn)
	response, ok := <-answered
	if !ok {
		return
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" || !response.Close ||
		response.Header.Get("Retry-After") != "" || !strings.HasPrefix(string(body), ": ") || err != nil {
		t.Errorf("it is answered with %d %v %q, %v", response.StatusCode, response.Header, body, err)
	}
	if err := s.ended(t); err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if event := s.finished.Wait(2)[1]; !errors.Is(event.Err, app.ErrShutdown) || s.Stats().RefusedStreams != 1 || len(s.failed.Events()) != 0 {
		t.Errorf("it ended with %v", event.Err)
	}
}
