package db_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/pool"
)

// diary is an observer whose scopes write into one book.
type diary struct {
	asked func() // nil does nothing

	mu    sync.Mutex
	lines []string
}

func (d *diary) ScopeBegins(_ context.Context, sc *db.Scope) db.Trace {
	if sc.Name() == "unobserved" {
		return nil
	}
	d.note("%s begins", sc.Name())
	return d
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// text is what was noted since the last time.
func (d *diary) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	text := strings.Join(d.lines, "; ")
	d.lines = nil
	return text
}

func placed(at pool.Place) string {
	if text := at.String(); strings.HasPrefix(text, "db/") && strings.Contains(text, "_test.go:") {
		return "here"
	}
	return "elsewhere"
}

func (d *diary) Asks(e pool.Asked) {
	d.note("asks for %s %s", e.Alias, placed(e.At))
	if d.asked != nil {
		d.asked()
	}
}

func (d *diary) Acquires(e pool.Acquired) {
	if e.Err != nil {
		d.note("gets none: %t", errors.Is(e.Err, context.Canceled))
		return
	}
	d.note("gets #%d", e.Connection)
}
func (d *diary) Sends(e pool.Sent)       { d.note("sends %s %t %s", e.Query, e.Control, placed(e.At)) }
func (d *diary) Answers(e pool.Answered) { d.note("has rows %t", !e.Time.IsZero()) }
func (d *diary) Ends(e pool.Ended) {
	d.note("ends %d %t %t", e.Rows, e.Err == nil, !e.Answered.After(e.Time))
}
func (d *diary) Returns(e pool.Returned) {
	d.note("returns by %s %t", e.Reason, e.Idle >= 0 && e.Kept)
}
func (d *diary) Named(name string) { d.note("is called %s", name) }
func (d *diary) ScopeEnds()        { d.note("is over") }

var _ db.Observer = (*diary)(nil)

func TestObserve_TellsTheStoryOfAScopeInItsOrder(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings.ConnMaxAge = time.Minute
		conns := dbtest.Open(t, settings)
		first, second := &diary{}, &diary{}
		stop := conns.Observe(first)
		stopSecond := conns.Observe(second)
		story := func() {
			err := conns.Run(t.Context(), "task", func(ctx context.Context) error {
				db.ScopeOf(ctx).SetName("another")
				rows, err := db.From(ctx).QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
				if err != nil {
					return err
				}
				for rows.Next() {
				}
				if err := errors.Join(rows.Err(), rows.Close(), db.Release(ctx)); err != nil {
					return err
				}
				err = db.Atomic(ctx, func(ctx context.Context) error {
					return exec(ctx, db.From(ctx), "CREATE TABLE seen (n integer)")
				})
				if exec(ctx, db.From(ctx), "SELECT nonsense") == nil {
					t.Error("no error")
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
		story()
		want := "task begins; is called another; asks for default here; gets #1; sends SELECT 1 UNION ALL SELECT 2 false here; has rows true; ends 2 true true; " +
			"returns by released true; asks for default here; gets #1; sends BEGIN true here; ends 0 true true; sends CREATE TABLE seen (n integer) false here; ends 0 true true; " +
			"sends COMMIT true here; ends 0 true true; sends SELECT nonsense false here; ends 0 false true; returns by scope ended true; is over"
		expect(t, "the first observer", first.text(), want)
		expect(t, "the second", second.text(), want)

		stopSecond()
		ctx, sc := conns.NewScope(t.Context(), "one")
		stop()
		if err := exec(ctx, db.From(ctx), "SELECT 1"); err != nil {
			t.Error(err)
		}
		if err := sc.End(); err != nil {
			t.Error(err)
		}
		expect(t, "a scope that begins before the end, and goes on", strings.HasSuffix(first.text(), "returns by scope ended true; is over"), true)
		err := conns.Run(t.Context(), "late", func(ctx context.Context) error { return exec(ctx, db.From(ctx), "SELECT 1") })
		expect(t, "afterwards", fmt.Sprint(first.text(), second.text(), err), "<nil>")

		defer conns.Observe(first)()
		err = conns.Run(t.Context(), "unobserved", func(ctx context.Context) error { return exec(ctx, db.From(ctx), "SELECT 1") })
		expect(t, "a scope that does not matter", fmt.Sprint(first.text(), err), "<nil>")
	})
}

func TestObserve_HearsOfAWishThatIsRefused(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings)
		ctx, cancel := context.WithCancel(t.Context())
		d := &diary{asked: cancel}
		defer conns.Observe(d)()
		err := conns.Run(ctx, "late", func(ctx context.Context) error { return exec(ctx, db.From(ctx), "SELECT 1") })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it says %v", err)
		}
		expect(t, "the story", d.text(), "late begins; asks for default here; gets none: true; is over")
	})
}

// While nobody observes a scope and a statement allocate what they always did.
func TestObserve_CostsNoAllocationWhileNobodyDoes(t *testing.T) {
	conns := dbtest.Open(t, db.Settings{Engine: dbtest.SQLite, Name: ":memory:"})
	run := func() float64 {
		return testing.AllocsPerRun(200, func() {
			_, sc := conns.NewScope(t.Context(), "empty")
			if err := sc.End(); err != nil {
				t.Error(err)
			}
		})
	}
	never := run()
	conns.Observe(&diary{})()
	expect(t, "allocations of a scope before and after somebody has observed", run(), never)
}
