package db

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db/pool"
)

// IterateMode is how [Iterate] reads: what it holds, and what it sees.
type IterateMode string

const (
	// ModeKeyset reads batches that are statements of their own, each going on behind
	// the last key of the one before. Nothing is held in between.
	ModeKeyset IterateMode = "keyset"

	// ModeSnapshot reads one snapshot in one transaction, and says by name that its
	// connection is held for as long as the loop takes: [Holder] has Kept set, and a
	// stream may yield meanwhile.
	ModeSnapshot IterateMode = "snapshot"

	// ModeSpool reads everything at the speed of the database, into memory and then a
	// temporary file, gives the connection back, and only then begins the loop.
	ModeSpool IterateMode = "spool"
)

// IterateOptions shape [Iterate]. The zero value means the defaults.
//
// Which mode: ModeKeyset, unless the query has no unique order, has an order or a
// limit of its own or is a union, or must be seen at one moment. Then ModeSpool where
// the loop waits for a client and ModeSnapshot where it does not: a task that adds
// up what it reads. Two million rows as 124 MiB of CSV, from PostgreSQL to a client that
// takes 1 MiB/s, which is two minutes: ModeKeyset holds a connection for 4.6 % of the
// time, 3 ms for each thousand rows; ModeSpool for 3 s at the beginning, during which
// the client gets nothing, less than the whole takes for a client that is fast (7 s);
// ModeSnapshot for the two minutes. The process has 25 to 28 MiB of resident memory in
// each. "go run . export" in app/bench measures it.
type IterateOptions struct {
	// Mode is ModeKeyset when empty.
	Mode IterateMode

	// BatchSize is how many rows one statement reads, or one FETCH; 0 is 1000. It is
	// how many are in memory as values of T.
	BatchSize int

	// OrderBy are the columns that order the rows of ModeKeyset, together unique and
	// never null; a leading "-" turns the order round. Empty is the primary key. The
	// other modes keep the order of the query.
	OrderBy []string

	// SpoolMemory is how many bytes of rows ModeSpool keeps in memory, 0 is 1 MiB;
	// what is more goes to a file. SpoolDisk is how many bytes that may have, 0 is
	// 1 GiB; more is ErrSpoolFull. A negative SpoolDisk is for no file at all.
	SpoolMemory int
	SpoolDisk   int64

	// SpoolDir is the folder of the file, that of [os.TempDir] when empty. The file
	// has no name there: nobody finds it, and it is gone with the loop or the process,
	// also one that is killed. (Where the system removes no open file, as on Windows,
	// a killed process leaves it.)
	SpoolDir string
}

const (
	defaultBatchSize   = 1000
	defaultSpoolMemory = 1 << 20
	defaultSpoolDisk   = 1 << 30
)

// ErrSpoolFull reports rows that are more than SpoolMemory and SpoolDisk allow.
var ErrSpoolFull = errors.New("db: the spool is full")

// errStopped says that the loop has ended the iteration.
var errStopped = errors.New("db: the loop has ended")

// Iterate reads the rows of a query without ever having all of them in memory. T is
// the model, a struct. An error ends the iteration as its last pair. The query must
// not be used by anybody else while the iteration runs; iterating again starts anew.
// It may load relations to one, but not to many: load these for each batch.
//
// In ModeKeyset, the default, no connection is held between batches. A row that is
// written meanwhile is seen when its key is still ahead; none is seen twice. The query
// must have no order, limit or offset of its own and be no union: those are errors.
//
// In ModeSnapshot and ModeSpool any query will do that is one of [From] or [Using].
// Both see one moment, and within a block of ctx what that has written.
//
// In ModeSnapshot the loop runs inside of a transaction of its own that reads only:
// a cursor on PostgreSQL, open rows on SQLite. As with every block, other statements
// of the scope fail meanwhile with [ErrOutsideBlock], because they would become a
// part of it by accident. To query in the loop, have the loop in an [Atomic] block,
// and use its context; the snapshot is then a part of that block, and on SQLite
// other statements have to wait for its end ([ErrBusy]). HOLD_LIMIT counts, and
// HOLD_IDLE_WARN does not.
//
// In ModeSpool the scope's connection goes back when the last row is read, as with
// [Release], unless a block is open: the loop begins after that. Rows are kept as the
// driver has returned them, so that every T will do which could be read directly.
func Iterate[T any](ctx context.Context, q *bun.SelectQuery, o ...IterateOptions) iter.Seq2[T, error] {
	place := pool.Here(1)
	return func(yield func(T, error) bool) {
		var none T
		options, err := iterateOptions(o)
		if typ := reflect.TypeFor[T](); err == nil && typ.Kind() != reflect.Struct {
			err = fmt.Errorf("db: Iterate: %s is no struct; iterate over the model itself", typ)
		}
		if err == nil {
			switch options.Mode {
			case ModeSnapshot:
				err = iterateSnapshot(ctx, place, q, options, yield)
			case ModeSpool:
				err = iterateSpool(ctx, place, q, options, yield)
			default:
				err = iterateKeyset(ctx, place, q, options, yield)
			}
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(none, err)
		}
	}
}

// iterateOptions are the options with their defaults.
func iterateOptions(options []IterateOptions) (o IterateOptions, err error) {
	if len(options) > 0 {
		o = options[0]
	}
	if o.BatchSize == 0 {
		o.BatchSize = defaultBatchSize
	}
	if o.SpoolMemory == 0 {
		o.SpoolMemory = defaultSpoolMemory
	}
	if o.SpoolDisk == 0 {
		o.SpoolDisk = defaultSpoolDisk
	}
	switch {
	case o.BatchSize < 0:
		return o, fmt.Errorf("db: Iterate: BatchSize %d is negative; leave it out for %d", o.BatchSize, defaultBatchSize)
	case o.SpoolMemory < 0:
		return o, fmt.Errorf("db: Iterate: SpoolMemory %d is negative; leave it out for %d", o.SpoolMemory, defaultSpoolMemory)
	}
	switch o.Mode {
	case "", ModeKeyset, ModeSnapshot, ModeSpool:
	default:
		return o, fmt.Errorf("db: Iterate: Mode %q is unknown; say %q, %q or %q", o.Mode, ModeKeyset, ModeSnapshot, ModeSpool)
	}
	if len(o.OrderBy) > 0 && (o.Mode == ModeSnapshot || o.Mode == ModeSpool) {
		return o, fmt.Errorf("db: Iterate: OrderBy is for %q; order the query itself for %q", ModeKeyset, o.Mode)
	}
	return o, nil
}
