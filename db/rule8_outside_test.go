package db_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

func TestRule8_AStatementWithoutTheBlocksContextIsRefused(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(outside context.Context, conn *db.Conn) error {
			err := db.Atomic(outside, func(ctx context.Context) error {
				err := insert(outside, 1)
				expectError(t, "a statement outside", err, db.ErrOutsideBlock)
				refused, ok := errors.AsType[*db.OutsideBlockError](err)
				if !ok {
					t.Fatalf("%T, want an OutsideBlockError", err)
				}
				expectText(t, "Here", refused.Here, "rule7_atomic_test.go:") // insert
				expectText(t, "Begun", refused.Begun, "rule8_outside_test.go:")
				expectText(t, "the error", err.Error(), refused.Here, refused.Begun, "context")
				expectError(t, "a row", db.From(outside).QueryRowContext(outside, "SELECT 1").Scan(new(int)), db.ErrOutsideBlock)
				expectError(t, "another block", db.Atomic(outside, func(context.Context) error { return nil }), db.ErrOutsideBlock)
				_, err = conn.BeginTx(outside, nil)
				expectError(t, "BeginTx", err, db.ErrOutsideBlock)
				expectError(t, "OnCommit", db.OnCommit(outside, func(context.Context) error { return nil }), db.ErrOutsideBlock)
				return insert(ctx, 2) // none of that has harmed the block
			})
			return errors.Join(err, insert(outside, 3))
		})
		expect(t, "stored", stored(t, conns), "2 3")
	})
}

func TestRule8_AStatementOfTheOuterBlockIsNotInTheInner(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return db.Atomic(ctx, func(outer context.Context) error {
				return db.Atomic(outer, func(inner context.Context) error {
					expectError(t, "with the outer context", insert(outer, 1), db.ErrOutsideBlock)
					return insert(inner, 2)
				})
			})
		})
		expect(t, "stored", stored(t, conns), "2")
	})
}

func TestRule8_AContextWhoseBlockHasEndedIsOutsideAgain(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			var ended, inner context.Context
			if err := db.Atomic(ctx, func(ctx context.Context) error {
				ended = ctx //nolint:fatcontext // kept beyond its block on purpose
				if err := db.Atomic(ctx, func(ctx context.Context) error {
					inner = ctx //nolint:fatcontext // likewise
					return nil
				}); err != nil {
					return err
				}
				return insert(inner, 1) // the outer one's, which it was in as well
			}); err != nil {
				return err
			}
			if err := insert(ended, 2); err != nil {
				return err
			}
			return db.Atomic(ctx, func(context.Context) error {
				expectError(t, "in another block", insert(ended, 3), db.ErrOutsideBlock)
				expectError(t, "in another block", insert(inner, 3), db.ErrOutsideBlock)
				return nil
			})
		})
		expect(t, "stored", stored(t, conns), "1 2")
	})
}

// A scope of its own has a connection of its own.
func TestRule8_ABlockStaysInItsScope(t *testing.T) {
	t.Parallel()
	settings := kept(dbtest.Database(t, dbtest.Postgres))
	conns := dbtest.Open(t, settings)
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		if err := exec(ctx, conn, "CREATE TABLE item (id integer PRIMARY KEY)"); err != nil {
			return err
		}
		return db.Atomic(ctx, func(ctx context.Context) error {
			if err := insert(ctx, 1); err != nil {
				return err
			}
			if err := db.Run(ctx, "task", func(ctx context.Context) error {
				expect(t, "the task is in a block", db.From(ctx).InAtomicBlock(), false)
				return insert(ctx, 2)
			}); err != nil {
				return err
			}
			return db.ErrRollback
		})
	})
	expect(t, "stored", stored(t, conns), "2")
}

func TestRule8_BlocksOfTwoAliasesDoNotMeet(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		other := dbtest.Database(t, settings.Engine)
		conns := dbtest.OpenAll(t, map[string]db.Settings{"default": kept(settings), "other": kept(other)})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			for _, alias := range []string{"default", "other"} {
				if err := exec(ctx, db.Using(ctx, alias), "CREATE TABLE item (id integer PRIMARY KEY)"); err != nil {
					return err
				}
			}
			err := db.AtomicWith(ctx, db.AtomicOptions{Alias: "other"}, func(ctx context.Context) error {
				expect(t, "default is in a block", conn.InAtomicBlock(), false)
				return errors.Join(insert(ctx, 1), exec(ctx, db.Using(ctx, "other"), "INSERT INTO item VALUES (2)"), errWanted)
			})
			expectError(t, "AtomicWith", err, errWanted)
			n, err := one[int](ctx, db.Using(ctx, "other"), "SELECT count(*) FROM item")
			expect(t, "rows in other", n, 0)
			return err
		})
		expect(t, "stored", stored(t, conns), "1")
	})
}

