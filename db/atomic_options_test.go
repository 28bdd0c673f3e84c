package db_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

func TestAtomicWith_DurableIsTheOutermost(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		durable := db.AtomicOptions{Durable: true}
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return errors.Join(
				db.AtomicWith(ctx, durable, func(ctx context.Context) error {
					return db.Atomic(ctx, func(ctx context.Context) error { return insert(ctx, 1) })
				}),
				db.Atomic(ctx, func(ctx context.Context) error {
					err := db.AtomicWith(ctx, durable, func(context.Context) error { t.Error("it ran"); return nil })
					expectError(t, "an inner one", err, db.ErrInAtomicBlock)
					expectText(t, "an inner one", err.Error(), "Durable", "atomic_options_test.go:")
					return insert(ctx, 2)
				}))
		})
		expect(t, "stored", stored(t, conns), "1 2")
	})
}

func TestAtomicWith_ABlockWithoutASavepointTakesTheOuterOneAlong(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		merged := db.AtomicOptions{NoSavepoint: true}
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			if err := db.Atomic(ctx, func(ctx context.Context) error {
				return db.AtomicWith(ctx, merged, func(ctx context.Context) error { return insert(ctx, 1) })
			}); err != nil {
				return err
			}
			expect(t, "sent", sent(ctx), "BEGIN, INSERT, COMMIT")
			for _, cause := range []error{errWanted, db.ErrRollback} {
				err := db.Atomic(ctx, func(ctx context.Context) error {
					inner := db.AtomicWith(ctx, merged, func(ctx context.Context) error {
						if err := insert(ctx, 2); err != nil {
							return err
						}
						return cause
					})
					if errors.Is(cause, errWanted) {
						expect(t, "the inner one", inner, errWanted)
					} else {
						expect(t, "the inner one", inner, nil)
					}
					return nil
				})
				expectError(t, "the outer one", err, db.ErrTransactionAborted)
				expectText(t, "the outer one", err.Error(), "atomic_options_test.go:", cause.Error())
				expect(t, "it is no wish to roll back", errors.Is(err, db.ErrRollback), false)
			}
			return nil
		})
		expect(t, "stored", stored(t, conns), "1")
	})
}

func TestAtomicWith_IsolationAndReadOnly(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		settings, _ := conns.Settings(db.DefaultAlias)
		postgres := settings.Engine == dbtest.Postgres
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			for level, text := range map[sql.IsolationLevel]string{
				sql.LevelReadCommitted: "read committed", sql.LevelRepeatableRead: "repeatable read", sql.LevelSerializable: "serializable",
			} {
				err := db.AtomicWith(ctx, db.AtomicOptions{Isolation: level}, func(ctx context.Context) error {
					if !postgres {
						return nil
					}
					got, err := one[string](ctx, db.From(ctx), "SHOW transaction_isolation")
					expect(t, "isolation", got, text)
					return err
				})
				if !postgres && level != sql.LevelSerializable {
					if err == nil {
						t.Errorf("SQLite begins with %s", level)
						continue
					}
					expectText(t, "SQLite", err.Error(), level.String(), "Serializable")
				} else if err != nil {
					return err
				}
			}
			err := db.AtomicWith(ctx, db.AtomicOptions{Isolation: sql.LevelLinearizable}, func(context.Context) error { return nil })
			if err == nil {
				t.Error("a level that no engine has")
			}
			err = db.AtomicWith(ctx, db.AtomicOptions{ReadOnly: true}, func(ctx context.Context) error {
				_, err := one[int](ctx, db.From(ctx), "SELECT count(*) FROM item")
				return err
			})
			if err != nil {
				return err
			}
			err = db.AtomicWith(ctx, db.AtomicOptions{ReadOnly: true}, func(ctx context.Context) error { return insert(ctx, 1) })
			if err == nil {
				t.Error("a block that reads only has written")
			}
			return db.Atomic(ctx, func(ctx context.Context) error {
				err := db.AtomicWith(ctx, db.AtomicOptions{ReadOnly: true}, func(context.Context) error { return nil })
				expectError(t, "an inner block that reads only", err, db.ErrInAtomicBlock)
				return insert(ctx, 2)
			})
		})
		expect(t, "stored", stored(t, conns), "2")
	})
}

