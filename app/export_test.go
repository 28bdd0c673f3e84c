package app_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"runtime"
	"sync"
	"testing"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
)

type exportedRow struct {
	bun.BaseModel `bun:"table:exported"`

	ID   int64 `bun:",pk"`
	Text string
}

// liveHeap is what is reachable now.
func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The export of a large table in small: "go run . export" in app/bench is the large one.
// It does not run beside other tests: it measures memory.
func TestExport_HoldsItsConnectionAndItsMemoryAsItsModeSays(t *testing.T) {
	const rows, width, batch = 40_000, 1000, 1000
	database := dbtest.Database(t, dbtest.Postgres)
	seed := dbtest.Open(t, database)
	err := seed.Run(t.Context(), "seed", func(ctx context.Context) error {
		if _, err := db.From(ctx).NewCreateTable().Model((*exportedRow)(nil)).Exec(ctx); err != nil {
			return err
		}
		_, err := db.From(ctx).ExecContext(ctx, fmt.Sprintf("INSERT INTO exported SELECT n, repeat('x', %d) FROM generate_series(1, %d) AS n", width, rows))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[db.IterateMode]struct{ leases, inUse int }{
		db.ModeKeyset:   {rows/batch + 1, 0}, // each batch is one; the last is empty
		db.ModeSpool:    {1, 0},
		db.ModeSnapshot: {1, 1},
	} {
		t.Run(string(mode), func(t *testing.T) {
			var base, most int64
			s := play(t, withDatabase(database), app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
				ctx := r.Context()
				conns := app.From(ctx).Connections()
				base = liveHeap()
				exported := db.Iterate[exportedRow](ctx, db.From(ctx).NewSelect().Model((*exportedRow)(nil)), db.IterateOptions{Mode: mode, BatchSize: batch})
				return views.StreamingResponse{ContentType: "text/csv", Body: views.CSV(each(exported, func(n int) {
					if n%1000 == 500 {
						equal(t, "connections in use while it yields", conns.Stats("default").InUse, want.inUse)
					}
					if n%10_000 == 5500 {
						most = max(most, liveHeap()-base)
					}
				}))}, nil
			})}).over("HTTP/1.1")
			var mu sync.Mutex
			var released []signals.ConnectionReleased
			s.Bus().ConnectionReleased.Connect(func(_ context.Context, e signals.ConnectionReleased) error {
				mu.Lock()
				defer mu.Unlock()
				released = append(released, e)
				return nil
			})
			received, err := s.server.Client().Get(s.server.URL)
			if err != nil {
				t.Fatal(err)
			}
			size, err := io.Copy(io.Discard, received.Body)
			if err != nil || size < rows*width {
				t.Errorf("%d bytes, %v", size, err)
			}
			if err := received.Body.Close(); err != nil {
				t.Error(err)
			}
			s.finished.Wait(1)
			mu.Lock()
			defer mu.Unlock()
			equal(t, "leases", len(released), want.leases)
			// A batch, what bun and the stream have in hand, and nothing that grows.
			if limit := int64(16 << 20); most > limit {
				t.Errorf("%d bytes are live while %d are sent, want at most %d", most, size, limit)
			}
			t.Logf("%d bytes live at most while %d were sent", most, size)
		})
	}
}

// each tells of the rows that pass.
func each[T any](rows iter.Seq2[T, error], passing func(n int)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		n := 0
		for row, err := range rows {
			n++
			passing(n)
			if !yield(row, err) {
				return
			}
		}
	}
}
