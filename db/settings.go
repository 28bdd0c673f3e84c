package db

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Forever is the age or idle time of a connection that is kept while it works:
// CONN_MAX_AGE: null, Django's None.
const Forever time.Duration = -1

// DefaultAlias is the alias that [From] uses: Django's DEFAULT_DB_ALIAS.
const DefaultAlias = "default"

// Settings configure one alias of DATABASES. The keys of the settings file are
// Django's, in upper case with underscores: ConnMaxAge is CONN_MAX_AGE. The zero
// value of a field means its default.
type Settings struct {
	Engine   string            // ENGINE: "sqlite" or "postgres" (also "postgresql")
	Name     string            // NAME: the database; for SQLite a file, or ":memory:"
	User     string            // USER
	Password Secret            // PASSWORD
	Host     string            // HOST: a name, an address, or the folder of a unix socket
	Port     int               // PORT: 0 is the engine's own
	Options  map[string]string // OPTIONS: handed to the engine, keys in lower case

	// ConnMaxAge (CONN_MAX_AGE) is how long one physical connection may serve
	// scopes. 0 closes it when the request that opened it gives it back, Forever
	// keeps it while it works. A connection is never closed in mid-lease, and up
	// to 5 % of the age are taken off so that connections do not end together.
	ConnMaxAge time.Duration
	// ConnHealthChecks (CONN_HEALTH_CHECKS) pings a kept connection once per
	// scope, before its first statement.
	ConnHealthChecks bool
	// AtomicRequests (ATOMIC_REQUESTS) puts a block around each view. It is lazy: a
	// view that never queries begins nothing and leases nothing.
	AtomicRequests bool

	ConnLease      Lease         // CONN_LEASE: request (default) or transaction
	MaxConnections int           // MAX_CONNECTIONS: 0 is 10
	MaxWaiting     int           // MAX_WAITING: how many may queue; 0 is no limit
	AcquireTimeout time.Duration // ACQUIRE_TIMEOUT: 0 is 5s; waiting, dialling, retrying, checking
	ConnectTimeout time.Duration // CONNECT_TIMEOUT: 0 is 3s, or ACQUIRE_TIMEOUT if that is shorter; for each attempt
	ConnMaxIdle    time.Duration // CONN_MAX_IDLE: 0 is 300s, Forever never closes
	ConnReset      Reset         // CONN_RESET: auto (default), always, rollback or none

	// HoldIdleWarn (HOLD_IDLE_WARN) is how long a lease may be held while the database
	// has nothing to do for it, before that is logged: 0 is 1s, Forever never.
	// Time in the database does not count. What KeepConnection or the snapshot of an
	// Iterate says by name is no warning: where a response waits meanwhile, it is
	// logged for information.
	HoldIdleWarn time.Duration
	// SlowStatement (SLOW_STATEMENT) is how long a statement may take before that is
	// logged: 0 is 1s, Forever never. The time is that in the database, of its rows
	// as well; what it has waited for a connection, and what its caller has done
	// between two rows, does not count. Django's django.db.backends logs every
	// statement, and only with DEBUG.
	SlowStatement time.Duration
	// HoldLimit (HOLD_LIMIT) is how long a lease may be held at all. Beyond it the
	// holder is cut off: what runs is cancelled, a transaction is rolled back, the
	// connection goes home, and the holder's next statement fails with [ErrHoldLimit].
	// 0 is no limit.
	HoldLimit time.Duration

	// Pooler (POOLER) is what stands between here and the server: none (default), or
	// pgbouncer, in its transaction mode, where each transaction may be on another
	// session. With it CONN_LEASE is transaction, nothing is reset (there is nothing
	// that could be kept), and what needs a session is refused: see package
	// db/postgres.
	Pooler Pooler
}

// Pooler is what stands between a site and its server.
type Pooler string

const (
	// PoolerNone is a server of its own, or a pooler in session mode.
	PoolerNone Pooler = "none"
	// PoolerPgBouncer is PgBouncer in transaction mode.
	PoolerPgBouncer Pooler = "pgbouncer"
)

// Lease is how long a scope holds a connection.
type Lease string

const (
	// LeaseRequest holds it from the first statement until the boundary or the
	// first byte to the client: Django's way, and the default.
	LeaseRequest Lease = "request"
	// LeaseTransaction holds it for one statement or one block, as PgBouncer's
	// transaction pooling does.
	LeaseTransaction Lease = "transaction"
)

// Reset is what happens to the state of a session when its holder gives it back.
type Reset string

const (
	// ResetAuto resets a session whose statements may have left something behind.
	ResetAuto Reset = "auto"
	// ResetAlways resets every session, one round trip each.
	ResetAlways Reset = "always"
	// ResetRollback ends open transactions and resets nothing else.
	ResetRollback Reset = "rollback"
	// ResetNone trusts every holder; open transactions are ended all the same.
	ResetNone Reset = "none"
)

const (
	defaultMaxConnections = 10
	defaultAcquireTimeout = 5 * time.Second
	defaultConnectTimeout = 3 * time.Second
	defaultConnMaxIdle    = 300 * time.Second
	defaultHoldIdleWarn   = time.Second
	defaultSlowStatement  = time.Second
)

// SettingsError is one mistake in the settings of an alias.
type SettingsError struct {
	Alias   string // "default"
	Key     string // "CONN_MAX_AGE"; empty when the alias itself is wrong
	Problem string // what is wrong with which value
	Hint    string // what to do now
}

