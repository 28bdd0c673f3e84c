package db_test

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// faulty is a database behind a proxy with a table whose commits wait for an advisory
// lock while somebody holds it.
func faulty(t *testing.T) (*dbtest.Proxy, db.Settings, *db.Connections) {
	t.Helper()
	direct := dbtest.Database(t, dbtest.Postgres)
	proxy, settings := dbtest.NewProxy(t, direct)
	conns := dbtest.Open(t, onlyOne(settings))
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return exec(ctx, conn, "CREATE TABLE item (id integer PRIMARY KEY)",
			"CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END'",
			"CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON item DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()")
	})
	return proxy, direct, conns
}

func TestF11_ABackendKilledBetweenTwoStatementsStoresNothing(t *testing.T) {
	t.Parallel()
	_, direct, conns := faulty(t)
	for name, swallow := range map[string]bool{"returned": false, "swallowed": true} {
		attempts := 0
		err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
			return db.AtomicWith(ctx, db.AtomicOptions{Retry: 3}, func(ctx context.Context) error {
				attempts++
				err := errors.Join(insert(ctx, 1), db.OnCommit(ctx, func(context.Context) error { t.Error("it ran"); return nil }))
				dbtest.Kill(t, direct)
				lost := insert(ctx, 2)
				expectError(t, "the statement", lost, db.ErrConnectionLost)
				expectError(t, "a later one", insert(ctx, 3), db.ErrTransactionAborted)
				if swallow {
					return err
				}
				return errors.Join(err, lost)
			})
		})
		expectError(t, name, err, db.ErrConnectionLost)
		expectError(t, name, err, db.ErrOperational)
		expect(t, name+": it is an aborted transaction", errors.Is(err, db.ErrTransactionAborted), swallow)
		expect(t, name+": nobody knows", errors.Is(err, db.ErrCommitUnknown), false)
		expect(t, name+": attempts", attempts, 1)
		expect(t, name+": stored", stored(t, conns), "")
	}
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return db.Atomic(ctx, func(ctx context.Context) error { return insert(ctx, 4) })
	})
	expect(t, "stored by the next", stored(t, conns), "4")
}

// That the connection is gone before COMMIT is sent is seen without sending it, or told
// as an unknown outcome; it is never taken for a commit.
func TestRule7Faults_ABackendKilledBeforeTheCommitStoresNothing(t *testing.T) {
	t.Parallel()
	proxy, _, conns := faulty(t)
	err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
		return db.Atomic(ctx, func(ctx context.Context) error {
			err := errors.Join(insert(ctx, 1), db.OnCommit(ctx, func(context.Context) error { t.Error("it ran"); return nil }))
			proxy.Reset()
			return err
		})
	})
	expectError(t, "Atomic", err, db.ErrConnectionLost)
	t.Logf("the outcome is unknown: %t", errors.Is(err, db.ErrCommitUnknown))
	expect(t, "stored", stored(t, conns), "")
}

// Whether a COMMIT has happened that was under way nobody knows: here it has not.
func TestF12_ABackendKilledDuringTheCommitLeavesItsOutcomeUnknown(t *testing.T) {
	t.Parallel()
	_, direct, conns := faulty(t)
	release := lockCommits(t, direct)
	failed := atomicInsert(t, conns, 1)
	await(t, "the server waits in COMMIT", func() bool { return len(waiting(t, direct)) == 1 })
	for _, pid := range waiting(t, direct) {
		if err := dbtest.Server(t).Terminate(t.Context(), pid); err != nil {
			t.Fatal(err)
		}
	}
	err := <-failed
	release()
	expectError(t, "Atomic", err, db.ErrCommitUnknown)
	expectError(t, "Atomic", err, db.ErrConnectionLost)
	expectText(t, "Atomic", err.Error(), "rule7_faults_test.go:")
	expect(t, "stored", stored(t, conns), "")
	expect(t, "in use", stats(conns).InUse, 0)
}

