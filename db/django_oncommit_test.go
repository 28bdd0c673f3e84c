package db_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db"
)

// Django's tests of on_commit: transaction_hooks.tests.TestConnectionOnCommit. Its do()
// inserts a row and registers a callback that tells of it.

// hooks runs fn on each engine, and compares the rows and who was told of them.
func hooks(t *testing.T, rows, told string, fn func(t *testing.T, ctx context.Context, do func(id int) func(ctx context.Context) error)) {
	t.Helper()
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		var turns []string
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			fn(t, ctx, func(id int) func(ctx context.Context) error {
				return func(ctx context.Context) error {
					return errors.Join(db.OnCommit(ctx, turn(&turns, fmt.Sprint(id), nil)), insert(ctx, id))
				}
			})
			return nil
		})
		expect(t, "told", strings.Join(turns, " "), told)
		expect(t, "stored", stored(t, conns), rows)
	})
}

// test_delays_execution_until_after_transaction_commit (OC-006).
func TestConnectionOnCommit_DelaysExecutionUntilAfterTransactionCommit(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		var turns []string
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			err := db.Atomic(ctx, func(ctx context.Context) error {
				err := errors.Join(db.OnCommit(ctx, turn(&turns, "1", nil)), insert(ctx, 1))
				expect(t, "told before the commit", len(turns), 0)
				return err
			})
			expect(t, "told after it", len(turns), 1)
			return err
		})
	})
}

// test_executes_only_after_final_transaction_committed (OC-008).
func TestConnectionOnCommit_ExecutesOnlyAfterFinalTransactionCommitted(t *testing.T) {
	hooks(t, "1 2", "1 2", func(t *testing.T, ctx context.Context, do func(int) func(context.Context) error) {
		expectError(t, "the block", in(atomicBlock, in(atomicBlock, do(1)), do(2))(ctx), nil)
	})
}

// test_discards_hooks_from_rolled_back_savepoint (OC-009).
func TestConnectionOnCommit_DiscardsHooksFromRolledBackSavepoint(t *testing.T) {
	hooks(t, "1 3", "1 3", func(t *testing.T, ctx context.Context, do func(int) func(context.Context) error) {
		expectError(t, "the block", in(atomicBlock,
			in(atomicBlock, do(1)), caught(t, errWanted, in(atomicBlock, do(2), fail)), in(atomicBlock, do(3)))(ctx), nil)
	})
}

// test_inner_savepoint_rolled_back_with_outer (OC-011).
func TestConnectionOnCommit_InnerSavepointRolledBackWithOuter(t *testing.T) {
	hooks(t, "3", "3", func(t *testing.T, ctx context.Context, do func(int) func(context.Context) error) {
		expectError(t, "the block", in(atomicBlock,
			caught(t, errWanted, in(atomicBlock, in(atomicBlock, do(1)), do(2), fail)), do(3))(ctx), nil)
	})
}

// test_no_savepoints_atomic_merged_with_outer (OC-012).
func TestConnectionOnCommit_NoSavepointsAtomicMergedWithOuter(t *testing.T) {
	hooks(t, "", "", func(t *testing.T, ctx context.Context, do func(int) func(context.Context) error) {
		expectError(t, "the block", in(atomicBlock, in(atomicBlock, do(1),
			caught(t, errWanted, in(mergedBlock, do(2), fail))))(ctx), db.ErrTransactionAborted)
	})
}

// test_runs_hooks_in_order_registered (OC-014).
func TestConnectionOnCommit_RunsHooksInOrderRegistered(t *testing.T) {
	hooks(t, "1 2 3", "1 2 3", func(t *testing.T, ctx context.Context, do func(int) func(context.Context) error) {
		expectError(t, "the block", in(atomicBlock, do(1), in(atomicBlock, do(2)), do(3))(ctx), nil)
	})
}

// test_hooks_cleared_after_successful_commit (OC-015).
func TestConnectionOnCommit_HooksClearedAfterSuccessfulCommit(t *testing.T) {
	hooks(t, "1 2", "1 2", func(t *testing.T, ctx context.Context, do func(int) func(context.Context) error) {
		expectError(t, "the blocks", errors.Join(in(atomicBlock, do(1))(ctx), in(atomicBlock, do(2))(ctx)), nil)
	})
}

// test_error_in_hook_doesnt_prevent_clearing_hooks (OC-018).
func TestConnectionOnCommit_ErrorInHookDoesntPreventClearingHooks(t *testing.T) {
	hooks(t, "1", "1", func(t *testing.T, ctx context.Context, do func(int) func(context.Context) error) {
		err := in(atomicBlock, func(ctx context.Context) error { return db.OnCommit(ctx, fail) })(ctx)
		expectError(t, "the first block", err, db.ErrOnCommit)
		expectError(t, "the first block", err, errWanted)
		expectError(t, "the next", in(atomicBlock, do(1))(ctx), nil)
	})
}

// test_transaction_in_hook (OC-020).
func TestConnectionOnCommit_TransactionInHook(t *testing.T) {
	hooks(t, "1", "1", func(t *testing.T, ctx context.Context, do func(int) func(context.Context) error) {
		err := in(atomicBlock, func(ctx context.Context) error { return db.OnCommit(ctx, in(atomicBlock, in(atomicBlock, do(1)))) })(ctx)
		expectError(t, "the block", err, nil)
	})
}

// test_hook_in_hook (OC-021). Those that a callback's own block registers run right
// after that.
func TestConnectionOnCommit_HookInHook(t *testing.T) {
	hooks(t, "1 2 11 12", "1 11 2 12", func(t *testing.T, ctx context.Context, do func(int) func(context.Context) error) {
		hook := func(id int) func(ctx context.Context) error {
			return func(ctx context.Context) error {
				return errors.Join(do(id)(ctx), db.OnCommit(ctx, in(atomicBlock, do(10+id))))
			}
		}
		expectError(t, "the block", in(atomicBlock, hook(1), hook(2))(ctx), nil)
	})
}
