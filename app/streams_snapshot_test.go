package app_test

import (
	"strconv"
	"testing"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// numbered are rows that no table has.
type numbered struct {
	ID int64 `bun:",pk"`
}

func numbers(r *views.Request) *bun.SelectQuery {
	return db.From(r.Context()).NewSelect().ModelTableExpr("(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30) SELECT i AS id FROM n) AS numbered")
}

func TestStreams_OfEachModeOfIterateHoldWhatTheModeSays(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, database db.Settings) {
		for mode, kept := range map[db.IterateMode]int64{db.ModeKeyset: 0, db.ModeSpool: 0, db.ModeSnapshot: 1} {
			s := play(t, withDatabase(database), app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
				ctx := r.Context()
				conns := app.From(ctx).Connections()
				return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
					for row, err := range db.Iterate[numbered](ctx, numbers(r), db.IterateOptions{Mode: mode, BatchSize: 7}) {
						equal(t, string(mode)+": in use while it yields", conns.Stats("default").InUse, int(kept))
						if !yield(strconv.AppendInt(nil, row.ID%10, 10), err) {
							return
						}
					}
				}}, query(r)
			})})
			equal(t, string(mode), get(s, "/").Body.String(), "123456789012345678901234567890")
			equal(t, string(mode)+": kept", s.Stats().KeptStreams, kept)
			s.atHome(t)
		}
	})
}