// Two blocks that have read what the other one writes: only one can win.
func TestAtomicWith_RetryRunsTheBlockAgain(t *testing.T) {
	t.Parallel()
	settings := kept(dbtest.Database(t, dbtest.Postgres))
	conns := dbtest.Open(t, settings)
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return exec(ctx, conn, "CREATE TABLE item (id integer PRIMARY KEY)")
	})
	for retries, want := range map[int]error{0: db.ErrSerialization, 1: nil} {
		attempts := 0
		err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
			serializable := db.AtomicOptions{Isolation: sql.LevelSerializable, Retry: retries}
			return db.AtomicWith(ctx, serializable, func(ctx context.Context) error {
				attempts++
				n, err := one[int](ctx, db.From(ctx), "SELECT count(*) FROM item")
				if err != nil {
					return err
				}
				if attempts == 1 {
					err := db.Run(ctx, "rival", func(ctx context.Context) error {
						return db.AtomicWith(ctx, db.AtomicOptions{Isolation: sql.LevelSerializable}, func(ctx context.Context) error {
							n, err := one[int](ctx, db.From(ctx), "SELECT count(*) FROM item")
							return errors.Join(err, insert(ctx, 100*(retries+1)+n))
						})
					})
					if err != nil {
						return err
					}
				}
				return insert(ctx, 1000*(retries+1)+n)
			})
		})
		if want == nil && err != nil || !errors.Is(err, want) {
			t.Errorf("with %d retries: %v, want %v", retries, err, want)
		}
		expect(t, "attempts", attempts, retries+1)
	}
}

// On SQLite a reader that wants to write what another one has written meanwhile is
// refused at once: waiting would not help it.
func TestAtomic_AReaderThatWantsToWriteTooLateIsASerializationFailure(t *testing.T) {
	t.Parallel()
	settings := kept(dbtest.Database(t, dbtest.SQLite))
	settings.Options = map[string]string{"transaction_mode": "deferred"}
	conns := dbtest.Open(t, settings)
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		if err := exec(ctx, conn, "CREATE TABLE item (id integer PRIMARY KEY)"); err != nil {
			return err
		}
		attempts := 0
		return db.AtomicWith(ctx, db.AtomicOptions{Retry: 1}, func(ctx context.Context) error {
			attempts++
			if _, err := one[int](ctx, db.From(ctx), "SELECT count(*) FROM item"); err != nil {
				return err
			}
			if attempts == 1 {
				if err := db.Run(ctx, "rival", func(ctx context.Context) error { return insert(ctx, 1) }); err != nil {
					return err
				}
				err := insert(ctx, 2)
				expectError(t, "the upgrade", err, db.ErrSerialization)
				expectError(t, "the upgrade", err, db.ErrOperational)
				return err
			}
			return insert(ctx, 2)
		})
	})
	expect(t, "stored", stored(t, conns), "1 2")
}

func TestErrors_HaveTheClassesOfDjangoOnEveryEngine(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, kept(settings))
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return exec(ctx, conn, "CREATE TABLE parent (id integer PRIMARY KEY, name text UNIQUE)",
				"CREATE TABLE child (parent integer NOT NULL REFERENCES parent (id), age integer CHECK (age >= 0))",
				"INSERT INTO parent VALUES (1, 'one')")
		})
		classes := []error{
			db.ErrData, db.ErrIntegrity, db.ErrUnique, db.ErrForeignKey, db.ErrNotNull, db.ErrCheck,
			db.ErrOperational, db.ErrSerialization, db.ErrProgramming, db.ErrNotSupported, db.ErrInternal,
		}
		rows := map[string][]error{
			"INSERT INTO parent VALUES (1, 'two')": {db.ErrIntegrity, db.ErrUnique},
			"INSERT INTO parent VALUES (2, 'one')": {db.ErrIntegrity, db.ErrUnique},
			"INSERT INTO child VALUES (9, 0)":      {db.ErrIntegrity, db.ErrForeignKey},
			"INSERT INTO child VALUES (NULL, 0)":   {db.ErrIntegrity, db.ErrNotNull},
			"INSERT INTO child VALUES (1, -1)":     {db.ErrIntegrity, db.ErrCheck},
			"SELECT * FROM nowhere":                {db.ErrProgramming},
			"SELEC 1":                              {db.ErrProgramming},
		}
		if settings.Engine == dbtest.Postgres {
			rows["SELECT 1 / 0"] = []error{db.ErrData}
			rows["SET LOCAL statement_timeout = 'soon'"] = []error{db.ErrData}
			rows["DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40001'; END $$"] = []error{db.ErrOperational, db.ErrSerialization}
			rows["DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40P01'; END $$"] = []error{db.ErrOperational, db.ErrSerialization}
			rows["DO $$ BEGIN RAISE EXCEPTION SQLSTATE '53100'; END $$"] = []error{db.ErrOperational}
			rows["DO $$ BEGIN RAISE EXCEPTION SQLSTATE '0A000'; END $$"] = []error{db.ErrNotSupported}
			rows["DO $$ BEGIN RAISE EXCEPTION SQLSTATE 'XX000'; END $$"] = []error{db.ErrInternal}
			rows["DO $$ BEGIN RAISE EXCEPTION SQLSTATE '23P01'; END $$"] = []error{db.ErrIntegrity}
		}
		for query, want := range rows {
			err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, query) })
			expectError(t, query, err, db.ErrDatabase)
			for _, class := range classes {
				expect(t, query+" is "+class.Error(), errors.Is(err, class), slices.Contains(want, class))
			}
		}
	})
}
