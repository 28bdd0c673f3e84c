package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// lockKey is the session advisory lock of a run on PostgreSQL, "quintet" in ASCII.
// pg_locks shows it as classid 7435625, objid 1853121908.
const lockKey = 0x7175696e746574

// lock waits for other runs, on PostgreSQL, and returns what gives the lock back.
// SQLite has its file lock, which steps and whenFree wait for.
func (s *session) lock(ctx context.Context, dialect string, timeout time.Duration) (unlock func() error, err error) {
	if dialect != postgres {
		return func() error { return nil }, nil
	}
	turn := newTurn(timeout)
	for {
		var got bool
		if err := s.db.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1)", lockKey).Scan(&got); err != nil {
			return nil, fmt.Errorf("migrate: asking for the lock: %w", err)
		}
		if got {
			return func() error { return s.unlock(ctx) }, nil
		}
		if turn.over() {
			return nil, s.locked(ctx, timeout)
		}
		if err := turn.wait(ctx); err != nil {
			return nil, fmt.Errorf("migrate: waiting for another process that is migrating: %w", err)
		}
	}
}

func (s *session) unlock(ctx context.Context) error {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	var mine bool
	err := s.db.QueryRowContext(ctx, "SELECT pg_advisory_unlock($1)", lockKey).Scan(&mine)
	if err != nil {
		s.conn.lost = true // ending the session gives the lock back
		return fmt.Errorf("migrate: giving the lock back: %w", err)
	}
	if !mine {
		return errors.New("migrate: the lock was not ours any more, others may have migrated at the same time; " +
			"is there a pooler in between? Migrate over a direct connection")
	}
	return nil
}

// locked says who holds the lock.
func (s *session) locked(ctx context.Context, timeout time.Duration) error {
	var pid sql.NullInt64
	var name sql.NullString
	err := s.db.QueryRowContext(ctx, `
SELECT l.pid, a.application_name
  FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND l.classid::bigint = $1 AND l.objid::bigint = $2
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
		int64(lockKey)>>32, int64(lockKey)&0xffffffff).Scan(&pid, &name)
	who := ""
	switch {
	case errors.Is(err, sql.ErrNoRows): // it has just ended
	case err != nil:
		return errors.Join(ErrLocked, err)
	default:
		who = fmt.Sprintf(" (pid %d, application %q)", pid.Int64, name.String)
	}
	return &Error{Err: fmt.Errorf("%w%s: waited %s for it", ErrLocked, who, max(timeout, 0)),
		Hint: "try again when it has ended, or raise LockTimeout"}
}

// busy tells whether the error is SQLite's SQLITE_BUSY or SQLITE_LOCKED: another
// connection writes.
func busy(err error) bool {
	var coded interface{ Code() int }
	if !errors.As(err, &coded) {
		return false
	}
	code := coded.Code() & 0xff
	return code == 5 || code == 6
}

// whenFree calls fn again while SQLite's file is locked, until timeout.
func whenFree(ctx context.Context, timeout time.Duration, fn func() error) error {
	turn := newTurn(timeout)
	for {
		err := fn()
		if err == nil || !busy(err) || turn.over() || turn.wait(ctx) != nil {
			return err
		}
	}
}

// turn is the wait for somebody else.
type turn struct {
	deadline time.Time
	delay    time.Duration
}

func newTurn(timeout time.Duration) *turn {
	return &turn{deadline: time.Now().Add(timeout), delay: 20 * time.Millisecond}
}

func (t *turn) over() bool { return !time.Now().Before(t.deadline) }

// wait sleeps a little longer each time, up to a second.
func (t *turn) wait(ctx context.Context) error {
	timer := time.NewTimer(min(t.delay, time.Until(t.deadline)))
	defer timer.Stop()
	t.delay = min(2*t.delay, time.Second)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
