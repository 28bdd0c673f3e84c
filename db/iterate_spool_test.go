package db_test

import (
	"context"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/signals"
)

func TestIterateSpool_TheConnectionIsHomeBeforeTheLoopBegins(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		var bus signals.Bus
		var released []signals.ConnectionReleased
		conns := withSales(t, onlyOne(settings), db.Options{Bus: &bus})
		bus.ConnectionReleased.Connect(func(_ context.Context, e signals.ConnectionReleased) error {
			released = append(released, e)
			return nil
		})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error { // whose lease lasts until its end
			n := 0
			for _, err := range db.Iterate[sale](ctx, conn.NewSelect(), db.IterateOptions{Mode: db.ModeSpool, BatchSize: 30, SpoolMemory: 500}) {
				if err != nil {
					return err
				}
				n++
				expect(t, "in use", stats(conns).InUse, 0)
			}
			expect(t, "rows", n, soldRows)
			expect(t, "releases", len(released), 1)
			expect(t, "statements of the one lease", released[0].Queries, 1)
			expect(t, "its reason", released[0].Reason, "spooled")
			return nil
		})
	})
}

func TestIterateSpool_OfABlockSeesWhatThatHasWrittenAndLetsItQuery(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, onlyOne(settings))
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return db.Atomic(ctx, func(ctx context.Context) error {
				if err := exec(ctx, conn, "DELETE FROM sales WHERE region = 3"); err != nil {
					return err
				}
				n := 0
				for _, err := range db.Iterate[sale](ctx, conn.NewSelect(), db.IterateOptions{Mode: db.ModeSpool}) {
					if err != nil {
						return err
					}
					if n++; n%10 == 0 {
						if err := exec(ctx, conn, "UPDATE sales SET amount = 1"); err != nil {
							return err
						}
					}
				}
				expect(t, "rows", n, soldRows-10)
				return nil
			})
		})
	})
}

// everything has a column of each kind that drivers return.
type everything struct {
	bun.BaseModel `bun:"table:everything"`

	ID      int64 `bun:",pk"`
	Yes     bool
	Maybe   *bool
	Small   int16
	Real    float64
	Text    string
	NoText  *string
	Bytes   []byte
	Instant time.Time
	Local   time.Time `bun:"type:timestamp"`
	Day     time.Time `bun:"type:date"`
	Never   *time.Time
	List    []string       `bun:",array"`
	Map     map[string]any `bun:"type:jsonb"`
	Took    time.Duration
	Any     any `bun:"type:text"`
}

func TestIterateSpool_ValuesAreWhatADirectReadGives(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, kept(settings))
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			yes, text := true, ""
			zone := time.FixedZone("", 5*3600+1800)
			at := time.Date(2024, 2, 29, 23, 59, 59, 123456000, zone)
			rows := []everything{
				{ID: 1},
				{ID: -1 << 63, Yes: true, Maybe: &yes, Small: -7, Real: -0.1, Text: "ü\x01\n", NoText: &text, Bytes: []byte{}, Instant: at, Local: at, Day: at, Never: &at, List: []string{"a,b", `"`}, Map: map[string]any{"a": []any{1.5, nil}}, Took: time.Hour, Any: "any"},
				{ID: 1<<63 - 1, Real: 1e300, Text: strings.Repeat("long ", 50_000), Bytes: []byte(strings.Repeat("\x00\xff", 100_000)), Instant: time.Unix(-1e10, 0), Local: time.Unix(0, 1000).UTC()},
			}
			if _, err := conn.NewCreateTable().Model((*everything)(nil)).Exec(ctx); err != nil {
				return err
			}
			if _, err := conn.NewInsert().Model(&rows).Exec(ctx); err != nil {
				return err
			}
			var want []everything
			if err := conn.NewSelect().Model(&want).Order("id").Scan(ctx); err != nil {
				return err
			}
			for _, o := range []db.IterateOptions{
				{Mode: db.ModeSnapshot, BatchSize: 2},
				{Mode: db.ModeSpool},
				{Mode: db.ModeSpool, BatchSize: 2, SpoolMemory: 1},
				{Mode: db.ModeSpool, SpoolMemory: 300_000},
			} {
				got, err := collect[everything](ctx, conn.NewSelect().Order("id"), o)
				if err != nil {
					return err
				}
				if !reflect.DeepEqual(got, want) {
					for i := range got {
						for f := range reflect.TypeFor[everything]().NumField() {
							g, w := reflect.ValueOf(got[i]).Field(f).Interface(), reflect.ValueOf(want[i]).Field(f).Interface()
							if !reflect.DeepEqual(g, w) {
								t.Errorf("%+v: row %d, %s: %.80v, want %.80v", o, i, reflect.TypeFor[everything]().Field(f).Name, g, w)
							}
						}
					}
				}
			}
			return nil
		})
	})
}

