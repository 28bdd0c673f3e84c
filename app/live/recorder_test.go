package live_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/app/live"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/pool"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func recording(t *testing.T, settings db.Settings) (*db.Connections, *live.Recorder) {
	t.Helper()
	conns := dbtest.Open(t, settings)
	rec := live.NewRecorder(conns)
	t.Cleanup(rec.Open())
	return conns, rec
}

func selects(ctx context.Context, query string) error {
	rows, err := db.From(ctx).QueryContext(ctx, query)
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	return errors.Join(rows.Err(), rows.Close())
}

// However many requests there are, and whatever each does: what is kept is bounded.
func TestRecorder_KeepsBoundedNumbers(t *testing.T) {
	t.Parallel()
	conns, rec := recording(t, db.Settings{Engine: dbtest.SQLite, Name: ":memory:"})
	long := "SELECT '" + strings.Repeat("x", 4000) + "'"
	err := conns.Run(t.Context(), "many", func(ctx context.Context) error {
		for i := range 2 * live.MostStatements {
			query := "SELECT 1"
			if i%8 == 0 {
				query = long
			}
			if err := selects(ctx, query); err != nil {
				return err
			}
			if i < 2*live.MostHolds {
				if err := db.Release(ctx); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if kept := rec.Kept(); kept.Finished != 1 || kept.Holds != live.MostHolds || kept.Statements > live.MostStatements || kept.Statements < live.MostStatements/2 || kept.Bytes > 40<<10 {
		t.Errorf("of a task with many statements it keeps %+v", kept)
	}
	for range 2 * live.MostFinished {
		if err := conns.Run(t.Context(), "short", func(ctx context.Context) error { return selects(ctx, "SELECT 1") }); err != nil {
			t.Fatal(err)
		}
	}
	if kept := rec.Kept(); kept.Finished != live.MostFinished || kept.Statements != live.MostFinished || kept.Running != 0 || kept.Total != 1+2*live.MostFinished {
		t.Errorf("of many tasks it keeps %+v", kept)
	}
	for range live.MostRunning + 7 {
		_, sc := conns.NewScope(t.Context(), "idle")
		defer func() {
			if err := sc.End(); err != nil {
				t.Error(err)
			}
		}()
	}
	if kept := rec.Kept(); kept.Running != live.MostRunning || kept.Unkept != 7 {
		t.Errorf("of many that run it keeps %+v", kept)
	}
}

// The ticks of a stream are thinned, not cut: they span the whole of it.
func TestRecord_ThinsTheTicksOfAStream(t *testing.T) {
	t.Parallel()
	conns, rec := recording(t, db.Settings{Engine: dbtest.SQLite, Name: ":memory:"})
	place := &live.Place{Begins: true}
	_, sc := conns.NewScope(context.WithValue(t.Context(), live.Asked{}, place), "GET /")
	defer func() {
		if err := sc.End(); err != nil {
			t.Error(err)
		}
	}()
	r := place.Record
	r.Request("GET", "id")
	r.Stream(false)
	for range 100_000 {
		r.Wrote(1)
	}
	if kept := rec.Kept(); kept.Ticks > live.MostTicks || kept.Ticks < live.MostTicks/2 {
		t.Errorf("of 100000 chunks it keeps %d ticks", kept.Ticks)
	}
	r.Finish(live.Outcome{Status: 200, Bytes: 100_000})
	r.Finish(live.Outcome{Status: 500})
	if kept := rec.Kept(); kept.Finished != 1 || kept.Total != 1 {
		t.Errorf("it is kept as %+v", kept)
	}
}

// It is read while it is written: for the race detector.
func TestRecorder_IsReadWhileItIsWritten(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings.MaxConnections = 2
		conns, rec := recording(t, settings)
		var writers, readers sync.WaitGroup
		stop := make(chan struct{})
		for range 2 {
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						rec.Kept()
						rec.Advise()
					}
				}
			})
		}
		for range 4 {
			writers.Go(func() {
				for range 25 {
					err := conns.Run(t.Context(), "task", func(ctx context.Context) error {
						return db.Atomic(ctx, func(ctx context.Context) error { return selects(ctx, "SELECT 1") })
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		writers.Wait()
		close(stop)
		readers.Wait()
		if kept := rec.Kept(); kept.Total != 100 || kept.Statements != 300 {
			t.Errorf("it keeps %+v", kept)
		}
	})
}

// traced is a recorder whose scopes the test drives by hand, on the clock of a bubble.
func traced(t *testing.T, conns *db.Connections) db.Trace {
	t.Helper()
	place := &live.Place{Begins: true}
	_, _ = conns.NewScope(context.WithValue(t.Context(), live.Asked{}, place), "task")
	return place.Record
}

// Ten requests a second, each with a connection for a tenth of a second and a response
// that takes two: one connection is in use on average, and twenty without early release.
func TestAdvise_IsLittlesLaw(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conns, err := db.Open(nil, db.Options{})
		if err != nil {
			t.Fatal(err)
		}
		rec := live.NewRecorder(conns)
		defer rec.Open()()
		var all sync.WaitGroup
		for n := range int64(1200) {
			all.Go(func() {
				r := traced(t, conns)
				now := time.Now
				r.Asks(pool.Asked{Alias: "default", Time: now()})
				r.Acquires(pool.Acquired{Alias: "default", Lease: n + 1, Connection: 1, Time: now()})
				time.Sleep(100 * time.Millisecond)
				r.Returns(pool.Returned{Alias: "default", Lease: n + 1, Time: now()})
				time.Sleep(1900 * time.Millisecond)
				r.ScopeEnds()
			})
			time.Sleep(100 * time.Millisecond)
		}
		advice := rec.Advise() // the last twenty are still running, and count
		if len(advice) != 1 {
			t.Fatalf("it advises %+v", advice)
		}
		near := func(what string, got, want float64) {
			t.Helper()
			if math.Abs(got-want) > 0.05*want {
				t.Errorf("%s is %.3f, want %.3f", what, got, want)
			}
		}
		a := advice[0]
		near("λ", a.Early.Rate, 10)
		near("W", a.Early.Time, 0.1)
		near("L", a.Early.InUse, 1)
		near("the busiest L", a.Early.Peak, 1)
		near("λ without early release", a.Without.Rate, 10)
		near("W without early release", a.Without.Time, 2)
		near("L without early release", a.Without.InUse, 20)
		if a.Early.Needed != live.Needed(a.Early.Peak) || a.Early.Needed != 4 && a.Early.Needed != 5 || a.Seconds != 120 {
			t.Errorf("it advises %+v", a)
		}
		all.Wait()
	})
}

func TestNeeded_IsTheAverageAndThreeTimesItsRoot(t *testing.T) {
	t.Parallel()
	for inUse, want := range map[float64]int{0: 1, 0.01: 1, 1: 4, 4: 10, 1.3: 5, 100: 130, 402.1: 463} {
		if got := live.Needed(inUse); got != want {
			t.Errorf("%v in use on average need %d, want %d", inUse, got, want)
		}
	}
}
