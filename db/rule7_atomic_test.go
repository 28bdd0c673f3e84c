package db_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// blocks runs a test on each engine with a table to write into.
func blocks(t *testing.T, test func(t *testing.T, conns *db.Connections)) {
	t.Helper()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, kept(settings), db.Options{Debug: true})
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return exec(ctx, conn, "CREATE TABLE item (id integer PRIMARY KEY, parent integer REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED)")
		})
		test(t, conns)
		if settings.Engine == dbtest.Postgres {
			expect(t, "sessions idle in transaction", idleInTransaction(t, settings), "0")
		}
	})
}

func idleInTransaction(t testing.TB, settings db.Settings) string {
	t.Helper()
	rows, err := dbtest.Server(t).Query(t.Context(), "postgres",
		"SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND state LIKE 'idle in transaction%'", settings.Name)
	if err != nil {
		t.Fatal(err)
	}
	return rows[0][0]
}

func insert(ctx context.Context, id int) error {
	_, err := db.From(ctx).NewInsert().Model(&item{ID: id}).Exec(ctx)
	return err
}

type item struct {
	bun.BaseModel `bun:"table:item"`
	ID            int `bun:",pk"`
}

// stored are the items that a new scope sees.
func stored(t testing.TB, conns *db.Connections) string {
	t.Helper()
	var ids []string
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		return conn.NewSelect().Table("item").Column("id").Order("id").Scan(ctx, &ids)
	})
	return strings.Join(ids, " ")
}

// sent are the statements of the scope so far.
func sent(ctx context.Context) string {
	var texts []string
	for _, q := range db.From(ctx).Queries() {
		word, rest, _ := strings.Cut(q.SQL, " ")
		if word == "SAVEPOINT" || word == "RELEASE" || strings.HasPrefix(rest, "TO ") {
			word = q.SQL
		}
		texts = append(texts, word)
	}
	return strings.Join(texts, ", ")
}

var errWanted = errors.New("changed my mind")

func TestRule7_ABlockCostsBeginAndCommitAndNothingElse(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			err := db.Atomic(ctx, func(ctx context.Context) error {
				expect(t, "in a block", conn.InAtomicBlock(), true)
				return insert(ctx, 1)
			})
			expect(t, "in a block after it", conn.InAtomicBlock(), false)
			expect(t, "sent", sent(ctx), "BEGIN, INSERT, COMMIT")
			return err
		})
		expect(t, "stored", stored(t, conns), "1")
	})
}

func TestRule7_ANestedBlockIsASavepointThatIsReleased(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			err := db.Atomic(ctx, func(ctx context.Context) error {
				kept := db.Atomic(ctx, func(ctx context.Context) error { return insert(ctx, 1) })
				lost := db.Atomic(ctx, func(ctx context.Context) error { return errors.Join(insert(ctx, 2), errWanted) })
				expectError(t, "the failed one", lost, errWanted)
				return errors.Join(kept, insert(ctx, 3))
			})
			expect(t, "sent", sent(ctx), "BEGIN, SAVEPOINT atomic_1, INSERT, RELEASE SAVEPOINT atomic_1, "+
				"SAVEPOINT atomic_1, INSERT, ROLLBACK TO SAVEPOINT atomic_1; RELEASE SAVEPOINT atomic_1, INSERT, COMMIT")
			return err
		})
		expect(t, "stored", stored(t, conns), "1 3")
	})
}

