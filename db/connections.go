package db

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/signals"
)

// Options are what [Open] needs beside the settings. The zero value has no engine
// and is of use for a site without databases only.
type Options struct {
	Engines []Engine     // what ENGINE may name
	Bus     *signals.Bus // hears of connections; nil sends nothing
	Logger  *slog.Logger // nil is slog.Default()
	Notices *Notices     // of the site; nil is of these connections alone, to their Logger

	// OnConnect prepares each new session of every alias, and again after a reset.
	// It must use the session that it is given.
	OnConnect func(ctx context.Context, alias string, session bun.IConn) error

	// OnQuery hears of every statement of a scope when the database has answered it:
	// one with rows when the first of them is there. The context has the values of
	// the one that the scope was opened with. It runs in the goroutine that sent the
	// statement, before that goes on, and must not query. Nil is fine. Django's
	// execute_wrapper, which also may change what is sent.
	OnQuery func(ctx context.Context, alias string, q Query)

	// Debug keeps the last statements of each scope ([Conn.Queries]), logs those that a
	// scope has repeated for one row after the other (N+1), and finds a goroutine that
	// waits for its own rows at once.
	Debug bool
}

// Connections are the databases of one site: Django's connections. All methods
// may be called concurrently.
type Connections struct {
	databases map[string]*database
	aliases   []string
	atomic    []string // those with ATOMIC_REQUESTS, the default last: its block is the innermost
	logger    *slog.Logger
	notices   *Notices
	bus       *signals.Bus
	debug     bool
	onQuery   func(ctx context.Context, alias string, q Query)

	observing sync.Mutex                  // guards replacing the next
	observers atomic.Pointer[[]*observer] // nil while nobody observes
}

// database is one alias.
type database struct {
	alias    string
	settings Settings
	pool     *pool.Pool
	dialect  schema.Dialect
	refusing *sql.DB // dials nothing
	builder  *bun.DB // over refusing: what query builders hang on
}

// Stats are the numbers of one alias at one moment.
type Stats = pool.Stats

// Holder is one lease as others see it.
type Holder = pool.Holder

// Notices log what goes wrong again and again once a minute for each place: statements
// that are slow, connections that are held idle or used too late.
type Notices = pool.Notices

// Notice is what [Notices] tell apart.
type Notice = pool.Notice

// Open checks the settings of every alias and returns their connections. It dials
// nothing. Without any alias the connections exist and every use fails; with some,
// one must be "default". Errors are *[SettingsError] values, joined: all of them
// at once.
func Open(databases map[string]Settings, opts Options) (*Connections, error) {
	cs := &Connections{databases: make(map[string]*database), logger: cmp.Or(opts.Logger, slog.Default()), bus: opts.Bus, debug: opts.Debug, onQuery: opts.OnQuery}
	cs.notices = cmp.Or(opts.Notices, &Notices{Logger: cs.logger})
	engines := make(map[string]Engine)
	for _, e := range opts.Engines {
		engines[e.Name()] = e
	}
	var errs []error
	if _, ok := databases[DefaultAlias]; !ok && len(databases) > 0 {
		errs = append(errs, &SettingsError{Problem: fmt.Sprintf("the alias %q is missing", DefaultAlias), Hint: "add it, or rename one of " + strings.Join(slices.Sorted(maps.Keys(databases)), ", ")})
	}
	for _, alias := range slices.Sorted(maps.Keys(databases)) {
		d, err := openDatabase(alias, databases[alias], engines, cs, opts)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		cs.databases[alias] = d
		cs.aliases = append(cs.aliases, alias)
	}
	var pools []*pool.Pool
	for _, alias := range cs.aliases {
		pools = append(pools, cs.databases[alias].pool)
	}
	pool.Join(pools...)
	for _, alias := range cs.aliases {
		if cs.databases[alias].settings.AtomicRequests && alias != DefaultAlias {
			cs.atomic = append(cs.atomic, alias)
		}
	}
	if d, ok := cs.databases[DefaultAlias]; ok && d.settings.AtomicRequests {
		cs.atomic = append(cs.atomic, DefaultAlias)
	}
	if err := errors.Join(errs...); err != nil {
		for _, d := range cs.databases {
			err = errors.Join(err, d.refusing.Close())
		}
		return nil, err
	}
	return cs, nil
}

