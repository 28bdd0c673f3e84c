package db_test

import (
	"context"
	"errors"
	"testing"

	"github.com/goquintet/quintet/db"
)

// Django's tests of atomic, under its names; numbers are those of the list in
// app/DJANGO.md. Its exceptions are errors here.

// atomicCase runs fn in a scope on each engine, and compares what is stored then.
func atomicCase(t *testing.T, want string, fn func(t *testing.T, ctx context.Context)) {
	t.Helper()
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			fn(t, ctx)
			expect(t, "in a block", conn.InAtomicBlock(), false)
			return nil
		})
		expect(t, "stored", stored(t, conns), want)
	})
}

// in is a block that runs the steps and ends with the first error.
func in(o db.AtomicOptions, steps ...func(ctx context.Context) error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		return db.AtomicWith(ctx, o, func(ctx context.Context) error {
			for _, step := range steps {
				if err := step(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func add(id int) func(ctx context.Context) error {
	return func(ctx context.Context) error { return insert(ctx, id) }
}

func fail(context.Context) error { return errWanted }

// caught is a step whose error is dealt with.
func caught(t *testing.T, want error, step func(ctx context.Context) error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		t.Helper()
		expectError(t, "the block", step(ctx), want)
		return nil
	}
}

var (
	atomicBlock = db.AtomicOptions{}
	mergedBlock = db.AtomicOptions{NoSavepoint: true}
	durable     = db.AtomicOptions{Durable: true}
)

// Django: transactions.tests.AtomicTests.test_decorator_syntax_commit (TX-001).
func TestAtomicTests_DecoratorSyntaxCommit(t *testing.T) {
	atomicCase(t, "1", func(t *testing.T, ctx context.Context) {
		expectError(t, "the block", in(atomicBlock, add(1))(ctx), nil)
	})
}

// Django: transactions.tests.AtomicTests.test_rollback (TX-006).
func TestAtomicTests_Rollback(t *testing.T) {
	atomicCase(t, "", func(t *testing.T, ctx context.Context) {
		expectError(t, "the block", in(atomicBlock, add(1), fail)(ctx), errWanted)
	})
}

// Django: transactions.tests.AtomicTests.test_nested_commit_commit (TX-007).
func TestAtomicTests_NestedCommitCommit(t *testing.T) {
	atomicCase(t, "1 2", func(t *testing.T, ctx context.Context) {
		expectError(t, "the block", in(atomicBlock, add(1), in(atomicBlock, add(2)))(ctx), nil)
	})
}

// Django: transactions.tests.AtomicTests.test_nested_rollback_commit (TX-009).
func TestAtomicTests_NestedRollbackCommit(t *testing.T) {
	atomicCase(t, "", func(t *testing.T, ctx context.Context) {
		expectError(t, "the block", in(atomicBlock, add(1), in(atomicBlock, add(2)), fail)(ctx), errWanted)
	})
}

// Django: transactions.tests.AtomicTests.test_nested_rollback_rollback (TX-010).
func TestAtomicTests_NestedRollbackRollback(t *testing.T) {
	atomicCase(t, "", func(t *testing.T, ctx context.Context) {
		expectError(t, "the block", in(atomicBlock, add(1), caught(t, errWanted, in(atomicBlock, add(2), fail)), fail)(ctx), errWanted)
	})
}

// Django: transactions.tests.AtomicTests.test_merged_commit_rollback (TX-012). The outer
// block says so here; Django's ends as if it had committed.
func TestAtomicTests_MergedCommitRollback(t *testing.T) {
	atomicCase(t, "", func(t *testing.T, ctx context.Context) {
		err := in(atomicBlock, add(1), caught(t, errWanted, in(mergedBlock, add(2), fail)))(ctx)
		expectError(t, "the block", err, db.ErrTransactionAborted)
		expectError(t, "the block", err, errWanted)
	})
}

// Django: transactions.tests.AtomicTests.test_merged_rollback_commit (TX-013).
func TestAtomicTests_MergedRollbackCommit(t *testing.T) {
	atomicCase(t, "", func(t *testing.T, ctx context.Context) {
		expectError(t, "the block", in(atomicBlock, add(1), in(mergedBlock, add(2)), fail)(ctx), errWanted)
	})
}

// reuse is a block that may be opened inside of itself.
func reuse(id int, inner ...func(ctx context.Context) error) func(ctx context.Context) error {
	return in(atomicBlock, append([]func(ctx context.Context) error{add(id)}, inner...)...)
}

// Django: transactions.tests.AtomicTests.test_reuse_commit_commit (TX-015).
func TestAtomicTests_ReuseCommitCommit(t *testing.T) {
	atomicCase(t, "1 2", func(t *testing.T, ctx context.Context) {
		expectError(t, "the block", reuse(1, reuse(2))(ctx), nil)
	})
}

// Django: transactions.tests.AtomicTests.test_reuse_commit_rollback (TX-016).
func TestAtomicTests_ReuseCommitRollback(t *testing.T) {
	atomicCase(t, "1", func(t *testing.T, ctx context.Context) {
		expectError(t, "the block", reuse(1, caught(t, errWanted, reuse(2, fail)))(ctx), nil)
	})
}

// Django: transactions.tests.AtomicTests.test_reuse_rollback_rollback (TX-018).
func TestAtomicTests_ReuseRollbackRollback(t *testing.T) {
	atomicCase(t, "", func(t *testing.T, ctx context.Context) {
		expectError(t, "the block", reuse(1, caught(t, errWanted, reuse(2, fail)), fail)(ctx), errWanted)
	})
}

// Django: transactions.tests.AtomicTests.test_force_rollback (TX-019): set_rollback is
// ErrRollback.
func TestAtomicTests_ForceRollback(t *testing.T) {
	atomicCase(t, "", func(t *testing.T, ctx context.Context) {
		expectError(t, "the block", in(atomicBlock, add(1), func(context.Context) error { return db.ErrRollback })(ctx), nil)
	})
}

// Django: transactions.tests.AtomicTests.test_failure_on_exit_transaction (TX-021). The
// savepoint is gone when the block wants to release it.
func TestAtomicTests_FailureOnExitTransaction(t *testing.T) {
	atomicCase(t, "", func(t *testing.T, ctx context.Context) {
		err := in(atomicBlock, add(1), caught(t, db.ErrDatabase, in(atomicBlock, add(2), func(ctx context.Context) error {
			return exec(ctx, db.From(ctx), "RELEASE SAVEPOINT atomic_1")
		})), caught(t, db.ErrTransactionAborted, add(3)))(ctx)
		expectError(t, "the outer block", err, db.ErrTransactionAborted)
	})
}

// Django: transactions.tests.AtomicMergeTests.test_merged_outer_rollback (TX-022).
func TestAtomicMerge_MergedOuterRollback(t *testing.T) {
	atomicCase(t, "", func(t *testing.T, ctx context.Context) {
		err := in(atomicBlock, add(1), in(mergedBlock, add(2),
			caught(t, errWanted, in(mergedBlock, add(3), fail)),
			caught(t, db.ErrTransactionAborted, add(4))))(ctx)
		expectError(t, "the block", err, db.ErrTransactionAborted)
	})
}

// Django: transactions.tests.AtomicMergeTests: the inner savepoint takes the failure.
func TestAtomicMerge_MergedInnerSavepointRollback(t *testing.T) {
	atomicCase(t, "1", func(t *testing.T, ctx context.Context) {
		err := in(atomicBlock, add(1), caught(t, db.ErrTransactionAborted, in(atomicBlock, add(2),
			caught(t, errWanted, in(mergedBlock, add(3), fail)))))(ctx)
		expectError(t, "the block", err, nil)
	})
}

// Django: transactions.tests.AtomicMiscTests.
// test_mark_for_rollback_on_error_in_autocommit (TX-033).
func TestAtomicMisc_MarkForRollbackOnErrorInAutocommit(t *testing.T) {
	atomicCase(t, "1 2", func(t *testing.T, ctx context.Context) {
		expectError(t, "a statement", errors.Join(insert(ctx, 1), insert(ctx, 1)), db.ErrUnique)
		expectError(t, "the next", insert(ctx, 2), nil)
	})
}

// Django: transactions.tests.DurableTestsBase.test_commit (TX-036).
func TestDurable_Commit(t *testing.T) {
	atomicCase(t, "1", func(t *testing.T, ctx context.Context) {
		expectError(t, "the block", in(durable, add(1))(ctx), nil)
	})
}

// Django: transactions.tests.DurableTestsBase.test_nested_outer_durable (TX-037).
func TestDurable_NestedOuterDurable(t *testing.T) {
	atomicCase(t, "1 2", func(t *testing.T, ctx context.Context) {
		expectError(t, "the block", in(durable, add(1), in(atomicBlock, add(2)))(ctx), nil)
	})
}

// Django: transactions.tests.DurableTestsBase.test_nested_inner_durable (TX-039).
func TestDurable_NestedInnerDurable(t *testing.T) {
	atomicCase(t, "", func(t *testing.T, ctx context.Context) {
		err := in(atomicBlock, add(1), in(durable, add(2)))(ctx)
		expectError(t, "the block", err, db.ErrInAtomicBlock)
		expectError(t, "one in a durable one", in(durable, in(durable))(ctx), db.ErrInAtomicBlock)
	})
}

// Django: transactions.tests.DurableTestsBase.test_sequence_of_durables (TX-040).
func TestDurable_SequenceOfDurables(t *testing.T) {
	atomicCase(t, "1 2", func(t *testing.T, ctx context.Context) {
		expectError(t, "the blocks", errors.Join(in(durable, add(1))(ctx), in(durable, add(2))(ctx)), nil)
	})
}
