package migrate_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db/migrate"
)

// together runs Up with several Migrators on pools of their own and returns what
// each of them has applied.
func together(t *testing.T, n int, e engine, sources ...migrate.Source) [][]string {
	t.Helper()
	applied, errs := make([][]string, n), make([]error, n)
	gate := make(chan struct{})
	var runs sync.WaitGroup
	for i := range n {
		m := newMigrator(t, e.open(t), e.dialect, sources...)
		runs.Go(func() {
			<-gate
			result, err := m.Up(t.Context(), nil)
			applied[i], errs[i] = names(result.Applied), err
		})
	}
	close(gate)
	runs.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return applied
}

func wantEachOnce(t *testing.T, applied [][]string, want []string) {
	t.Helper()
	all := slices.Concat(applied...)
	slices.Sort(all)
	if !slices.Equal(all, want) {
		t.Errorf("applied by all together:\n got %q\nwant %q", all, want)
	}
}

func many(n int) (source migrate.Source, all []string) {
	var pairs []string
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("%04d_step", i)
		pairs = append(pairs, name+".sql", fmt.Sprintf(
			"-- +goose Up\nCREATE TABLE IF NOT EXISTS log (step int);\nINSERT INTO log VALUES (%d);\nCREATE TABLE step_%d (id int);\n-- +goose Down\nDROP TABLE step_%d;\n", i, i, i))
		all = append(all, "steps."+name)
	}
	return migrate.Source{App: "steps", FS: files(pairs...)}, all
}

func TestUp_SeveralAtOnceApplyEachMigrationOnce(t *testing.T) {
	t.Parallel()
	source, all := many(12)
	check := func(t *testing.T, e engine) {
		t.Helper()
		wantEachOnce(t, together(t, 4, e, source), all)
		if n := query[int](t, e.open(t), "SELECT count(*) FROM log"); n != len(all) {
			t.Errorf("the files have run %d times, want %d", n, len(all))
		}
	}
	eachEngine(t, check)
	t.Run("sqlite without busy timeout", func(t *testing.T) {
		t.Parallel()
		dsn := "file:" + filepath.Join(t.TempDir(), "site.db")
		check(t, engine{"sqlite", func(t *testing.T) *sql.DB { return open(t, "sqlite", dsn) }})
	})
}

func TestUp_FilesThatWouldRunTwiceWithoutAnErrorRunOnce(t *testing.T) {
	t.Parallel()
	// Nothing in these files would notice a second run but the row of the table.
	var pairs, all []string
	for i := 1; i <= 12; i++ {
		name := fmt.Sprintf("%04d_row", i)
		pairs = append(pairs, name+".sql", fmt.Sprintf("-- +goose Up\nINSERT INTO seed VALUES (%d);\n", i))
		all = append(all, "seeds."+name)
	}
	eachEngine(t, func(t *testing.T, e engine) {
		exec(t, e.open(t), "CREATE TABLE seed (id int)")
		wantEachOnce(t, together(t, 4, e, migrate.Source{App: "seeds", FS: files(pairs...)}), all)
		if n := query[int](t, e.open(t), "SELECT count(*) FROM seed"); n != len(all) {
			t.Errorf("%d rows, want %d", n, len(all))
		}
	})
}

func TestUp_WaitingDoesNotStopAnIndexThatIsBuiltConcurrently(t *testing.T) {
	t.Parallel()
	e := onPostgres(t)
	applied := together(t, 4, e, migrate.Source{App: "polls", FS: files(
		"0001_initial.sql", "-- +goose Up\nCREATE TABLE question AS SELECT generate_series(1, 20000) AS id;\n",
		"0002_index.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY ix ON question (id);\n")})
	wantEachOnce(t, applied, []string{"polls.0001_initial", "polls.0002_index"})
}

