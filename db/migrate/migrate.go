package migrate

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/goquintet/quintet/signals"
)

// Zero is the target of [Migrator.To] before the first migration of an app.
const Zero = "zero"

const defaultLockTimeout = 5 * time.Minute

// Options are what a Migrator may know beside its files. The zero value works.
type Options struct {
	// Alias names the database in the signals; "" is "default".
	Alias string

	// Bus hears MigrateStarted and MigrateFinished, once for each run, also when
	// there is nothing to do. No connection is held while receivers run. The error
	// of a receiver of MigrateStarted stops the run before anything has happened,
	// that of MigrateFinished is returned with the run's own. Nil: nobody hears.
	Bus *signals.Bus

	// LockTimeout is how long a run waits for others that migrate the same
	// database: 0 is 5 minutes, less than 0 is not at all.
	LockTimeout time.Duration
}

// Migrator runs the migrations of a site's apps on one database. It never changes
// after [New], so several goroutines may use it at once; their runs wait for each
// other as those of several processes do.
type Migrator struct {
	db      *sql.DB
	dialect string
	apps    []*app
	alias   string
	bus     *signals.Bus
	timeout time.Duration
}

// New reads and checks the files of every source. It does not use the database.
// The dialect is "postgres" or "sqlite", the name of the engine behind db, whose
// driver must know ExecContext, QueryContext and BeginTx; one connection of it is
// enough. All mistakes in the files are returned, as joined *[Error] values.
func New(db *sql.DB, dialect string, sources []Source, opts Options) (*Migrator, error) {
	if db == nil {
		return nil, errors.New("migrate: the database is nil; hand over an open *sql.DB")
	}
	if dialect != postgres && dialect != sqlite {
		return nil, fmt.Errorf("migrate: dialect %q is unknown; say %s or %s", dialect, postgres, sqlite)
	}
	m := &Migrator{db: db, dialect: dialect, alias: cmp.Or(opts.Alias, "default"), bus: opts.Bus,
		timeout: cmp.Or(opts.LockTimeout, defaultLockTimeout)}
	var errs []error
	taken := make(map[string]bool)
	for i, source := range sources {
		if source.App == "" {
			errs = append(errs, &Error{Err: fmt.Errorf("source %d has no app", i), Hint: "name the app that the files belong to"})
			continue
		}
		if taken[source.App] {
			errs = append(errs, &Error{App: source.App, Err: errors.New("the app has two sources"), Hint: "names of apps are unique"})
			continue
		}
		taken[source.App] = true
		a, err := source.read(dialect)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		m.apps = append(m.apps, a)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return m, nil
}

// Validate reads and checks the files of one app as [New] does, and returns the
// mistakes in them. It needs no database.
func Validate(dialect string, source Source) error {
	if dialect != postgres && dialect != sqlite {
		return fmt.Errorf("migrate: dialect %q is unknown; say %s or %s", dialect, postgres, sqlite)
	}
	_, err := source.read(dialect)
	return err
}

// Event is one migration on its way, for a line of progress: it is sent when the
// migration begins and, with Done, when it has ended. On SQLite, where others may
// change the history in between, a migration can begin a second time after those
// that must come before it.
type Event struct {
	App       string
	Name      string
	Backwards bool // taken back; Django's "Unapplying"
	Done      bool
	Duration  time.Duration // when Done; waiting for SQLite's lock included
	// Err is why it failed, an *[Error]. Without it a Done migration is in the
	// database, or out of it; on SQLite, another process may have done it.
	Err error
}

// Result is what one run did itself, also when it failed later.
type Result struct {
	Applied   []Migration // in this order
	Unapplied []Migration // in this order
	Duration  time.Duration
}

// Up applies every pending migration of every app: Django's migrate. It stops at
// the first failure, which is an *[Error]; what was applied before stays applied,
// and the next Up goes on from there. Up with nothing pending waits for no lock
// and writes nothing.
//
// progress may be nil. It is called in the goroutine of Up, which holds the lock
// meanwhile.
//
// When the context ends, the statement that is running is cancelled, its file is
// rolled back, and the error is the context's as well.
func (m *Migrator) Up(ctx context.Context, progress func(Event)) (Result, error) {
	return m.run(ctx, m.upwards, progress)
}

// To leads one app to a target: Django's migrate APP NAME. The target is the name
// of a migration or the beginning of it that fits one only ("0002"), [Zero] for
// before the first, or "" for the newest. A pending target is applied with all
// before it; from an applied one, everything after it is taken back, the newest
// first. Other apps stay as they are.
//
// Before anything runs To returns an *[Error] with [ErrUnknownApp],
// [ErrUnknownMigration] or [ErrAmbiguous] for names, and [ErrIrreversible] when
// one of the migrations cannot be taken back. For the rest it is like [Migrator.Up].
func (m *Migrator) To(ctx context.Context, app, target string, progress func(Event)) (Result, error) {
	next, err := m.towards(app, target)
	if err != nil {
		return Result{}, err
	}
	return m.run(ctx, next, progress)
}
