package postgres_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// deaf is an address that accepts connections and never answers.
func deaf(t *testing.T) (host string, port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return "127.0.0.1", l.Addr().(*net.TCPAddr).Port
}

func TestConnect_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := dbSettings()
	s.Host, s.Port = deaf(t)
	d := open(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := d.Connect(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || d.Transient(err) {
		t.Errorf("transient %v: %v", d.Transient(err), err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestConnect_TriesTheNextHostWithinTheTimeout(t *testing.T) {
	t.Parallel()
	srv := running(t)
	s := settings(t, srv)
	s.ConnectTimeout = 400 * time.Millisecond
	// One port serves for all hosts: the first is an address of the same machine that
	// the server does not listen on, or listens and is deaf.
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.2", strconv.Itoa(srv.Port)))
	if err != nil {
		t.Skipf("no second loopback address: %v", err)
	}
	defer l.Close()
	s.Host = "127.0.0.2," + srv.Host
	s.Options["sslmode"] = "disable"
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	d := open(t, s)
	c, err := d.Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, d, c)
}

func TestConnect_KnowsWhichServerSuits(t *testing.T) {
	t.Parallel()
	s := settings(t, running(t))
	s.Options["target_session_attrs"] = "standby"
	d := open(t, s)
	_, err := d.Connect(t.Context())
	if err == nil || !d.Transient(err) || !strings.Contains(err.Error(), "target_session_attrs") {
		t.Errorf("a primary for a standby: transient %v, %v", d.Transient(err), err)
	}
	for _, attributes := range []string{"read-write", "primary", "any", "prefer-standby"} {
		s.Options["target_session_attrs"] = attributes
		connect(t, open(t, s))
	}
}

func TestConnect_HangsUpWithoutTraceWhenRefused(t *testing.T) {
	t.Parallel()
	srv := running(t)
	s := settings(t, srv)
	s.Name = "no such database"
	if _, err := open(t, s).Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "3D000") {
		t.Errorf("got %v", err)
	}
	if n := backends(t, srv, application(t)); n != 0 {
		t.Errorf("%d backends", n)
	}
}
