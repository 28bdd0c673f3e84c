package postgres_test

import (
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/signals/hub"
)

// openPool opens connections that are closed with the test.
func openPool(t *testing.T, s db.Settings) *db.Connections {
	t.Helper()
	conns, err := db.Open(map[string]db.Settings{"default": s}, db.Options{Engines: []db.Engine{postgres.Engine{}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conns.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return conns
}

func TestListen_ASilentConnectionIsAskedAndOneThatDoesNotAnswerIsReplaced(t *testing.T) {
	t.Parallel()
	srv := running(t)
	s, p := through(t, srv)
	conns := openPool(t, s)
	h := hub.New(t.Context(), postgres.ListenChecking(20*time.Millisecond, 3*time.Second, conns, "default", "silent"))
	seq, err := h.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next, stop := iter.Pull2(seq)
	defer stop()
	asked := p.writes.Load()
	until(t, "it is asked again and again", func() bool { return p.writes.Load() >= asked+3 })
	if s := conns.Stats("default"); s.Opened != 1 || s.Closed != 0 {
		t.Errorf("a connection that answers was replaced: %+v", s)
	}
	p.freeze() // and nobody hears of it
	until(t, "the connection is given up", func() bool { return conns.Stats("default").Closed == 1 })
	p.thaw()
	if _, err, _ := next(); !errors.Is(err, hub.ErrGap) {
		t.Errorf("%v, want a gap", err)
	}
}

// until polls until the condition holds.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	limit := time.After(30 * time.Second)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !condition() {
		select {
		case <-limit:
			t.Fatalf("still not: %s", what)
		case <-again.C:
		}
	}
}