// files are the names in a folder.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestIterateSpool_ItsFileHasNoNameAndIsGoneAfterEveryEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conns := withSales(t, dbtest.Database(t, dbtest.SQLite))
	o := db.IterateOptions{Mode: db.ModeSpool, SpoolMemory: 100, SpoolDir: dir}
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		before := openFiles(t)
		for _, err := range db.Iterate[sale](ctx, conn.NewSelect(), o) {
			if err != nil {
				return err
			}
			if runtime.GOOS != "windows" {
				expect(t, "files while it runs", len(files(t, dir)), 0)
			}
			expect(t, "open files while it runs", openFiles(t)-before, 1)
			break
		}
		func() {
			defer func() { _ = recover() }()
			for range db.Iterate[sale](ctx, conn.NewSelect(), o) {
				panic("the loop")
			}
		}()
		_, err := collect[sale](ctx, conn.NewSelect().ColumnExpr("sale.*, CASE number WHEN 90 THEN abs(-9223372036854775807 - 1) END"), o)
		if err == nil {
			t.Error("no error of a row that fails")
		}
		expect(t, "open files afterwards", openFiles(t), before)
		expect(t, "files afterwards", len(files(t, dir)), 0)
		return nil
	})
}

// openFiles counts the open files of spools, on systems that tell.
func openFiles(t *testing.T) (n int) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("open files are counted in /proc")
	}
	for _, name := range files(t, "/proc/self/fd") {
		if target, err := os.Readlink("/proc/self/fd/" + name); err == nil && strings.Contains(target, "/"+t.Name()) && strings.Contains(target, "quintet-spool-") {
			n++
		}
	}
	return n
}

func TestIterateSpool_WhatIsTooMuchIsAnErrorAndTheConnectionIsFine(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := withSales(t, onlyOne(settings))
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			for _, o := range []db.IterateOptions{
				{Mode: db.ModeSpool, SpoolMemory: 100, SpoolDisk: -1},
				{Mode: db.ModeSpool, SpoolMemory: 100, SpoolDisk: 200},
			} {
				rows, err := collect[sale](ctx, conn.NewSelect(), o)
				expect(t, "rows", len(rows), 0)
				expectError(t, "the error", err, db.ErrSpoolFull)
				expectText(t, "the error", err.Error(), "row", "100 bytes of memory", "SpoolDisk")
			}
			_, err := collect[sale](ctx, conn.NewSelect(), db.IterateOptions{Mode: db.ModeSpool, SpoolMemory: 100, SpoolDir: t.TempDir() + "/missing"})
			expectError(t, "without the folder", err, os.ErrNotExist)
			rows, err := collect[sale](ctx, conn.NewSelect(), db.IterateOptions{Mode: db.ModeSpool, SpoolDisk: -1}) // the memory will do
			expect(t, "rows", len(rows), soldRows)
			return err
		})
		expect(t, "connections that were opened", stats(conns).Opened, 1)
	})
}
