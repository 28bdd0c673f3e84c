package db_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

func TestRule13Busy_GoroutinesOfAScopeWaitForEachOther(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		conns := dbtest.Open(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			var all sync.WaitGroup
			for n := range 10 {
				all.Go(func() {
					for i := range 20 {
						want := n*100 + i
						got, err := one[int](ctx, conn, "SELECT "+strconv.Itoa(want))
						if err != nil || got != want {
							t.Errorf("%d, %v, want %d", got, err, want)
						}
					}
				})
			}
			all.Wait()
			return nil
		})
		expect(t, "leases", stats(conns).Leases, 1)
		expect(t, "connections opened", stats(conns).Opened, 1)
	})
}

func TestRule13Busy_OpenRowsAreWaitedForASecondAndThenNamed(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			rows, err := conn.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
			if err != nil {
				return err
			}
			defer rows.Close()
			began := time.Now()
			err = exec(ctx, conn, "SELECT 3")
			if took := time.Since(began); took < time.Second || took > 2*time.Second {
				t.Errorf("it waited %s, want a second", took)
			}
			expectError(t, "the statement", err, db.ErrBusy)
			busy, ok := errors.AsType[*db.BusyError](err)
			if !ok {
				t.Fatalf("%T, want a BusyError", err)
			}
			expectText(t, "Here", busy.Here, "helpers_test.go:")
			expectText(t, "Open", busy.Open, "rule13_busy_test.go:")
			expectText(t, "the error", err.Error(), busy.Here, busy.Open, "UNION ALL")
			return nil
		})
	})
}

func TestRule13Busy_RowsThatAreReadMeanwhileAreNoError(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			rows, err := conn.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
			if err != nil {
				return err
			}
			waiting := make(chan error, 1)
			go func() { waiting <- exec(ctx, conn, "SELECT 3") }()
			n := 0
			for rows.Next() {
				n++
				<-time.After(50 * time.Millisecond) // a slow reader
			}
			expect(t, "rows", n, 2)
			return errors.Join(rows.Err(), <-waiting)
		})
	})
}

func TestRule13Busy_AStatementThatRunsIsWaitedForHoweverLong(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, dbtest.Database(t, dbtest.Postgres))
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		slow := make(chan error, 1)
		go func() { slow <- exec(ctx, conn, "SELECT pg_sleep(1.5)") }()
		awaitStatement(t, conns, "SELECT pg_sleep")
		return errors.Join(exec(ctx, conn, "SELECT 1"), <-slow)
	})
}

func TestRule13Busy_WhenDebuggingAGoroutineThatWaitsForItselfIsToldAtOnce(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings, db.Options{Debug: true})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			rows, err := conn.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
			if err != nil {
				return err
			}
			within(t, 500*time.Millisecond, "the statement", func() {
				expectError(t, "the statement", exec(ctx, conn, "SELECT 3"), db.ErrBusy)
			})
			other := make(chan error, 1)
			go func() { other <- exec(ctx, conn, "SELECT 4") }()
			select {
			case err := <-other:
				t.Errorf("another goroutine did not wait: %v", err)
			case <-time.After(100 * time.Millisecond):
			}
			return errors.Join(rows.Close(), <-other)
		})
	})
}

func TestRule13Busy_TheWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			rows, err := conn.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
			if err != nil {
				return err
			}
			defer rows.Close()
			soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			within(t, 500*time.Millisecond, "the statement", func() {
				expectError(t, "the statement", exec(soon, conn, "SELECT 3"), context.DeadlineExceeded)
			})
			return nil
		})
	})
}

func TestRule13Busy_PreparedStatementsAndTransactionsWaitLikewise(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		dbtest.Goroutines(t)
		conns := dbtest.Open(t, settings)
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			stmt, err := conn.PrepareContext(ctx, "SELECT 7")
			if err != nil {
				return err
			}
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for range 20 {
						var got int
						if err := stmt.QueryRowContext(ctx).Scan(&got); err != nil || got != 7 {
							t.Errorf("%d, %v", got, err)
						}
					}
				})
			}
			all.Wait()
			return stmt.Close()
		})
	})
}
