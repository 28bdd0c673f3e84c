//go:build unix

package postgres_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/db/postgres/server"
)

func TestPeek_FindsWhatTheServerEnded(t *testing.T) {
	t.Parallel()
	srv := running(t)
	t.Run("terminated", func(t *testing.T) {
		t.Parallel()
		d := open(t, settings(t, srv))
		c := connect(t, d)
		if err := d.Peek(c); err != nil {
			t.Fatalf("while it lives: %v", err)
		}
		terminate(t, srv)
		err := d.Peek(c)
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "57P01" {
			t.Errorf("got %v", err)
		}
		if d.Classify(err) != pool.Lost {
			t.Errorf("class %d", d.Classify(err))
		}
	})
	t.Run("idle for too long", func(t *testing.T) {
		t.Parallel()
		s := settings(t, srv)
		s.Options["idle_session_timeout"] = "1ms"
		d := open(t, s)
		c := connect(t, d)
		await(t, srv, "0", "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", application(t))
		// when it was as quick as that, pgx has read the server's last words already
		if err := d.Peek(c); err == nil || !strings.Contains(err.Error(), "57P05") && !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("reset", func(t *testing.T) {
		t.Parallel()
		s, p := through(t, srv)
		d := open(t, s)
		c := connect(t, d)
		p.reset()
		for d.Peek(c) == nil {
		}
	})
	t.Run("restarted", func(t *testing.T) {
		t.Parallel()
		own, err := server.Start(t.Context(), server.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer own.Stop()
		d := open(t, settings(t, own))
		c := connect(t, d)
		if err := own.Restart(t.Context(), server.Fast); err != nil {
			t.Fatal(err)
		}
		if err := d.Peek(c); err == nil {
			t.Error("nothing found")
		}
	})
	t.Run("given up by pgx", func(t *testing.T) {
		t.Parallel()
		d := open(t, settings(t, srv))
		c := connect(t, d)
		terminate(t, srv)
		if err := tryExec(c, "SELECT 1"); d.Classify(err) != pool.Lost {
			t.Fatalf("got %v", err)
		}
		if err := d.Peek(c); err == nil {
			t.Error("nothing found")
		}
	})
}

func TestPeek_WaitingBytesAreNotDeath(t *testing.T) {
	t.Parallel()
	srv := running(t)
	s, p := through(t, srv)
	d := open(t, s)
	c := connect(t, d)
	exec(t, c, "LISTEN news")
	for range 30 { // more than the peek's buffer holds
		before := p.toClient.Load()
		if err := srv.Exec(t.Context(), "postgres", "NOTIFY news, 'something that happened'"); err != nil {
			t.Fatal(err)
		}
		for p.toClient.Load() == before {
		}
		if err := d.Peek(c); err != nil {
			t.Fatal(err)
		}
	}
	terminate(t, srv)
	for d.Peek(c) == nil {
	}
	if err := d.Peek(c); !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "57P01") {
		t.Errorf("got %v", err)
	}
}

func TestPeek_CostsNoRoundTripAndNoAllocation(t *testing.T) {
	s, p := through(t, running(t))
	d := open(t, s)
	c := connect(t, d)
	sent := p.toServer.Load()
	allocations := testing.AllocsPerRun(1000, func() {
		if err := d.Peek(c); err != nil {
			t.Fatal(err)
		}
	})
	if allocations != 0 {
		t.Errorf("%g allocations", allocations)
	}
	// a message that the server has answered has overtaken whatever a peek had sent
	if err := d.Ping(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got, ping := p.toServer.Load()-sent, int64(len("Q....-- ping.")); got != ping {
		t.Errorf("%d bytes went to the server, and a ping has %d", got, ping)
	}
}

func BenchmarkPeek(b *testing.B) {
	d := open(b, settings(b, running(b)))
	c := connect(b, d)
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Peek(c); err != nil {
			b.Fatal(err)
		}
	}
}