// And here it has.
func TestRule7Faults_ACommitWhoseAnswerIsLostMayHaveHappened(t *testing.T) {
	t.Parallel()
	proxy, direct, conns := faulty(t)
	release := lockCommits(t, direct)
	failed := atomicInsert(t, conns, 1)
	await(t, "the server waits in COMMIT", func() bool { return len(waiting(t, direct)) == 1 })
	proxy.Freeze()
	release()
	check := dbtest.Open(t, kept(direct))
	await(t, "committed", func() bool { return stored(t, check) == "1" })
	proxy.Reset()
	err := <-failed
	expectError(t, "Atomic", err, db.ErrCommitUnknown)
	expect(t, "stored", stored(t, conns), "1")
}

// atomicInsert inserts in a goroutine of its own; what it registers must not run.
func atomicInsert(t *testing.T, conns *db.Connections, id int) <-chan error {
	t.Helper()
	failed := make(chan error, 1)
	go func() {
		failed <- try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
			return db.Atomic(ctx, func(ctx context.Context) error {
				return errors.Join(insert(ctx, id), db.OnCommit(ctx, func(context.Context) error { t.Error("it ran"); return nil }))
			})
		})
	}()
	return failed
}

// lockCommits makes the commits of item wait until release.
func lockCommits(t *testing.T, direct db.Settings) (release func()) {
	t.Helper()
	conns := dbtest.Open(t, kept(direct))
	ctx, sc := conns.NewScope(t.Context(), "locks")
	if err := exec(ctx, db.From(ctx), "SELECT pg_advisory_lock(1)"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := sc.End(); err != nil { // the reset unlocks
			t.Error(err)
		}
	}
}

// waiting are the sessions that wait for the lock.
func waiting(t *testing.T, direct db.Settings) (pids []int) {
	t.Helper()
	conns := dbtest.Open(t, direct)
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return conn.NewRaw("SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database "+
			"WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted").Scan(ctx, &pids)
	})
	return pids
}

// Who loses his patience with a COMMIT that is under way cancels it, and the server says
// that it did not happen.
func TestRule7Faults_ACommitThatIsCutOffIsRolledBack(t *testing.T) {
	t.Parallel()
	_, direct, conns := faulty(t)
	release := lockCommits(t, direct)
	failed := atomicInsert(t, conns, 1)
	await(t, "the server waits in COMMIT", func() bool { return len(waiting(t, direct)) == 1 })
	hurry, cancel := context.WithCancel(t.Context())
	cancel()
	if err := conns.Close(hurry); err == nil {
		t.Error("Close did not say whom it cut off")
	}
	err := <-failed
	release()
	expectError(t, "Atomic", err, db.ErrReleased)
	expect(t, "nobody knows", errors.Is(err, db.ErrCommitUnknown), false)
	expect(t, "stored", stored(t, dbtest.Open(t, direct)), "")
}

// What a test's t.FailNow does must not leave a transaction either.
func TestRule7_AGoroutineThatEndsRollsBack(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = db.Atomic(ctx, func(ctx context.Context) error {
					if err := insert(ctx, 1); err != nil {
						t.Error(err)
					}
					runtime.Goexit()
					return nil
				})
			}()
			<-ended
			expect(t, "in a block", conn.InAtomicBlock(), false)
			return insert(ctx, 2)
		})
		expect(t, "stored", stored(t, conns), "2")
	})
}

func TestRule7_AScopeThatEndsTakesItsBlocksAlong(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		ctx, sc := conns.NewScope(t.Context(), "/gone")
		inside, ended, left := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			left <- db.Atomic(ctx, func(ctx context.Context) error {
				err := insert(ctx, 1)
				close(inside)
				<-ended
				expectError(t, "a statement", insert(ctx, 2), db.ErrScopeEnded)
				return err
			})
		}()
		<-inside
		err := sc.End()
		close(ended)
		expectError(t, "End", err, db.ErrInAtomicBlock)
		expectText(t, "End", err.Error(), "rule7_faults_test.go:")
		expectError(t, "Atomic", <-left, db.ErrScopeEnded)
		expect(t, "stored", stored(t, conns), "")
	})
}
