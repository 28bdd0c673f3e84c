package db_test

import (
	"context"
	"database/sql/driver"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/sqlite"
)

// tapped is an engine that writes down what its connections are asked.
type tapped struct {
	db.Engine
	mu   *sync.Mutex
	sent *[]string
}

func (e tapped) Open(alias string, s db.Settings) (pool.Driver, error) {
	d, err := e.Engine.Open(alias, s)
	return tappedDriver{d, e}, err
}

func (e tapped) note(query string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	*e.sent = append(*e.sent, query)
}

// since returns what was sent since the last call.
func (e tapped) since() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	sent := *e.sent
	*e.sent = nil
	return sent
}

func (e tapped) Dialect() schema.Dialect { return e.Engine.Dialect() }

type tappedDriver struct {
	pool.Driver
	tap tapped
}

func (d tappedDriver) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := d.Driver.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &tappedConn{c, d.tap}, nil
}

func inner(c driver.Conn) driver.Conn { return c.(*tappedConn).Conn }

func (d tappedDriver) Close(c driver.Conn) error { return d.Driver.Close(inner(c)) }
func (d tappedDriver) Kill(c driver.Conn)        { d.Driver.Kill(inner(c)) }
func (d tappedDriver) Peek(c driver.Conn) error  { return d.Driver.Peek(inner(c)) }
func (d tappedDriver) Ping(ctx context.Context, c driver.Conn) error {
	d.tap.note("ping")
	return d.Driver.Ping(ctx, inner(c))
}

func (d tappedDriver) Cancel(ctx context.Context, c driver.Conn) error {
	d.tap.note("cancel")
	return d.Driver.Cancel(ctx, inner(c))
}
func (d tappedDriver) InTransaction(c driver.Conn) (in, known bool) {
	return d.Driver.InTransaction(inner(c))
}

func (d tappedDriver) Committable(c driver.Conn, o pool.TxOptions) error {
	return d.Driver.Committable(inner(c), o)
}

func (d tappedDriver) Reset(ctx context.Context, c driver.Conn) error {
	d.tap.note("reset")
	return d.Driver.Reset(ctx, inner(c))
}
func (d tappedDriver) Kind(c driver.Conn, err error) error { return d.Driver.Kind(inner(c), err) }

type tappedConn struct {
	driver.Conn
	tap tapped
}

func (c *tappedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.tap.note(query)
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c *tappedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.tap.note(query)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

// A block with one insert is three statements at the driver, and a round trip each;
// an empty request block and a merged block are none.
func TestCost_ABlockWithOneInsertIsThreeStatementsOnTheWire(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		tap := tapped{engineOf(settings), new(sync.Mutex), new([]string)}
		settings.AtomicRequests, settings.ConnHealthChecks = true, true
		conns := dbtest.Open(t, kept(settings), db.Options{Engines: []db.Engine{tap}})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return exec(ctx, conn, "CREATE TABLE item (id integer PRIMARY KEY)")
		})
		begin := map[string]string{dbtest.SQLite: "BEGIN IMMEDIATE", dbtest.Postgres: "BEGIN"}[settings.Engine]
		write := `INSERT INTO "item" ("id") VALUES (1)`
		tap.since()
		ctx, sc := conns.NewScope(t.Context(), "/")
		if err := db.Atomic(ctx, func(ctx context.Context) error {
			return db.AtomicWith(ctx, db.AtomicOptions{NoSavepoint: true}, func(ctx context.Context) error { return insert(ctx, 1) })
		}); err != nil {
			t.Fatal(err)
		}
		sent := tap.since()
		if sent[0] == "ping" { // of CONN_HEALTH_CHECKS, once per scope
			sent = sent[1:]
		}
		if want := []string{begin, write, "COMMIT"}; !slices.Equal(sent, want) {
			t.Errorf("sent %q, want %q", sent, want)
		}
		_, blocks, err := sc.AtomicRequests(ctx, db.AtomicRequestsOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := blocks.Commit(); err != nil {
			t.Error(err)
		}
		expect(t, "sent by an empty request", strings.Join(tap.since(), ", "), "")
		if err := sc.End(); err != nil {
			t.Error(err)
		}
	})
}

func engineOf(settings db.Settings) db.Engine {
	if settings.Engine == dbtest.Postgres {
		return postgres.Engine{}
	}
	return sqlite.Engine{}
}

// Not parallel: it counts the goroutines of the process.
func TestCost_ABlockNeedsNoGoroutine(t *testing.T) {
	engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ctx, sc := conns.NewScope(ctx, "/blocks")
		defer sc.End()
		if err := exec(ctx, db.From(ctx), "CREATE TABLE item (id integer PRIMARY KEY)"); err != nil {
			t.Fatal(err)
		}
		before := runtime.NumGoroutine()
		err := db.Atomic(ctx, func(ctx context.Context) error {
			return db.Atomic(ctx, func(ctx context.Context) error {
				err := insert(ctx, 1)
				await(t, "the driver's own are gone", func() bool { return runtime.NumGoroutine() <= before })
				return err
			})
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// A block with one insert, against bun's RunInTx on a connection of its own: nothing
// is leased on either side. Run with -count=10 and compare medians.
func BenchmarkAtomic(b *testing.B) {
	engines(b, func(b *testing.B, settings db.Settings) {
		if settings.Engine == dbtest.SQLite {
			settings.Options = map[string]string{"synchronous": "off"}
		}
		const create, write = "CREATE TABLE item (id integer)", "INSERT INTO item VALUES (1)"
		b.Run("Atomic", func(b *testing.B) {
			conns := dbtest.Open(b, settings)
			scope(b, conns, func(ctx context.Context, conn *db.Conn) error {
				if err := exec(ctx, conn, "DROP TABLE IF EXISTS item", create); err != nil {
					return err
				}
				b.ReportAllocs()
				for b.Loop() {
					if err := db.Atomic(ctx, func(ctx context.Context) error { return exec(ctx, db.From(ctx), write) }); err != nil {
						return err
					}
				}
				return nil
			})
		})
		b.Run("bun.RunInTx", func(b *testing.B) {
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			conn, err := bare(b, settings).Conn(ctx)
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			if err := exec(ctx, conn, "DROP TABLE IF EXISTS item", create); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return exec(ctx, tx, write) }); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}