func TestRule7_AFailedStatementThatWasSwallowedAbortsTheBlock(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			ran := false
			err := db.Atomic(ctx, func(ctx context.Context) error {
				if err := errors.Join(insert(ctx, 1), db.OnCommit(ctx, func(context.Context) error { ran = true; return nil })); err != nil {
					return err
				}
				first := insert(ctx, 1)
				expectError(t, "the statement", first, db.ErrUnique)
				later := insert(ctx, 2)
				expectError(t, "a later statement", later, db.ErrTransactionAborted)
				expectError(t, "a later statement", later, db.ErrUnique)
				expectText(t, "a later statement", later.Error(), "INSERT INTO", first.Error(), "rule7_atomic_test.go:")
				expectError(t, "a nested block", db.Atomic(ctx, func(context.Context) error { t.Error("it ran"); return nil }), db.ErrTransactionAborted)
				return nil
			})
			expectError(t, "Atomic", err, db.ErrTransactionAborted)
			aborted, ok := errors.AsType[*db.AbortedError](err)
			if !ok {
				t.Fatalf("%T, want an AbortedError", err)
			}
			expectText(t, "its first place", aborted.First, "rule7_atomic_test.go:")
			expectText(t, "its query", aborted.Query, "INSERT INTO")
			expect(t, "the callback ran", ran, false)
			expect(t, "sent", sent(ctx), "BEGIN, INSERT, INSERT, ROLLBACK")
			return insert(ctx, 3) // the connection is well
		})
		expect(t, "stored", stored(t, conns), "3")
	})
}

func TestRule7_ASavepointAbsorbsAFailure(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return db.Atomic(ctx, func(ctx context.Context) error {
				err := db.Atomic(ctx, func(ctx context.Context) error {
					if err := insert(ctx, 1); err != nil {
						return err
					}
					_ = insert(ctx, 1)
					return nil
				})
				expectError(t, "the inner block", err, db.ErrTransactionAborted)
				return insert(ctx, 2)
			})
		})
		expect(t, "stored", stored(t, conns), "2")
	})
}

// What never reached the database has done no harm there.
func TestRule7_ErrorsThatAreNotTheDatabasesAbortNothing(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return db.Atomic(ctx, func(ctx context.Context) error {
				conn := db.From(ctx)
				err := conn.NewSelect().Table("item").Column("id").Scan(ctx, new(int))
				expectError(t, "no rows", err, sql.ErrNoRows)
				if err := conn.QueryRowContext(ctx, "SELECT 'text'").Scan(new(int)); err == nil {
					t.Error("text was scanned into a number")
				}
				rows, err := conn.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
				if err != nil {
					return err
				}
				expectError(t, "busy", insert(ctx, 1), db.ErrBusy)
				if err := rows.Close(); err != nil {
					return err
				}
				gone, cancel := context.WithCancel(ctx)
				cancel()
				expectError(t, "a context that has ended", insert(gone, 1), context.Canceled)
				return insert(ctx, 2)
			})
		})
		expect(t, "stored", stored(t, conns), "2")
	})
}

func TestRule7_AStatementThatWasCancelledAbortsTheBlock(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			err := db.Atomic(ctx, func(ctx context.Context) error {
				if err := insert(ctx, 1); err != nil {
					return err
				}
				short, cancel := context.WithCancel(ctx)
				go func() {
					awaitStatement(t, conns, "WITH RECURSIVE endless")
					cancel()
				}()
				_, err := one[int](short, db.From(ctx), endless)
				expectError(t, "the statement", err, context.Canceled)
				expectError(t, "a later one", insert(ctx, 2), db.ErrTransactionAborted)
				return nil
			})
			expectError(t, "Atomic", err, db.ErrTransactionAborted)
			return insert(ctx, 3)
		})
		expect(t, "stored", stored(t, conns), "3")
		expect(t, "connections opened", stats(conns).Opened, 1)
	})
}

func TestRule7_APanicRollsBackAndGoesOnAsTheSamePanic(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			value := &struct{ name string }{"mine"}
			func() {
				defer func() { expect(t, "recovered", recover(), any(value)) }()
				_ = db.Atomic(ctx, func(ctx context.Context) error {
					return db.Atomic(ctx, func(ctx context.Context) error {
						if err := insert(ctx, 1); err != nil {
							t.Error(err)
						}
						panic(value)
					})
				})
			}()
			expect(t, "in a block", conn.InAtomicBlock(), false)
			return insert(ctx, 2)
		})
		expect(t, "stored", stored(t, conns), "2")
	})
}