func openDatabase(alias string, s Settings, engines map[string]Engine, cs *Connections, opts Options) (*database, error) {
	if alias == "" || alias != strings.ToLower(alias) {
		return nil, &SettingsError{Alias: alias, Problem: "aliases are lower case", Hint: fmt.Sprintf("write %q", strings.ToLower(alias))}
	}
	errs := []error{s.Validate(alias)}
	s = s.WithDefaults()
	engine, ok := engines[s.Engine]
	if !ok && s.Engine != "" {
		errs = append(errs, unknownEngine(alias, s.Engine, engines))
	}
	var drv pool.Driver
	if ok {
		var err error
		drv, err = engine.Open(alias, s)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	d := &database{alias: alias, settings: s, dialect: engine.Dialect()}
	d.refusing = sql.OpenDB(refusal{})
	d.builder = bun.NewDB(d.refusing, d.dialect)
	cfg := pool.Config{
		Alias: alias, Driver: drv, Max: s.MaxConnections, MaxWaiting: s.MaxWaiting,
		AcquireTimeout: s.AcquireTimeout, ConnectTimeout: s.ConnectTimeout,
		MaxAge: s.ConnMaxAge, MaxIdle: s.ConnMaxIdle, HealthChecks: s.ConnHealthChecks,
		HoldIdleWarn: s.HoldIdleWarn, HoldLimit: s.HoldLimit, SlowStatement: s.SlowStatement,
		Reset: resetOf(s), Debug: opts.Debug, Logger: cs.logger, Notices: cs.notices,
		Created: cs.created(alias, s.Engine), Released: cs.released,
	}
	if opts.OnConnect != nil {
		cfg.Setup = func(ctx context.Context, session pool.Session) error {
			return opts.OnConnect(ctx, alias, session)
		}
	}
	d.pool = pool.New(cfg)
	return d, nil
}

func unknownEngine(alias, name string, engines map[string]Engine) error {
	have := slices.Sorted(maps.Keys(engines))
	hint := "add it to Engines where the site is made"
	if len(have) > 0 {
		hint = "this site has " + strings.Join(have, ", ") + "; add others to Engines where the site is made"
	}
	problem := fmt.Sprintf("engine %q is unknown", name)
	if name == "postgres" || name == "sqlite" {
		problem = fmt.Sprintf("engine %q is not built into this site", name)
	}
	return &SettingsError{Alias: alias, Key: "ENGINE", Problem: problem, Hint: hint}
}

func resetOf(s Settings) pool.Reset {
	switch {
	case s.ConnReset == ResetAlways:
		return pool.ResetAlways
	case s.ConnReset == ResetRollback, s.ConnReset == ResetNone, s.Pooler == PoolerPgBouncer:
		return pool.ResetNever
	}
	return pool.ResetAuto
}

// Aliases returns the aliases in alphabetical order.
func (cs *Connections) Aliases() []string { return slices.Clone(cs.aliases) }

// Settings returns the settings of an alias with every default filled in, and
// whether it exists.
func (cs *Connections) Settings(alias string) (Settings, bool) {
	d, ok := cs.databases[alias]
	if !ok {
		return Settings{}, false
	}
	return d.settings, true
}

// Stats returns the numbers of one alias; zeros for one that does not exist.
func (cs *Connections) Stats(alias string) Stats {
	if d, ok := cs.databases[alias]; ok {
		return d.pool.Stats()
	}
	return Stats{}
}

// Holders returns who holds a connection now, of every alias, the oldest first.
func (cs *Connections) Holders() []Holder {
	var all []Holder
	for _, alias := range cs.aliases {
		all = append(all, cs.databases[alias].pool.Holders()...)
	}
	slices.SortFunc(all, func(a, b Holder) int { return a.Since.Compare(b.Since) })
	return all
}

// Close refuses new leases, waits for those that are out until ctx ends, then cuts
// them off and names their holders in its error. It may be called twice.
func (cs *Connections) Close(ctx context.Context) error {
	errs := make([]error, len(cs.aliases))
	var all sync.WaitGroup
	for i, alias := range cs.aliases {
		d := cs.databases[alias]
		all.Go(func() { errs[i] = errors.Join(d.pool.Close(ctx), d.refusing.Close()) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Invalidate gives up the connections of an alias that are open now, after a failover
// or a change of the server's address: idle ones are closed before it returns,
// leased ones when they are given back, and who holds one is not disturbed.
// [Dedicated] ones are their holders' affair.
func (cs *Connections) Invalidate(alias string) error {
	d, ok := cs.databases[alias]
	if !ok {
		return &UnknownAliasError{Alias: alias, Have: cs.aliases}
	}
	d.pool.Invalidate()
	return nil
}

// SQLDB returns a *sql.DB over the connections of an alias, for libraries that want
// one: the same bound, the same queue, visible among the holders. It keeps nothing
// idle of its own. The caller closes it, before Close. It is never nil: with an alias
// that does not exist every statement fails with an *[UnknownAliasError].
func (cs *Connections) SQLDB(alias string) *sql.DB {
	var connector driver.Connector = refusal{&UnknownAliasError{Alias: alias, Have: cs.aliases}}
	if d, ok := cs.databases[alias]; ok {
		connector = pool.Connector{Pool: d.pool, Owner: &library{name: "sql.DB"}}
	}
	sqldb := sql.OpenDB(connector)
	sqldb.SetMaxIdleConns(-1)
	return sqldb
}

// library is the owner of leases that a *sql.DB takes.
type library struct{ name string }

func (l *library) Name() string   { return l.name }
func (*library) Responding() bool { return false }
func (*library) Kept() bool       { return false }

// refusal is the connector of a *sql.DB that dials nothing. Its error travels in
// the context, or is always the same.
type refusal struct{ always error }

type refusalKey struct{}

func (r refusal) Connect(ctx context.Context) (driver.Conn, error) {
	if err, ok := ctx.Value(refusalKey{}).(error); ok {
		return nil, err
	}
	return nil, cmp.Or(r.always, ErrOutsideScope)
}

func (refusal) Driver() driver.Driver { return nil }

// signalLimit bounds what receivers of connection signals may take.
const signalLimit = 5 * time.Second

func (cs *Connections) created(alias, engine string) func(time.Duration) {
	return func(took time.Duration) {
		if cs.bus == nil || !cs.bus.ConnectionCreated.HasReceivers() {
			return
		}
		ctx := signals.Detach(context.Background(), signalLimit)
		defer ctx.End()
		cs.report(cs.bus.ConnectionCreated.SendRobust(ctx, signals.ConnectionCreated{Alias: alias, Engine: engine, Duration: took}))
	}
}

func (cs *Connections) released(r pool.Report) {
	if cs.bus == nil || !cs.bus.ConnectionReleased.HasReceivers() {
		return
	}
	ctx := context.Background()
	if sc, ok := r.Owner.(*Scope); ok {
		ctx = unscoped{sc.watch}
	}
	limited := signals.Detach(ctx, signalLimit)
	defer limited.End()
	cs.report(cs.bus.ConnectionReleased.SendRobust(limited, signals.ConnectionReleased{
		Alias: r.Alias, Holder: r.Holder, Reason: r.Reason, Held: r.Held, Idle: r.Idle, Queries: r.Queries,
		LeftOpen: r.LeftOpen,
	}))
}

// unscoped is a context without the scope around it: who hears of a release must
// not lease in the name of the one that released.
type unscoped struct{ context.Context }

func (c unscoped) Value(key any) any {
	if key == (scopeKey{}) {
		return nil
	}
	return c.Context.Value(key)
}

// report logs receivers that failed: the connection must not depend on them, and
// nobody else could be told.
func (cs *Connections) report(results []signals.Result) {
	for _, r := range results {
		if r.Err != nil {
			cs.logger.Error("db: signal receiver failed", "receiver", r.Receiver, "err", Loggable(r.Err))
		}
	}
}
