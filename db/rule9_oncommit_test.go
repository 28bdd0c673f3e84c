package db_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db"
)

// turn is a callback that remembers its turn.
func turn(turns *[]string, name string, err error) func(context.Context) error {
	return func(context.Context) error { *turns = append(*turns, name); return err }
}

func TestRule9_OnCommitRunsAtOnceOutsideOfABlock(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			var turns []string
			err := db.OnCommit(ctx, turn(&turns, "now", errWanted))
			expect(t, "its error", err, errWanted)
			expect(t, "turns", len(turns), 1)
			return nil
		})
		expectError(t, "without a scope", db.OnCommit(t.Context(), func(context.Context) error { return nil }), db.ErrNoScope)
	})
}

func TestRule9_CallbacksRunAfterTheOutermostCommitInTheirOrder(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		var turns []string
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			err := db.Atomic(ctx, func(ctx context.Context) error {
				return errors.Join(
					db.OnCommit(ctx, turn(&turns, "1", nil)),
					db.Atomic(ctx, func(ctx context.Context) error { return db.OnCommit(ctx, turn(&turns, "2", nil)) }),
					db.OnCommit(ctx, func(ctx context.Context) error {
						expect(t, "a block is open", conn.InAtomicBlock(), false)
						turns = append(turns, "3")
						return insert(ctx, 1)
					}),
					db.AtomicWith(ctx, db.AtomicOptions{NoSavepoint: true}, func(ctx context.Context) error { return db.OnCommit(ctx, turn(&turns, "4", nil)) }),
					ranNothing(t, turns),
				)
			})
			return err
		})
		expect(t, "turns", strings.Join(turns, " "), "1 2 3 4")
		expect(t, "stored", stored(t, conns), "1")
	})
}

func ranNothing(t *testing.T, turns []string) error {
	t.Helper()
	expect(t, "turns before the commit", len(turns), 0)
	return nil
}

func TestRule9_WhatIsRolledBackTakesItsCallbacksAlong(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		var turns []string
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return db.Atomic(ctx, func(ctx context.Context) error {
				lost := db.Atomic(ctx, func(ctx context.Context) error {
					return errors.Join(db.OnCommit(ctx, turn(&turns, "lost", nil)),
						db.Atomic(ctx, func(ctx context.Context) error { return db.OnCommit(ctx, turn(&turns, "lost with it", nil)) }),
						errWanted)
				})
				expectError(t, "the savepoint", lost, errWanted)
				return db.OnCommit(ctx, turn(&turns, "kept", nil))
			})
		})
		expect(t, "turns", strings.Join(turns, ", "), "kept")
	})
}

func TestF23_ACallbackThatFailsCostsNoOtherAndNoCommit(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		var turns []string
		second := errors.New("the second")
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			err := db.Atomic(ctx, func(ctx context.Context) error {
				return errors.Join(insert(ctx, 1),
					db.OnCommit(ctx, turn(&turns, "1", errWanted)),
					db.OnCommit(ctx, func(context.Context) error { panic("oops") }),
					db.OnCommit(ctx, turn(&turns, "3", second)),
					db.OnCommit(ctx, turn(&turns, "4", nil)))
			})
			for _, want := range []error{db.ErrOnCommit, errWanted, second} {
				expectError(t, "Atomic", err, want)
			}
			expectText(t, "Atomic", err.Error(), "oops", "rule9_oncommit_test.go:")
			return nil
		})
		expect(t, "turns", strings.Join(turns, " "), "1 3 4")
		expect(t, "stored", stored(t, conns), "1")
	})
}

func TestRule9_TheClientMayLeaveOnceTheFunctionHasReturned(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		client, leave := context.WithCancel(t.Context())
		ran := false
		err := try(client, conns, func(ctx context.Context, conn *db.Conn) error {
			last := &lastMoment{ctx, leave, false}
			return db.Atomic(last, func(ctx context.Context) error {
				err := errors.Join(insert(ctx, 1), db.OnCommit(ctx, func(ctx context.Context) error {
					expect(t, "the client is there", client.Err() == nil, false)
					ran = true
					return insert(ctx, 2)
				}))
				last.returned = true
				return err
			})
		})
		if err != nil {
			t.Error(err)
		}
		expect(t, "the callback ran", ran, true)
		expect(t, "stored", stored(t, conns), "1 2")
	})
}

// lastMoment is the context of a client that leaves right after it was asked, once
// the function has returned, whether it is there.
type lastMoment struct {
	context.Context
	leave    context.CancelFunc
	returned bool
}

func (c *lastMoment) Err() error {
	err := c.Context.Err()
	if c.returned {
		c.leave()
	}
	return err
}

func TestRule9_AClientThatHasLeftBeforeRollsBack(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		client, leave := context.WithCancelCause(t.Context())
		why := errors.New("the client has left")
		err := try(client, conns, func(ctx context.Context, conn *db.Conn) error {
			return db.Atomic(ctx, func(ctx context.Context) error {
				err := errors.Join(insert(ctx, 1), db.OnCommit(ctx, func(context.Context) error { t.Error("it ran"); return nil }))
				leave(why)
				return err
			})
		})
		expectError(t, "Atomic", err, context.Canceled)
		expectError(t, "Atomic", err, why)
		expect(t, "stored", stored(t, conns), "")
		expect(t, "connections opened", stats(conns).Opened, 1)
	})
}

func TestRule9_OtherDatabasesHaveTheirOwn(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		var turns []string
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return db.Atomic(ctx, func(ctx context.Context) error {
				err := db.Using(ctx, db.DefaultAlias).OnCommit(ctx, turn(&turns, "1", nil))
				expect(t, "turns before the commit", slices.Contains(turns, "1"), false)
				_, unknown := errors.AsType[*db.UnknownAliasError](db.Using(ctx, "nowhere").OnCommit(ctx, turn(&turns, "2", nil)))
				expect(t, "an alias that does not exist is an error", unknown, true)
				return err
			})
		})
		expect(t, "turns", strings.Join(turns, " "), "1")
	})
}
