package db_test

import (
	"context"
	"database/sql"
	"iter"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/signals"
)

// The names that sites are written against: this file compiles, or a contract is
// broken.
var (
	_ func(map[string]db.Settings, db.Options) (*db.Connections, error) = db.Open

	_ = db.Options{
		Engines: []db.Engine{}, Bus: (*signals.Bus)(nil), Logger: (*slog.Logger)(nil), Debug: false,
		OnConnect: func(context.Context, string, bun.IConn) error { return nil },
	}
	_ = db.Settings{
		Engine: "", Name: "", User: "", Password: db.Secret(""), Host: "", Port: 0, Options: map[string]string{},
		ConnMaxAge: db.Forever, ConnHealthChecks: false, AtomicRequests: false,
		ConnLease: db.LeaseRequest, MaxConnections: 10, MaxWaiting: 0,
		AcquireTimeout: 5 * time.Second, ConnectTimeout: 3 * time.Second, ConnMaxIdle: 300 * time.Second, ConnReset: db.ResetAuto,
		HoldIdleWarn: time.Second, SlowStatement: time.Second, HoldLimit: 0, Pooler: db.PoolerNone,
	}
	_ db.Settings                           = db.Settings{}.WithDefaults()
	_ func(db.Settings, string) error       = db.Settings.Validate
	_ []db.Lease                            = []db.Lease{db.LeaseRequest, db.LeaseTransaction}
	_ []db.Pooler                           = []db.Pooler{db.PoolerNone, db.PoolerPgBouncer}
	_ []db.Reset                            = []db.Reset{db.ResetAuto, db.ResetAlways, db.ResetRollback, db.ResetNone}
	_ func(key, value string) string        = db.Redact
	_ string                                = db.DefaultAlias
	_ interface{ Dialect() schema.Dialect } = db.Engine(nil)
	_ interface{ Name() string }            = db.Engine(nil)
	_ interface {
		Open(alias string, s db.Settings) (pool.Driver, error)
	} = db.Engine(nil)

	_ func(*db.Connections, context.Context, string) (context.Context, *db.Scope)       = (*db.Connections).NewScope
	_ func(*db.Connections, context.Context, string, func(context.Context) error) error = (*db.Connections).Run
	_ func(*db.Connections, string) db.Stats                                            = (*db.Connections).Stats
	_ func(*db.Connections) []db.Holder                                                 = (*db.Connections).Holders
	_ func(*db.Connections, string) db.Snapshot                                         = (*db.Connections).Snapshot
	_ func(*db.Connections, context.Context) error                                      = (*db.Connections).Close
	_ func(*db.Connections, string) *sql.DB                                             = (*db.Connections).SQLDB
	_ func(*db.Connections, context.Context, string, string) (*db.Dedicated, error)     = (*db.Connections).Dedicated
	_ func(*db.Connections, string) error                                               = (*db.Connections).Invalidate
	_ func(*db.Connections) []string                                                    = (*db.Connections).Aliases
	_ func(*db.Connections, string) (db.Settings, bool)                                 = (*db.Connections).Settings

	_ = db.Holder{
		Alias: "", Name: "", Since: time.Time{}, Held: 0, Idle: 0, InAtomicBlock: false, LastStatement: "", At: "",
	}
	_ = db.Stats{Max: 0, Open: 0, InUse: 0, Idle: 0, Waiting: 0}

	_ func(*db.Scope) error                = (*db.Scope).End
	_ func(*db.Scope) string               = (*db.Scope).Name
	_ func(*db.Scope, string)              = (*db.Scope).SetName
	_ func(*db.Scope, db.Lease)            = (*db.Scope).SetLease
	_ func(*db.Scope) []db.Holder          = (*db.Scope).Respond
	_ func(*db.Scope) error                = (*db.Scope).RespondReleased
	_ func(*db.Scope) bool                 = (*db.Scope).Responding
	_ func(*db.Scope)                      = (*db.Scope).Keep
	_ func(*db.Scope) bool                 = (*db.Scope).Kept
	_ func(*db.Scope)                      = (*db.Scope).ReleaseIdle
	_ func(*db.Scope) error                = (*db.Scope).Held
	_ func(*db.Scope) error                = (*db.Scope).InAtomicBlock
	_ func(*db.Scope) (int, time.Duration) = (*db.Scope).Usage

	_ func(*db.Scope, context.Context, db.AtomicRequestsOptions) (context.Context, *db.RequestBlocks, error) = (*db.Scope).AtomicRequests

	_                               = db.AtomicRequestsOptions{Except: []string{}, Deferred: false}
	_ func(*db.Scope) error         = (*db.Scope).LeftOpen
	_ func(*db.RequestBlocks) bool  = (*db.RequestBlocks).Open
	_ func(*db.RequestBlocks) bool  = (*db.RequestBlocks).Begun
	_ func(*db.RequestBlocks) error = (*db.RequestBlocks).Commit
	_ func(*db.RequestBlocks) error = (*db.RequestBlocks).Rollback

	_ func(context.Context) *db.Conn                                   = db.From
	_ func(context.Context, string) *db.Conn                           = db.Using
	_ func(context.Context, string, func(context.Context) error) error = db.Run
	_ func(context.Context) error                                      = db.CloseOldConnections
	_ func(context.Context, ...string) error                           = db.Release
	_ func(context.Context)                                            = db.ResetQueries

	_ func(context.Context, func(context.Context) error) error                   = db.Atomic
	_ func(context.Context, db.AtomicOptions, func(context.Context) error) error = db.AtomicWith
	_ func(context.Context, func(context.Context) error) error                   = db.OnCommit
	_                                                                            = db.AtomicOptions{
		Alias: "", Durable: false, NoSavepoint: false, Isolation: sql.LevelDefault, ReadOnly: false, Retry: 0,
	}

	_ func(context.Context, *bun.SelectQuery, ...db.IterateOptions) iter.Seq2[struct{}, error] = db.Iterate[struct{}]
	_                                                                                          = db.IterateOptions{BatchSize: 0, OrderBy: []string{}}

	_ bun.IDB                               = (*db.Conn)(nil)
	_ func(*db.Conn, context.Context) error = (*db.Conn).EnsureConnection
	_ func(*db.Conn, context.Context) bool  = (*db.Conn).IsUsable
	_ func(*db.Conn) error                  = (*db.Conn).Close

	_ func(*db.Conn, context.Context, func(driverConn any) error) error = (*db.Conn).Raw

	_ bun.IConn                                                              = (*db.Dedicated)(nil)
	_ func(*db.Dedicated) error                                              = (*db.Dedicated).Close
	_ func(*db.Dedicated) string                                             = (*db.Dedicated).Name
	_ func(*db.Dedicated) string                                             = (*db.Dedicated).Alias
	_ func(*db.Dedicated, context.Context, func(driverConn any) error) error = (*db.Dedicated).Raw

	_ func(context.Context, string, func(*pgx.Conn) error) error        = postgres.Raw
	_ func(context.Context, *db.Dedicated, func(*pgx.Conn) error) error = postgres.RawOf

	_ func(*db.Conn) bool       = (*db.Conn).InAtomicBlock
	_ func(*db.Conn) []db.Query = (*db.Conn).Queries
	_ func(*db.Conn) string     = (*db.Conn).Alias

	_ func(*db.Conn, context.Context, func(context.Context) error) error                                = (*db.Conn).OnCommit
	_ func(*db.Conn, context.Context, *sql.TxOptions) (bun.Tx, error)                                   = (*db.Conn).BeginTx
	_ func(*db.Conn, context.Context, *sql.TxOptions, func(ctx context.Context, tx bun.Tx) error) error = (*db.Conn).RunInTx

	_ = db.Query{SQL: "", Duration: 0, At: "", Err: nil}

	_ = []error{
		db.ErrNoScope, db.ErrScopeEnded, db.ErrOutsideScope, db.ErrHeldAcrossYield, db.ErrReleased, db.ErrBusy,
		db.ErrInAtomicBlock, db.ErrConnectionLost, db.ErrUnavailable, db.ErrClosed, db.ErrSelfDeadlock, db.ErrNoDedicated, db.ErrNeedsSession, db.ErrHoldLimit,
		&db.SettingsError{Alias: "", Key: "", Problem: "", Hint: ""},
		&db.UnknownAliasError{Alias: "", Have: []string{}},
		&db.HeldError{Alias: "", What: "", Opened: "", Yielded: ""},
		&db.AcquireError{}, &db.BusyError{}, &db.ReleasedError{},

		db.ErrRollback, db.ErrOutsideBlock, db.ErrTransactionAborted, db.ErrBlockOrder, db.ErrCommitUnknown, db.ErrNoBlock, db.ErrOnCommit,
		&db.OutsideBlockError{Alias: "", Here: "", Begun: ""},
		&db.AbortedError{Alias: "", Here: "", First: "", Query: "", Err: nil},
		db.ErrDatabase, db.ErrData, db.ErrIntegrity, db.ErrUnique, db.ErrForeignKey, db.ErrNotNull, db.ErrCheck,
		db.ErrOperational, db.ErrSerialization, db.ErrProgramming, db.ErrNotSupported, db.ErrInternal,
	}
)