// Error names the key, what is wrong with it, and what to do.
func (e *SettingsError) Error() string {
	where := "DATABASES"
	if e.Alias != "" {
		where += "." + e.Alias
	}
	if e.Key != "" {
		where += "." + e.Key
	}
	s := fmt.Sprintf("db: %s: %s", where, e.Problem)
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// WithDefaults returns a copy in which every zero value is replaced by what it
// means, and the engine by its one spelling.
func (s Settings) WithDefaults() Settings {
	s.Engine = strings.ToLower(s.Engine)
	if s.Engine == "postgresql" {
		s.Engine = "postgres"
	}
	s.Pooler = cmp.Or(s.Pooler, PoolerNone)
	if s.Pooler == PoolerPgBouncer {
		s.ConnLease = cmp.Or(s.ConnLease, LeaseTransaction)
	}
	s.ConnLease = cmp.Or(s.ConnLease, LeaseRequest)
	s.ConnReset = cmp.Or(s.ConnReset, ResetAuto)
	s.MaxConnections = cmp.Or(s.MaxConnections, defaultMaxConnections)
	s.AcquireTimeout = cmp.Or(s.AcquireTimeout, defaultAcquireTimeout)
	s.ConnectTimeout = cmp.Or(s.ConnectTimeout, min(defaultConnectTimeout, s.AcquireTimeout))
	s.ConnMaxIdle = cmp.Or(s.ConnMaxIdle, defaultConnMaxIdle)
	s.HoldIdleWarn = cmp.Or(s.HoldIdleWarn, defaultHoldIdleWarn)
	s.SlowStatement = cmp.Or(s.SlowStatement, defaultSlowStatement)
	return s
}

// Validate reports every mistake that can be seen without the engine, as joined
// *[SettingsError] values. Zero values are no mistakes.
func (s Settings) Validate(alias string) error {
	var errs []error
	bad := func(key, hint, problem string, args ...any) {
		errs = append(errs, &SettingsError{Alias: alias, Key: key, Problem: fmt.Sprintf(problem, args...), Hint: hint})
	}
	if s.Engine == "" {
		bad("ENGINE", "say sqlite or postgres", "is missing")
	}
	if s.ConnMaxAge < 0 && s.ConnMaxAge != Forever {
		bad("CONN_MAX_AGE", "use 0 to close after each request, or null to keep the connection", "%s is negative", s.ConnMaxAge)
	}
	if s.ConnMaxIdle < 0 && s.ConnMaxIdle != Forever {
		bad("CONN_MAX_IDLE", "use null to keep idle connections", "%s is negative", s.ConnMaxIdle)
	}
	if s.HoldIdleWarn < 0 && s.HoldIdleWarn != Forever {
		bad("HOLD_IDLE_WARN", "use null to log nothing", "%s is negative", s.HoldIdleWarn)
	}
	if s.SlowStatement < 0 && s.SlowStatement != Forever {
		bad("SLOW_STATEMENT", "use null to log nothing", "%s is negative", s.SlowStatement)
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{{"ACQUIRE_TIMEOUT", s.AcquireTimeout}, {"CONNECT_TIMEOUT", s.ConnectTimeout}, {"HOLD_LIMIT", s.HoldLimit}} {
		if d.value < 0 {
			bad(d.key, "leave it out for the default", "%s is negative", d.value)
		}
	}
	for _, n := range []struct {
		key   string
		value int
	}{{"MAX_CONNECTIONS", s.MaxConnections}, {"MAX_WAITING", s.MaxWaiting}} {
		if n.value < 0 {
			bad(n.key, "leave it out for the default", "%d is negative", n.value)
		}
	}
	if s.Port < 0 || s.Port > 65535 {
		bad("PORT", "leave it out for the engine's own", "%d is no port", s.Port)
	}
	if s.ConnLease != "" && !slices.Contains([]Lease{LeaseRequest, LeaseTransaction}, s.ConnLease) {
		bad("CONN_LEASE", "say request or transaction", "%q is unknown", s.ConnLease)
	}
	if s.ConnReset != "" && !slices.Contains([]Reset{ResetAuto, ResetAlways, ResetRollback, ResetNone}, s.ConnReset) {
		bad("CONN_RESET", "say auto, always, rollback or none", "%q is unknown", s.ConnReset)
	}
	if s.Pooler != "" && !slices.Contains([]Pooler{PoolerNone, PoolerPgBouncer}, s.Pooler) {
		bad("POOLER", "say none or pgbouncer", "%q is unknown", s.Pooler)
	}
	if s.Pooler == PoolerPgBouncer {
		s.validatePooler(bad)
	}
	if d := s.WithDefaults(); len(errs) == 0 && d.ConnectTimeout > d.AcquireTimeout {
		bad("CONNECT_TIMEOUT", "make it shorter than ACQUIRE_TIMEOUT, which covers it",
			"%s is longer than ACQUIRE_TIMEOUT %s", d.ConnectTimeout, d.AcquireTimeout)
	}
	return errors.Join(errs...)
}

// validatePooler reports what contradicts a pooler that gives each transaction a session
// of its own.
func (s Settings) validatePooler(bad func(key, hint, problem string, args ...any)) {
	if engine := s.WithDefaults().Engine; engine != "" && engine != "postgres" {
		bad("POOLER", "leave it out", "pgbouncer stands before PostgreSQL, and not before %s", engine)
	}
	if s.ConnLease == LeaseRequest {
		bad("CONN_LEASE", "say transaction, or leave it out",
			"request would hold a connection for a whole request, and with POOLER pgbouncer each of its transactions may be on another session")
	}
	if s.ConnReset == ResetAlways {
		bad("CONN_RESET", "leave it out; PgBouncer has server_reset_query for its session mode",
			"always would reset the session of somebody else: with POOLER pgbouncer the next statement may be on another one")
	}
}
