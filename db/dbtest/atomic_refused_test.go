package dbtest_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

func TestAtomic_WhatCannotWorkIsRefusedWithTheWayOut(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		queries := []string{"VACUUM", "PRAGMA foreign_keys = off"}
		if db.From(ctx).Dialect().Name().String() == "pg" {
			queries = []string{
				"LISTEN news", "NOTIFY news", "SELECT pg_notify('news', 'x')", "VACUUM fruit",
				"CREATE INDEX CONCURRENTLY fruit_name ON fruit (name)", "CREATE DATABASE other",
				"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
			}
			err := db.AtomicWith(ctx, db.AtomicOptions{Isolation: sql.LevelSerializable}, func(context.Context) error { return nil })
			if !errors.Is(err, dbtest.ErrWrapped) || !strings.Contains(err.Error(), "Serializable") {
				t.Errorf("%v, want ErrWrapped", err)
			}
		}
		for _, query := range append(queries, "SAVEPOINT mine", "BEGIN; SELECT 1; COMMIT") {
			if _, err := db.From(ctx).ExecContext(ctx, query); !errors.Is(err, dbtest.ErrWrapped) {
				t.Errorf("%s: %v, want ErrWrapped", query, err)
			}
		}
		if got := names(ctx, t); got != "apple" {
			t.Errorf("%q", got)
		}
	})
}

func TestAtomic_ATransactionThatIsLostSaysSo(t *testing.T) {
	wrapped(t, func(t *testing.T, ctx context.Context, conns *db.Connections) {
		if _, err := db.From(ctx).ExecContext(ctx, "SELECT 1; ROLLBACK; SELECT 1"); !errors.Is(err, dbtest.ErrWrapped) || !strings.Contains(err.Error(), "has ended the transaction") {
			t.Errorf("%v, want ErrWrapped", err)
		}
		if err := add(ctx, "pear"); !errors.Is(err, dbtest.ErrWrapped) {
			t.Errorf("%v, want ErrWrapped", err)
		}
	})
}

func TestAtomic_OtherAliasesAreFenced(t *testing.T) {
	t.Parallel()
	template := fruits()
	conns := dbtest.OpenAll(t, map[string]db.Settings{"default": template.Database(t, dbtest.SQLite), "replica": template.Database(t, dbtest.SQLite)})
	t.Run("named", func(t *testing.T) {
		ctx := dbtest.Atomic(t, conns, "default")
		if err := db.Using(ctx, "replica").EnsureConnection(ctx); !errors.Is(err, dbtest.ErrFenced) {
			t.Errorf("%v, want ErrFenced", err)
		}
	})
	t.Run("all", func(t *testing.T) {
		ctx := dbtest.Atomic(t, conns)
		if err := db.Using(ctx, "replica").EnsureConnection(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestAtomic_DeferredConstraintsAreCheckedAtTheEnd(t *testing.T) {
	t.Parallel()
	template := dbtest.NewTemplate(func(ctx context.Context, _ *db.Connections) error {
		for _, query := range []string{
			"CREATE TABLE tree (id integer PRIMARY KEY)",
			"CREATE TABLE leaf (tree integer REFERENCES tree (id) DEFERRABLE INITIALLY DEFERRED)",
		} {
			if _, err := db.From(ctx).ExecContext(ctx, query); err != nil {
				return err
			}
		}
		return nil
	})
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			conns := dbtest.Open(t, template.Database(t, engine))
			grow := func(ctx context.Context) error {
				_, err := db.From(ctx).ExecContext(ctx, "INSERT INTO leaf VALUES (7)")
				return err
			}
			r := &recorder{TB: t}
			ctx := dbtest.Atomic(r, conns)
			err := grow(ctx)
			if engine == dbtest.Postgres {
				block := db.Atomic(ctx, grow) // a commit tells at once
				if !errors.Is(block, db.ErrForeignKey) {
					t.Errorf("the commit says %v, want ErrForeignKey", block)
				}
			}
			r.end()
			if text := strings.Join(r.errors, "\n"); err != nil || !strings.Contains(text, "could not be committed") || !strings.Contains(strings.ToLower(text), "foreign key") {
				t.Errorf("%v; the end says %q", err, text)
			}
		})
	}
}

func TestAtomic_OnePoolAtATime(t *testing.T) {
	t.Parallel()
	conns := dbtest.Open(t, fruits().Database(t, dbtest.SQLite))
	dbtest.Atomic(t, conns)
	r := &recorder{TB: t}
	func() {
		defer func() { _ = recover() }()
		dbtest.Atomic(fatal{r}, conns)
	}()
	if text := strings.Join(r.errors, ""); !strings.Contains(text, "wrapped already, by "+t.Name()) {
		t.Errorf("%q", text)
	}
}
