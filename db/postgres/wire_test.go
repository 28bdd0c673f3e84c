package postgres_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

func TestPing_IsOneRoundTripWithinItsDeadline(t *testing.T) {
	t.Parallel()
	s, p := through(t, running(t))
	d := open(t, s)
	c, err := d.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exec(t, c, "BEGIN")
	if err := tryExec(c, "nonsense"); err == nil {
		t.Fatal("no error")
	}
	if err := d.Ping(t.Context(), c); err != nil {
		t.Errorf("in a failed transaction: %v", err)
	}
	if in, known := d.InTransaction(c); !in || !known {
		t.Errorf("after the ping: in %v, known %v", in, known)
	}
	p.freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := d.Ping(ctx, c); !errors.Is(err, context.DeadlineExceeded) || d.Classify(err) != pool.Lost {
		t.Errorf("frozen: class %d of %v", d.Classify(err), err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %s", took)
	}
	p.thaw()
	closed(t, d, c)
	if err := d.Ping(t.Context(), c); err == nil {
		t.Error("a closed connection answers")
	}
}

func TestInTransaction_IsWhatTheServerSays(t *testing.T) {
	t.Parallel()
	d := open(t, settings(t, running(t)))
	c := connect(t, d)
	check := func(want bool) {
		t.Helper()
		if in, known := d.InTransaction(c); in != want || !known {
			t.Errorf("in %v, known %v; want %v", in, known, want)
		}
	}
	check(false)
	exec(t, c, "/* hidden */ begin")
	check(true)
	if err := tryExec(c, "nonsense"); err == nil {
		t.Fatal("no error")
	}
	check(true)
	exec(t, c, "COMMIT") // which rolls back
	check(false)
}

func TestCancel_StopsTheStatementAndKeepsTheConnection(t *testing.T) {
	t.Parallel()
	srv := running(t)
	for _, way := range []string{"tcp", "unix"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s := settings(t, srv)
			if way == "unix" {
				if s.Host = srv.SocketDir; s.Host == "" {
					t.Skip("the server of another process: its socket is not known")
				}
			}
			d := open(t, s)
			c := connect(t, d)
			pid := backend(t, c)
			ended := make(chan error, 1)
			go func() { ended <- tryExec(c, "SELECT pg_sleep(600)") }()
			awaitRunning(t, srv, "1", application(t))
			if err := d.Cancel(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; d.Classify(err) != pool.Canceled {
				t.Errorf("class %d of %v, want Canceled", d.Classify(err), err)
			}
			if now := backend(t, c); now != pid {
				t.Errorf("backend %s, was %s", now, pid)
			}
		})
	}
}

// PgBouncer's test of its issue 717: a late cancel hits nobody else's statement.
func TestCancel_NeverHitsAStatementSentAfterwards(t *testing.T) {
	t.Parallel()
	d := open(t, settings(t, running(t)))
	c := connect(t, d)
	for i := range 150 {
		var group sync.WaitGroup
		group.Go(func() {
			// it may be cancelled, or be faster
			_ = tryExec(c, "SELECT pg_sleep(0.0005)")
		})
		if err := d.Cancel(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		group.Wait()
		if err := tryExec(c, "SELECT count(*) FROM generate_series(1, 1000)"); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
}

func TestCancel_WaitsNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	s, p := through(t, running(t))
	d := open(t, s)
	c, err := d.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := d.Cancel(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	p.thaw()
	closed(t, d, c)
}

func TestDriver_RefusesConnectionsOfOthers(t *testing.T) {
	t.Parallel()
	d := open(t, settings(t, running(t)))
	var c driver.Conn = foreign{}
	d.Kill(c)
	for what, err := range map[string]error{
		"Peek": d.Peek(c), "Ping": d.Ping(t.Context(), c), "Cancel": d.Cancel(t.Context(), c), "Reset": d.Reset(t.Context(), c),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if _, known := d.InTransaction(c); known {
		t.Error("InTransaction knows")
	}
}

type foreign struct{ driver.Conn }
