package pool_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

func TestLateUse_NamesWhereItIsUsedAndWhereItWasReleased(t *testing.T) {
	var said log
	change := func(c *pool.Config) { c.Logger = slog.New(aware{slog.NewTextHandler(&said, nil)}) }
	bubble(t, &network{}, change, func(t *testing.T, p *pool.Pool) {
		ctx := context.WithValue(context.Background(), request{}, "r-1")
		l := acquire(t, p, of(&owner{"GET /late"}))
		l.Release("released", pool.Here(0), false)
		released := line(t)
		for range 1000 {
			expectError(t, "its use", runWith(ctx, l, "select 'secret'"), pool.ErrReleased)
		}
		expect(t, "lines", said.count("is used after its release"), 1)
		for _, part := range []string{
			"level=WARN", "alias=default", `holder="GET /late"`, "released=" + near(t, released, -1),
			"at=" + near(t, released, 2), "taken=pool/fake_test.go:", "reason=released", "request_id=r-1",
		} {
			if !strings.Contains(said.last(), part) {
				t.Errorf("it does not say %s: %s", part, said.last())
			}
		}
		time.Sleep(time.Minute)
		expectError(t, "its use", func() error { return runWith(ctx, l, "select 'secret'") }(), pool.ErrReleased)
		expect(t, "lines of two places", said.count("is used after its release"), 2)
		expect(t, "values", said.count("secret"), 0)
	})
}

// Rows that are read on are a use; what was taken away was told then.
func TestLateUse_OfRowsAndOfWhatWasTakenAway(t *testing.T) {
	var said log
	change := func(c *pool.Config) {
		c.Logger, c.HoldLimit = slog.New(slog.NewTextHandler(&said, nil)), 10*time.Second
	}
	bubble(t, &network{}, change, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		rows := rowsOf(t, l, "rows 'secret'")
		rows.Next()
		giveBack(l)
		synctest.Wait()
		for rows.Next() {
			t.Error("there is another row")
		}
		expectError(t, "the rows", rows.Err(), pool.ErrReleased)
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
		expect(t, "lines", said.count("is used after its release"), 1)
		if line := said.last(); !strings.Contains(line, "at=pool/late_test.go:") || !strings.Contains(line, "released=pool/late_test.go:") {
			t.Errorf("it is told as %s", line)
		}
		expect(t, "values", said.count("secret"), 0)

		l = acquire(t, p)
		time.Sleep(11 * time.Second)
		expectError(t, "the use of what was taken away", run(l, "select"), pool.ErrHoldLimit)
		expect(t, "lines", said.count("is used after its release"), 1)
		expect(t, "lines about taking it", said.count("is taken away"), 1)
	})
}

// A thousand requests that all forget to close their rows are one line.
func TestRelease_TellsOfALeakOnceAMinute(t *testing.T) {
	var said log
	change := func(c *pool.Config) { c.Logger = slog.New(slog.NewTextHandler(&said, nil)) }
	bubble(t, &network{}, change, func(t *testing.T, p *pool.Pool) {
		for range 1000 {
			l := acquire(t, p)
			rows := rowsOf(t, l, "rows 'secret'")
			giveBack(l)
			if err := rows.Err(); err != nil {
				t.Error(err)
			}
		}
		expect(t, "lines", said.count("released with something open"), 1)
		expect(t, "leaks that are counted", p.Stats().Leaked, 1000)
		expect(t, "values", said.count("secret"), 0)
	})
}