func TestRule7_ErrRollbackRollsBackWithoutAnError(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			err := db.Atomic(ctx, func(ctx context.Context) error { return errors.Join(insert(ctx, 1), db.ErrRollback) })
			if err != nil { // it says no more than that
				expectError(t, "joined to nothing", err, db.ErrRollback)
			}
			if err := db.Atomic(ctx, func(ctx context.Context) error {
				if err := insert(ctx, 2); err != nil {
					return err
				}
				return db.ErrRollback
			}); err != nil {
				return err
			}
			err = db.Atomic(ctx, func(ctx context.Context) error { return errors.Join(db.ErrRollback, errWanted) })
			expectError(t, "what is joined to it", err, errWanted)
			return nil
		})
		expect(t, "stored", stored(t, conns), "")
	})
}

func TestRule7_BlocksAreLeftInnermostFirst(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			inside, leave, left := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			err := db.Atomic(ctx, func(ctx context.Context) error {
				go func() {
					left <- db.Atomic(ctx, func(ctx context.Context) error {
						err := insert(ctx, 1)
						close(inside)
						<-leave
						expectError(t, "a statement in the inner block", insert(ctx, 2), db.ErrBlockOrder)
						return err
					})
				}()
				<-inside
				return nil
			})
			expectError(t, "the outer block", err, db.ErrBlockOrder)
			expectText(t, "the outer block", err.Error(), "rule7_atomic_test.go:")
			close(leave)
			expectError(t, "the inner block", <-left, db.ErrBlockOrder)
			return insert(ctx, 3)
		})
		expect(t, "stored", stored(t, conns), "3")
	})
}

func TestRule7_TransactionsAsTextAreRefusedInABlock(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return db.Atomic(ctx, func(ctx context.Context) error {
				for _, query := range []string{"COMMIT", "ROLLBACK", "begin", "END;", "START TRANSACTION", "abort"} {
					expectError(t, query, exec(ctx, db.From(ctx), query), db.ErrInAtomicBlock)
				}
				return insert(ctx, 1)
			})
		})
		expect(t, "stored", stored(t, conns), "1")
	})
}

// Libraries nest with savepoints of their own.
func TestRule7_ASavepointAsTextAbsorbsAFailureToo(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			return conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				if err := insert(ctx, 1); err != nil {
					return err
				}
				err := tx.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
					return exec(ctx, tx, "INSERT INTO item (id) VALUES (2)", "INSERT INTO item (id) VALUES (1)")
				})
				expectError(t, "the inner one", err, db.ErrUnique)
				return exec(ctx, tx, "INSERT INTO item (id) VALUES (3)")
			})
		})
		expect(t, "stored", stored(t, conns), "1 3")
	})
}

func TestRule7_ACommitThatTheDatabaseRefusesIsAnError(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			ran := false
			err := db.Atomic(ctx, func(ctx context.Context) error {
				return errors.Join(exec(ctx, db.From(ctx), "INSERT INTO item VALUES (1, 99)"),
					db.OnCommit(ctx, func(context.Context) error { ran = true; return nil }))
			})
			expectError(t, "the commit", err, db.ErrForeignKey)
			if errors.Is(err, db.ErrCommitUnknown) {
				t.Error("its outcome is known")
			}
			expect(t, "the callback ran", ran, false)
			return insert(ctx, 2)
		})
		expect(t, "stored", stored(t, conns), "2")
	})
}

func TestRule7_RowsThatStayOpenDoNotKeepTheTransactionOpen(t *testing.T) {
	t.Parallel()
	blocks(t, func(t *testing.T, conns *db.Connections) {
		scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
			err := db.Atomic(ctx, func(ctx context.Context) error {
				if err := insert(ctx, 1); err != nil {
					return err
				}
				_, err := db.From(ctx).QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
				return err
			})
			expectError(t, "Atomic", err, db.ErrBusy)
			return insert(ctx, 2)
		})
		expect(t, "stored", stored(t, conns), "2")
	})
}