func TestUp_OneMigratorMayBeUsedBySeveralGoroutines(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, e engine) {
		db := e.open(t)
		db.SetMaxOpenConns(1)
		m := newMigrator(t, db, e.dialect, polls())
		var runs sync.WaitGroup
		for range 4 {
			runs.Go(func() {
				if _, err := m.Up(t.Context(), nil); err != nil {
					t.Error(err)
				}
				if _, err := m.Status(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		runs.Wait()
		wantShown(t, m, "polls.0001_initial [X]", "polls.0002_choice [X]", "polls.0003_vote [X]")
	})
}

const advisoryLock = 0x7175696e746574

// lockedElsewhere holds the lock of another process and returns its end.
func lockedElsewhere(t *testing.T, e engine) (pid int, unlock func()) {
	t.Helper()
	conn, err := e.open(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRowContext(t.Context(), fmt.Sprintf("SELECT pg_backend_pid() FROM pg_advisory_lock(%d)", advisoryLock)).Scan(&pid); err != nil {
		t.Fatal(err)
	}
	return pid, sync.OnceFunc(func() {
		if _, err := conn.ExecContext(t.Context(), fmt.Sprintf("SELECT pg_advisory_unlock(%d)", advisoryLock)); err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestUp_GivesUpAndNamesTheHolderOfTheLock(t *testing.T) {
	t.Parallel()
	e := onPostgres(t)
	pid, unlock := lockedElsewhere(t, e)
	defer unlock()
	for timeout, waited := range map[time.Duration]string{-1: "waited 0s", 30 * time.Millisecond: "waited 30ms"} {
		m := newWith(t, e.open(t), e.dialect, migrate.Options{LockTimeout: timeout}, polls())
		_, err := m.Up(t.Context(), nil)
		if !errors.Is(err, migrate.ErrLocked) {
			t.Fatalf("error %v", err)
		}
		asError(t, err, fmt.Sprintf("another process is migrating (pid %d, application ", pid), waited, "LockTimeout")
		wantShown(t, m, "polls.0001_initial [ ]", "polls.0002_choice [ ]", "polls.0003_vote [ ]")
	}
}

func TestUp_GoesOnWhenTheLockIsGivenBack(t *testing.T) {
	t.Parallel()
	e := onPostgres(t)
	_, unlock := lockedElsewhere(t, e)
	time.AfterFunc(100*time.Millisecond, unlock) // the work of a slow other process
	wantNames(t, "applied", mustUp(t, newMigrator(t, e.open(t), e.dialect, polls())).Applied, "polls.0001_initial", "polls.0002_choice", "polls.0003_vote")
	unlock()
}

func TestUp_StopsWaitingWithItsContext(t *testing.T) {
	t.Parallel()
	e := onPostgres(t)
	_, unlock := lockedElsewhere(t, e)
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	m := newMigrator(t, e.open(t), e.dialect, polls())
	go func() {
		_, err := m.Up(ctx, nil)
		ended <- err
	}()
	const waiting = `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND query = 'SELECT pg_try_advisory_lock($1)'`
	for observer := e.open(t); query[int](t, observer, waiting) == 0; {
		select {
		case err := <-ended:
			t.Fatalf("ended before its context: %v", err)
		default:
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// late is a server whose connections are not made before the deadline, which the
// network may see before the context does.
type late struct{ driver.Connector }

func (late) Connect(ctx context.Context) (driver.Conn, error) {
	<-ctx.Done()
	return nil, os.ErrDeadlineExceeded
}

func TestUp_SaysThatItsContextEndedWhereTheNetworkSaysTimeout(t *testing.T) {
	t.Parallel()
	db := sql.OpenDB(late{})
	defer db.Close()
	m := newWith(t, db, "postgres", migrate.Options{}, polls())
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, up := m.Up(ctx, nil)
	_, status := m.Status(ctx)
	for _, err := range []error{up, status} {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	}
}

// advisoryLocks counts those of this database; other tests have their own.
func advisoryLocks(t *testing.T, db *sql.DB) int {
	t.Helper()
	return query[int](t, db, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
}

func TestUp_GivesTheLockBackAfterSuccessAndFailure(t *testing.T) {
	t.Parallel()
	e := onPostgres(t)
	db := e.open(t)
	m := newMigrator(t, db, e.dialect, migrate.Source{App: "polls", FS: files("0001_initial.sql", table("question"), "0002_broken.sql", "-- +goose Up\nSELECT nowhere;\n")})
	if _, err := m.To(t.Context(), "polls", "0001", nil); err != nil {
		t.Fatal(err)
	}
	locks := func() int { return advisoryLocks(t, db) }
	if n := locks(); n != 0 {
		t.Errorf("%d locks after success", n)
	}
	if _, err := m.Up(t.Context(), nil); err == nil {
		t.Fatal("no error")
	}
	if n := locks(); n != 0 {
		t.Errorf("%d locks after failure", n)
	}
}

func TestUp_SaysWhenTheLockWasLost(t *testing.T) {
	t.Parallel()
	e := onPostgres(t)
	// What a pooler between the two would do.
	m := newMigrator(t, e.open(t), e.dialect, migrate.Source{App: "polls", FS: files("0001_initial.sql", "-- +goose Up\nSELECT pg_advisory_unlock_all();\n")})
	result, err := m.Up(t.Context(), nil)
	if err == nil {
		t.Fatal("no error")
	}
	if want := "the lock was not ours any more"; !contains(err, want) {
		t.Errorf("error %q does not say %q", err, want)
	}
	wantNames(t, "applied all the same", result.Applied, "polls.0001_initial")
}

func TestUp_WaitsForAnotherWriterOfTheSQLiteFile(t *testing.T) {
	t.Parallel()
	dsn := "file:" + filepath.Join(t.TempDir(), "site.db") // without busy timeout
	other, err := open(t, "sqlite", dsn).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	if _, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	m := newWith(t, open(t, "sqlite", dsn), "sqlite", migrate.Options{LockTimeout: 50 * time.Millisecond}, polls())
	_, err = m.Up(t.Context(), nil)
	asError(t, err, "polls.0001_initial: creating the table quintet_migrations: ", "locked", "let the other writer end, or wait longer for it")

	patient := newMigrator(t, open(t, "sqlite", dsn), "sqlite", polls())
	time.AfterFunc(100*time.Millisecond, func() { // the work of a slow writer
		if _, err := other.ExecContext(context.WithoutCancel(t.Context()), "COMMIT"); err != nil {
			t.Error(err)
		}
	})
	begun := 0
	if _, err := patient.Up(t.Context(), func(event migrate.Event) {
		if !event.Done {
			begun++
		}
	}); err != nil {
		t.Fatal(err)
	}
	if begun != 3 {
		t.Errorf("%d migrations have begun, want 3: waiting is not beginning again", begun)
	}
}

// On SQLite nothing keeps others from the history between two files.
func TestUp_PlansAgainWhenAnotherProcessHasGoneBack(t *testing.T) {
	t.Parallel()
	e := onSQLite(t)
	other := newMigrator(t, e.open(t), e.dialect, polls())
	if _, err := other.To(t.Context(), "polls", "0001", nil); err != nil {
		t.Fatal(err)
	}
	m := newMigrator(t, e.open(t), e.dialect, polls())
	var events []string
	result, err := m.Up(t.Context(), func(event migrate.Event) {
		if len(events) == 0 {
			if _, err := other.To(t.Context(), "polls", migrate.Zero, nil); err != nil {
				t.Error(err)
			}
		}
		events = append(events, fmt.Sprintf("%s %t", event.Name, event.Done))
	})
	if err != nil {
		t.Fatal(err)
	}
	wantNames(t, "applied", result.Applied, "polls.0001_initial", "polls.0002_choice", "polls.0003_vote")
	want := []string{"0002_choice false", "0001_initial false", "0001_initial true", "0002_choice false", "0002_choice true", "0003_vote false", "0003_vote true"}
	if !slices.Equal(events, want) {
		t.Errorf("events\n got %q\nwant %q", events, want)
	}
}

func TestUp_GoesOnBehindAnotherProcessThatWasFaster(t *testing.T) {
	t.Parallel()
	e := onSQLite(t)
	other := newMigrator(t, e.open(t), e.dialect, polls())
	m := newMigrator(t, e.open(t), e.dialect, polls())
	var events []string
	result, err := m.Up(t.Context(), func(event migrate.Event) {
		if len(events) == 0 {
			if _, err := other.To(t.Context(), "polls", "0002", nil); err != nil {
				t.Error(err)
			}
		}
		if event.Err != nil {
			t.Errorf("event %+v", event)
		}
		events = append(events, fmt.Sprintf("%s %t", event.Name, event.Done))
	})
	if err != nil {
		t.Fatal(err)
	}
	wantNames(t, "applied here", result.Applied, "polls.0003_vote")
	if want := []string{"0001_initial false", "0001_initial true", "0003_vote false", "0003_vote true"}; !slices.Equal(events, want) {
		t.Errorf("events\n got %q\nwant %q", events, want)
	}
}

func TestUp_DoesNotFightAnotherProcess(t *testing.T) {
	t.Parallel()
	e := onSQLite(t)
	other := newMigrator(t, e.open(t), e.dialect, polls())
	m := newMigrator(t, e.open(t), e.dialect, polls())
	_, err := m.Up(t.Context(), func(event migrate.Event) {
		if event.Name == "0002_choice" && !event.Done {
			if _, err := other.To(t.Context(), "polls", migrate.Zero, nil); err != nil {
				t.Error(err)
			}
		}
	})
	asError(t, err, "polls.0001_initial: another process undoes what this one does; let one of them migrate")
}
