package demo_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// maxConnections is what the streams share.
const maxConnections = 4

// TestFiveHundredSlowStreamsShareFourConnections is the promise, on PostgreSQL and
// through a real server: 500 clients have the headers of a stream that has made a
// query, and none of them holds a connection, whatever CONN_MAX_AGE says.
func TestFiveHundredSlowStreamsShareFourConnections(t *testing.T) {
	const streams, chunks = 500, 20
	for name, age := range map[string]time.Duration{"0": 0, "60": time.Minute, "null": db.Forever} {
		t.Run("CONN_MAX_AGE "+name, func(t *testing.T) { // one after the other: each is a crowd
			slow := startSlow(t, func(s *db.Settings) { s.ConnMaxAge = age })
			answers := slow.read(t, streams, fmt.Sprintf("/slow?chunks=%d&delay=50ms", chunks))
			for range streams {
				if answer := <-answers.begun; answer != nil {
					t.Fatal(answer)
				}
			}

			// All have their headers, and not one can end yet.
			for range 20 {
				for _, wrong := range slow.look(t, nobody) {
					t.Error(wrong)
				}
			}
			ordinary := slow.readAll(t, 50, "/sales/")
			for range 20 {
				for _, wrong := range slow.look(t, ordinaryRequests) {
					t.Error(wrong)
				}
			}
			for range 50 {
				if err := <-ordinary; err != nil {
					t.Errorf("a page beside the streams: %v", err)
				}
			}

			slow.network.open() // now the chunks flow
			for range 20 {
				for _, wrong := range slow.look(t, nobody) {
					t.Error(wrong)
				}
			}
			for range streams {
				answer := <-answers.ended
				if answer.err != nil || strings.Count(answer.body, "\n") != chunks || !strings.HasSuffix(answer.body, "chunk 20 of 20 about 8 regions\n") {
					t.Fatalf("a stream ended with %v after %q", answer.err, answer.body)
				}
			}
		})
	}
}

// TestStreamsThatKeepTheirConnectionsAreFound shows that the test above can fail: the
// same streams, saying KeepConnection, take all there is, and everybody else is
// refused.
func TestStreamsThatKeepTheirConnectionsAreFound(t *testing.T) {
	t.Parallel()
	slow := startSlow(t, func(s *db.Settings) { s.AcquireTimeout, s.ConnectTimeout = time.Second, time.Second })
	answers := slow.read(t, maxConnections, "/slow?keep=yes")
	for range maxConnections {
		if answer := <-answers.begun; answer != nil {
			t.Fatal(answer)
		}
	}
	wrong := strings.Join(slow.look(t, nobody), "\n")
	for _, want := range []string{"4 connections in use", "GET /slow holds a connection and streams"} {
		if !strings.Contains(wrong, want) {
			t.Errorf("nobody saw %q:\n%s", want, wrong)
		}
	}
	if err := <-slow.readAll(t, 1, "/sales/"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a page without a connection: %v, want status 503", err)
	}
	slow.network.open()
	for range maxConnections {
		if answer := <-answers.ended; answer.err != nil {
			t.Error(answer.err)
		}
	}
	if wrong := slow.look(t, nobody); wrong != nil {
		t.Errorf("after the streams: %q", wrong)
	}
}

// slowSite is the demo on PostgreSQL behind a network of our own.
type slowSite struct {
	site     *app.Site
	settings db.Settings
	network  *stalling
	client   *http.Client
	url      string
}

func startSlow(t *testing.T, change func(*db.Settings)) *slowSite {
	t.Helper()
	settings := filled.Database(t, dbtest.Postgres)
	settings.MaxConnections = maxConnections
	settings.AcquireTimeout = 5 * time.Minute // of a crowd on a small and busy machine
	change(&settings)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &slowSite{
		site: newSite(t, settings), settings: settings, network: &stalling{Listener: listener, opened: make(chan struct{})},
		client: &http.Client{Transport: &http.Transport{}}, url: "http://" + listener.Addr().String(),
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.site.Serve(ctx, s.network) }()
	t.Cleanup(func() {
		s.network.open()
		s.client.CloseIdleConnections()
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

// stalling is a network on which streams come to a halt: after the first chunk of
// /slow nothing more arrives until it is opened.
type stalling struct {
	net.Listener
	once   sync.Once
	opened chan struct{}
}

func (s *stalling) open() { s.once.Do(func() { close(s.opened) }) }

func (s *stalling) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	return &stallingConn{Conn: conn, opened: s.opened}, err
}

type stallingConn struct {
	net.Conn
	opened <-chan struct{}
}

func (c *stallingConn) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "chunk 2 of") {
		<-c.opened
	}
	return c.Conn.Write(b)
}

// answers are what clients see: begun gets nil for each that has its headers and
// its first line.
type answers struct {
	begun chan error
	ended chan answer
}

type answer struct {
	body string
	err  error
}

// read starts n clients that read a stream.
func (s *slowSite) read(t *testing.T, n int, target string) answers {
	t.Helper()
	a := answers{begun: make(chan error, n), ended: make(chan answer, n)}
	for range n {
		go func() {
			response, err := s.get(t.Context(), target)
			if err != nil {
				a.begun <- err
				a.ended <- answer{err: err}
				return
			}
			defer response.Body.Close()
			body := bufio.NewReader(response.Body)
			first, err := body.ReadString('\n')
			a.begun <- err
			rest, err := io.ReadAll(body)
			a.ended <- answer{first + string(rest), err}
		}()
	}
	return a
}

// readAll starts n clients that read a page, and returns what went wrong with each.
func (s *slowSite) readAll(t *testing.T, n int, target string) <-chan error {
	t.Helper()
	errs := make(chan error, n)
	for range n {
		go func() {
			response, err := s.get(t.Context(), target)
			if err == nil {
				_, err = io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
			errs <- err
		}()
	}
	return errs
}

func (s *slowSite) get(ctx context.Context, target string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+target, nil)
	if err != nil {
		return nil, err
	}
	response, err := s.client.Do(r)
	if err == nil && response.StatusCode != http.StatusOK {
		response.Body.Close()
		err = fmt.Errorf("status %s", response.Status)
	}
	return response, err
}

// expectation is who may hold a connection.
type expectation bool

const (
	nobody           expectation = false
	ordinaryRequests expectation = true
)

// look takes one sample from both sides and says what is wrong in it.
func (s *slowSite) look(t *testing.T, allowed expectation) (wrong []string) {
	t.Helper()
	stats, holders := s.site.Connections().Stats(db.DefaultAlias), s.site.Connections().Holders()
	if stats.InUse > 0 && allowed == nobody {
		wrong = append(wrong, fmt.Sprintf("%d connections in use: %v", stats.InUse, holders))
	}
	for _, h := range holders {
		if h.Streaming {
			wrong = append(wrong, fmt.Sprintf("%s holds a connection and streams", h.Name))
		}
	}
	if backends := dbtest.Backends(t, s.settings); len(backends) > maxConnections {
		wrong = append(wrong, fmt.Sprintf("the server sees %d connections, want at most %d", len(backends), maxConnections))
	}
	return wrong
}
