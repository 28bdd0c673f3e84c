package pool_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

func slow(said *log) func(*pool.Config) {
	return func(c *pool.Config) {
		c.SlowStatement, c.Logger = time.Second, slog.New(aware{slog.NewTextHandler(said, nil)})
	}
}

func TestSlowStatement_IsTheTimeInTheDatabase(t *testing.T) {
	var said log
	bubble(t, &network{}, slow(&said), func(t *testing.T, p *pool.Pool) {
		ctx := context.WithValue(context.Background(), request{}, "r-1")
		l := acquire(t, p, of(&owner{"GET /"}))
		exec := func(query string) {
			if err := runWith(ctx, l, query); err != nil {
				t.Error(err)
			}
		}
		exec("sleep 999ms")
		exec("select 'secret'")
		rows := rowsOf(t, l, "rows")
		rows.Next()
		time.Sleep(time.Hour) // its caller's affair
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
		if err := rows.Err(); err != nil {
			t.Error(err)
		}
		expect(t, "lines of what is not slow", said.count("msg="), 0)

		for range 1000 {
			exec("sleep 1000ms")
		}
		if n := said.count("a statement is slow"); n != 17 {
			t.Errorf("%d lines in 1000 seconds, want one a minute", n)
		}
		line := said.entries()[0]
		for _, part := range []string{"level=WARN", "alias=default", `holder="GET /"`, `statement="sleep ?"`, "duration=1s", "rows=0", "at=pool/slow_test.go:", "request_id=r-1"} {
			if !strings.Contains(line, part) {
				t.Errorf("it does not say %s: %s", part, line)
			}
		}
		expect(t, "lines with how many were left out", said.count("repeated=59"), 16)
		giveBack(l)

		// The wait for a connection is none of it.
		var leases []*pool.Lease
		for range 5 {
			leases = append(leases, acquire(t, p))
		}
		var waited sync.WaitGroup
		before := said.count("msg=")
		waited.Go(func() {
			if err := use(p, "select"); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(4 * time.Second)
		for _, l := range leases {
			giveBack(l)
		}
		waited.Wait()
		expect(t, "lines of who has waited", said.count("msg=")-before, 0)
		expect(t, "values", said.count("secret"), 0)
	})
}

func TestSlowStatement_TwoPlacesAreTwoLines(t *testing.T) {
	var said log
	bubble(t, &network{}, slow(&said), func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		var place string
		for range 3 {
			_, err := l.ExecContext(l.Statement(context.Background(), pool.Here(0), nil), "sleep 2s")
			_, other := l.ExecContext(l.Statement(context.Background(), pool.Here(0), nil), "sleep 2s")
			place = line(t)
			if err != nil || other != nil {
				t.Error(err, other)
			}
		}
		expect(t, "lines", said.count("a statement is slow"), 2)
		for i, entry := range said.entries() {
			if want := "at=" + near(t, place, i-2); !strings.Contains(entry, want) {
				t.Errorf("%s: the place is not %s", entry, want)
			}
		}
		giveBack(l)
	})
}

func TestSlowStatement_OneThatFailsHasNoRows(t *testing.T) {
	var said log
	bubble(t, &network{}, slow(&said), func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		expectError(t, "a statement that is cancelled", runWith(ctx, l, "hang 'secret'"), context.DeadlineExceeded)
		if line := said.last(); !strings.Contains(line, "is slow") || strings.Contains(line, "rows=") || strings.Contains(line, "secret") {
			t.Errorf("it is told as %s", line)
		}
		giveBack(l)
	})
}

func TestSlowStatement_NeverIsNever(t *testing.T) {
	for name, d := range map[string]time.Duration{"zero": 0, "forever": pool.Forever} {
		t.Run(name, func(t *testing.T) {
			var said log
			change := func(c *pool.Config) { slow(&said)(c); c.SlowStatement = d }
			bubble(t, &network{}, change, func(t *testing.T, p *pool.Pool) {
				if err := use(p, "sleep 1h"); err != nil {
					t.Error(err)
				}
				expect(t, "lines", said.count("msg="), 0)
			})
		})
	}
}