// Goroutines of one scope share its connection: only one of them is in a block.
func TestRule8_ConcurrentBlocksOfOneScopeNeverMix(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		for round := range 20 {
			scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
				var all sync.WaitGroup
				for g := range 4 {
					id := 1 + round*4 + g
					all.Go(func() {
						err := db.Atomic(ctx, func(ctx context.Context) error {
							if err := insert(ctx, id); err != nil {
								return err
							}
							if id%2 == 0 {
								return errWanted
							}
							return nil
						})
						n, countErr := db.From(ctx).NewSelect().Table("item").Where("id = ?", id).Count(ctx)
						switch {
						case countErr != nil: // another one's block is open
							expectError(t, "the count", countErr, db.ErrOutsideBlock)
						case err == nil:
							expect(t, "rows of a block that was committed", n, 1)
						default:
							expect(t, "rows of a block that was not", n, 0)
						}
						if err != nil && !errors.Is(err, errWanted) {
							expectError(t, "a block", err, db.ErrOutsideBlock)
						}
					})
				}
				all.Wait()
				return nil
			})
		}
	})
}

func TestBeginTx_IsABlock(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			tx, err := conn.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			expect(t, "in a block", conn.InAtomicBlock(), true)
			expectError(t, "a statement beside it", insert(ctx, 1), db.ErrOutsideBlock)
			expectText(t, "a statement beside it", insert(ctx, 1).Error(), "bun.Tx")
			err = db.OnCommit(ctx, func(context.Context) error { return nil })
			expectError(t, "OnCommit", err, db.ErrNoBlock)
			expectText(t, "OnCommit", err.Error(), "use Atomic", "rule8_outside_test.go:")
			if err := errors.Join(exec(ctx, tx, "INSERT INTO item (id) VALUES (2)"), tx.Commit()); err != nil {
				return err
			}
			expect(t, "in a block after it", conn.InAtomicBlock(), false)
			expect(t, "sent", sent(ctx), "BEGIN, INSERT, COMMIT")
			return insert(ctx, 3)
		})
		expect(t, "stored", stored(t, conns), "2 3")
	})
}

func TestBeginTx_InABlockIsASavepointAndEndsFirst(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return db.Atomic(ctx, func(ctx context.Context) error {
				tx, err := conn.BeginTx(ctx, nil)
				if err != nil {
					return err
				}
				expectError(t, "OnCommit", db.OnCommit(ctx, func(context.Context) error { return nil }), db.ErrNoBlock)
				if err := errors.Join(exec(ctx, tx, "INSERT INTO item (id) VALUES (1)"), tx.Rollback()); err != nil {
					return err
				}
				return insert(ctx, 2)
			})
		})
		expect(t, "stored", stored(t, conns), "2")
		err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error {
			var tx bun.Tx
			err := db.Atomic(ctx, func(ctx context.Context) (err error) {
				tx, err = conn.BeginTx(ctx, nil)
				return errors.Join(err, exec(ctx, tx, "INSERT INTO item (id) VALUES (3)"))
			})
			expectError(t, "the outer block", err, db.ErrBlockOrder)
			expectError(t, "its end comes too late", tx.Commit(), db.ErrBlockOrder)
			return insert(ctx, 4)
		})
		if err != nil {
			t.Error(err)
		}
		expect(t, "stored", stored(t, conns), "2 4")
	})
}

func TestBeginTx_AFailedStatementAbortsItAndCommitSaysSo(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			tx, err := conn.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if err := exec(ctx, tx, "INSERT INTO item (id) VALUES (1)"); err != nil {
				return err
			}
			expectError(t, "twice", exec(ctx, tx, "INSERT INTO item (id) VALUES (1)"), db.ErrUnique)
			expectError(t, "Commit", tx.Commit(), db.ErrTransactionAborted)
			return insert(ctx, 2)
		})
		expect(t, "stored", stored(t, conns), "2")
	})
}

func TestRunInTx_IsAtomic(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			ran := false
			err := conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				return errors.Join(insert(ctx, 1), exec(ctx, tx, "INSERT INTO item (id) VALUES (2)"),
					db.OnCommit(ctx, func(context.Context) error { ran = true; return nil }),
					db.Atomic(ctx, func(ctx context.Context) error {
						expectError(t, "the bun.Tx in an inner block", exec(ctx, tx, "SELECT 1"), db.ErrOutsideBlock)
						return insert(ctx, 3)
					}))
			})
			expect(t, "the callback ran", ran, true)
			if err != nil {
				return err
			}
			err = conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				return errors.Join(insert(ctx, 4), errWanted)
			})
			expectError(t, "a failed one", err, errWanted)
			return nil
		})
		expect(t, "stored", stored(t, conns), "1 2 3")
	})
}

func TestRunInTx_EndsItsTransactionItself(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			for name, end := range map[string]func(bun.Tx) error{"Commit": bun.Tx.Commit, "Rollback": bun.Tx.Rollback} {
				err := conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
					if err := insert(ctx, 1); err != nil {
						return err
					}
					expectError(t, name, end(tx), db.ErrInAtomicBlock)
					return nil
				})
				expectError(t, name+" swallowed", err, db.ErrTransactionAborted)
			}
			return nil
		})
		expect(t, "stored", stored(t, conns), "")
	})
}
