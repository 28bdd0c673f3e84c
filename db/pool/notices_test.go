package pool_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// entries are the lines that are logged.
func (l *log) entries() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSuffix(l.text.String(), "\n"), "\n")
}

func (l *log) last() string { e := l.entries(); return e[len(e)-1] }

func notices(l *log, level slog.Level) *pool.Notices {
	return &pool.Notices{Logger: slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: level}))}
}

func tellOf(n *pool.Notices, message, at, of string) {
	n.Tell(context.Background(), slog.LevelWarn, pool.Notice{Message: message, At: at, Of: of}, func() []slog.Attr {
		return []slog.Attr{slog.String("what", "more")}
	})
}

func TestNotices_EachOneOnceAMinuteWithHowManyWereLeftOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said log
		n := notices(&said, slog.LevelInfo)
		for range 1000 {
			tellOf(n, "slow", "a.go:1", "")
		}
		expect(t, "lines of a thousand", said.count("msg=slow"), 1)
		if line := said.last(); !strings.Contains(line, "level=WARN msg=slow what=more at=a.go:1") || strings.Contains(line, "repeated") {
			t.Errorf("the first is %s", line)
		}
		tellOf(n, "slow", "b.go:1", "")
		tellOf(n, "idle", "a.go:1", "")
		tellOf(n, "idle", "a.go:1", "GET /")
		expect(t, "lines of two places, two messages, two holders", said.count("msg="), 4)
		time.Sleep(time.Minute - time.Nanosecond)
		tellOf(n, "slow", "a.go:1", "")
		expect(t, "lines before the minute is over", said.count("msg="), 4)
		time.Sleep(time.Nanosecond)
		tellOf(n, "slow", "a.go:1", "")
		expect(t, "lines after it", said.count("msg="), 5)
		if line := said.last(); !strings.HasSuffix(line, "at=a.go:1 repeated=1000") {
			t.Errorf("the second is %s", line)
		}
		tellOf(n, "slow", "b.go:1", "")
		if line := said.last(); !strings.HasSuffix(line, "at=b.go:1") {
			t.Errorf("of the other place, which was not repeated: %s", line)
		}
		time.Sleep(time.Minute)
		tellOf(n, "slow", "a.go:1", "")
		if line := said.last(); !strings.HasSuffix(line, "at=a.go:1") {
			t.Errorf("nothing was left out since then: %s", line)
		}
	})
}

func TestNotices_ManyPlacesTakeBoundedMemoryAndLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said log
		n := notices(&said, slog.LevelInfo)
		at := func(i int) string { return fmt.Sprintf("a.go:%d", i) }
		for i := range 10 * pool.MostNotices {
			tellOf(n, "slow", at(i), "")
		}
		expect(t, "lines of ten times as many", said.count("msg=slow"), pool.MostNotices+1)
		expect(t, "the one of all the others has a place", strings.HasSuffix(said.last(), "at="+at(pool.MostNotices)), true)
		tellOf(n, "slow", at(0), "")
		expect(t, "lines after a known one", said.count("msg=slow"), pool.MostNotices+1)
		time.Sleep(time.Minute)
		// Each of the others makes an old one leave.
		for i := range 10 {
			tellOf(n, "slow", at(2*pool.MostNotices+i), "")
		}
		expect(t, "lines a minute later", said.count("msg=slow"), pool.MostNotices+11)
		tellOf(n, "slow", at(pool.MostNotices-1), "")
		expect(t, "one of the younger ones is still known", said.count("msg=slow"), pool.MostNotices+12)
		for i := range 10 * pool.MostNotices {
			tellOf(n, "slow", at(20*pool.MostNotices+i), "")
		}
		// All but these eleven made room, and the rest is one.
		expect(t, "lines of two minutes", said.count("msg=slow"), 2*(pool.MostNotices+1))
		expect(t, "lines that say how many there were elsewhere", said.count("elsewhere="), 1)
		expect(t, "the number", said.count(fmt.Sprintf("elsewhere=%d", 9*pool.MostNotices-1)), 1)
	})
}

// Not parallel: it counts what the process allocates.
func TestNotices_WhatNobodyWantsToReadIsNotCounted(t *testing.T) {
	var said log
	n := notices(&said, slog.LevelError)
	asked := false
	ctx, notice, attrs := context.Background(), pool.Notice{Message: "slow", At: "a.go:1"}, func() []slog.Attr { asked = true; return nil }
	expect(t, "allocations", testing.AllocsPerRun(100, func() { n.Tell(ctx, slog.LevelWarn, notice, attrs) }), 0)
	n.Tell(ctx, slog.LevelError, notice, attrs)
	expect(t, "the attributes are asked for when it is logged", asked, true)
	if line := said.last(); !strings.HasSuffix(line, "at=a.go:1") {
		t.Errorf("it is logged as %s", line)
	}
}

func TestNotices_OfManyAtOnceNoneIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said log
		n := notices(&said, slog.LevelInfo)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 1000 {
					tellOf(n, "slow", "a.go:1", "")
				}
			})
		}
		all.Wait()
		time.Sleep(time.Minute)
		tellOf(n, "slow", "a.go:1", "")
		expect(t, "lines", said.count("msg=slow"), 2)
		expect(t, "those that were left out", said.count("repeated=7999"), 1)
	})
}

// request is a context by which a logger could find the request.
type request struct{}

// aware is a handler that does.
type aware struct{ slog.Handler }

func (h aware) Handle(ctx context.Context, r slog.Record) error {
	if id, ok := ctx.Value(request{}).(string); ok {
		r.AddAttrs(slog.String("request_id", id))
	}
	return h.Handler.Handle(ctx, r)
}
