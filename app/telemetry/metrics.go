package telemetry

import (
	"context"
	"errors"
	"maps"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"
	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
)

// instruments are those that are written when something happens.
type instruments struct {
	requestDuration   httpconv.ServerRequestDuration
	firstByte         metric.Float64Histogram
	createTime        dbconv.ClientConnectionCreateTime
	waitTime          dbconv.ClientConnectionWaitTime
	useTime           dbconv.ClientConnectionUseTime
	idleTime          metric.Float64Histogram
	operationDuration dbconv.ClientOperationDuration
}

// The boundaries that the conventions advise, in seconds.
func requestSeconds() metric.HistogramOption {
	return metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
}

func databaseSeconds() metric.HistogramOption {
	return metric.WithExplicitBucketBoundaries(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
}

func (in *instruments) make(m metric.Meter) error {
	var errs [7]error
	in.requestDuration, errs[0] = httpconv.NewServerRequestDuration(m, requestSeconds())
	in.firstByte, errs[1] = m.Float64Histogram("quintet.http.server.first_byte.duration", requestSeconds(), metric.WithUnit("s"),
		metric.WithDescription("Duration from the beginning of a request to the first byte of its response."))
	in.createTime, errs[2] = dbconv.NewClientConnectionCreateTime(m, databaseSeconds())
	in.waitTime, errs[3] = dbconv.NewClientConnectionWaitTime(m, databaseSeconds())
	in.useTime, errs[4] = dbconv.NewClientConnectionUseTime(m, databaseSeconds())
	in.idleTime, errs[5] = m.Float64Histogram("quintet.db.connection.idle_time", databaseSeconds(), metric.WithUnit("s"),
		metric.WithDescription("The part of the time between borrowing a connection and returning it in which no statement ran."))
	in.operationDuration, errs[6] = dbconv.NewClientOperationDuration(m, databaseSeconds())
	return errors.Join(errs[:]...)
}

// number is one of a site's, or of a pool's, under the name that it has in quintet.
type number[S any] struct {
	name, unit, description string
	counts                  bool // it only ever grows
	of                      func(S) int64
}

func siteNumbers() []number[app.Stats] {
	return []number[app.Stats]{
		{"quintet.requests", "{request}", "Requests since the site was made.", true, func(s app.Stats) int64 { return s.TotalRequests }},
		{"quintet.streams", "{stream}", "Streams that were sent, or are.", true, func(s app.Stats) int64 { return s.TotalStreams }},
		{"quintet.streams.active", "{stream}", "Streams that are being sent.", false, func(s app.Stats) int64 { return int64(s.Streams) }},
		{"quintet.streams.refused", "{stream}", "Streams that were refused.", true, func(s app.Stats) int64 { return s.RefusedStreams }},
		{"quintet.streams.kept", "{stream}", "Streams that have kept their connection.", true, func(s app.Stats) int64 { return s.KeptStreams }},
		{"quintet.responses.held", "{response}", "Responses that began with rows or a block open.", true, func(s app.Stats) int64 { return s.HeldResponses }},
	}
}

func poolNumbers() []number[db.Stats] {
	const one = "{connection}"
	return []number[db.Stats]{
		{"quintet.db.connections.open", one, "Physical connections.", false, func(s db.Stats) int64 { return int64(s.Open) }},
		{"quintet.db.connections.connecting", one, "Connections that are being opened.", false, func(s db.Stats) int64 { return int64(s.Connecting) }},
		{"quintet.db.connections.closing", one, "Connections on their way out.", false, func(s db.Stats) int64 { return int64(s.Closing) }},
		{"quintet.db.connections.dedicated", one, "Connections beside those of the pool.", false, func(s db.Stats) int64 { return int64(s.Dedicated) }},
		{"quintet.db.writers.pending", "{statement}", "Statements that wait for their turn to write.", false, func(s db.Stats) int64 { return int64(s.Writers) }},
		{"quintet.db.leases", "{lease}", "Leases given out.", true, func(s db.Stats) int64 { return s.Leases }},
		{"quintet.db.leases.waited", "{lease}", "Leases, and turns to write, that had to queue.", true, func(s db.Stats) int64 { return s.Waited }},
		{"quintet.db.leases.refused", "{lease}", "Acquires, and waits for a turn to write, that failed.", true, func(s db.Stats) int64 { return s.Refused }},
		{"quintet.db.leases.queue_full", "{lease}", "Acquires that MAX_WAITING has turned away.", true, func(s db.Stats) int64 { return s.QueueFull }},
		{"quintet.db.connections.opened", one, "Physical connections opened.", true, func(s db.Stats) int64 { return s.Opened }},
		{"quintet.db.connections.closed", one, "Physical connections closed.", true, func(s db.Stats) int64 { return s.Closed }},
		{"quintet.db.connections.dead", one, "Idle connections that were found dead.", true, func(s db.Stats) int64 { return s.Dead }},
		{"quintet.db.connections.quarantined", one, "Connections cut because a release could not end what was open.", true, func(s db.Stats) int64 { return s.Quarantined }},
		{"quintet.db.pings", "{ping}", "Health checks that cost a round trip.", true, func(s db.Stats) int64 { return s.Pings }},
		{"quintet.db.statements", "{statement}", "Statements sent.", true, func(s db.Stats) int64 { return s.Statements }},
		{"quintet.db.statements.failed", "{statement}", "Statements that were answered with an error.", true, func(s db.Stats) int64 { return s.Failed }},
		{"quintet.db.statements.canceled", "{statement}", "Statements stopped on the wire.", true, func(s db.Stats) int64 { return s.Canceled }},
		{"quintet.db.leaks", "{leak}", "Rows, transactions and statements that a release had to end.", true, func(s db.Stats) int64 { return s.Leaked }},
	}
}

// observed are numbers with their instruments.
type observed[S any] struct {
	number[S]
	in metric.Int64Observable
}

func observe[S any](m metric.Meter, numbers []number[S]) (all []observed[S], err error) {
	for _, n := range numbers {
		var in metric.Int64Observable
		if n.counts {
			in, err = m.Int64ObservableCounter(n.name, metric.WithUnit(n.unit), metric.WithDescription(n.description))
		} else {
			in, err = m.Int64ObservableUpDownCounter(n.name, metric.WithUnit(n.unit), metric.WithDescription(n.description))
		}
		if err != nil {
			return nil, err
		}
		all = append(all, observed[S]{n, in})
	}
	return all, nil
}

// tell says the numbers of one moment.
func tell[S any](o metric.Observer, all []observed[S], s S, options ...metric.ObserveOption) {
	for _, n := range all {
		o.ObserveInt64(n.in, n.of(s), options...)
	}
}

// observe lets what reads the metrics ask for the numbers of its moment.
func (t *telemetry) observe(m metric.Meter) (metric.Registration, error) {
	var errs [9]error
	count, err := dbconv.NewClientConnectionCountObservable(m)
	errs[0] = err
	limit, err := dbconv.NewClientConnectionMaxObservable(m)
	errs[1] = err
	idleLimit, err := dbconv.NewClientConnectionIdleMaxObservable(m)
	errs[2] = err
	pending, err := dbconv.NewClientConnectionPendingRequestsObservable(m)
	errs[3] = err
	active, err := httpconv.NewServerActiveRequestsObservable(m)
	errs[4] = err
	waited, err := m.Float64ObservableCounter("quintet.db.leases.wait_duration", metric.WithUnit("s"),
		metric.WithDescription("What all callers together have waited for connections, and for their turns to write."))
	errs[5] = err
	ofSite, err := observe(m, siteNumbers())
	errs[6] = err
	ofPools, err := observe(m, poolNumbers())
	errs[7] = err
	timeouts, err := dbconv.NewClientConnectionTimeoutsObservable(m)
	errs[8] = err
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	all := []metric.Observable{count.Inst(), limit.Inst(), idleLimit.Inst(), pending.Inst(), active.Inst(), waited, timeouts.Inst()}
	for _, n := range ofSite {
		all = append(all, n.in)
	}
	for _, n := range ofPools {
		all = append(all, n.in)
	}
	return m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for what, n := range t.activeNow() {
			o.ObserveInt64(active.Inst(), n, metric.WithAttributes(
				active.AttrRequestMethod(httpconv.RequestMethodAttr(what.method)), active.AttrURLScheme(what.scheme)))
		}
		tell(o, ofSite, t.site.Stats())
		for name, a := range t.aliases {
			s := t.site.Connections().Stats(name)
			o.ObserveInt64(count.Inst(), int64(s.Idle), a.idle)
			o.ObserveInt64(count.Inst(), int64(s.InUse), a.used)
			o.ObserveInt64(limit.Inst(), int64(s.Max), a.pool)
			o.ObserveInt64(idleLimit.Inst(), int64(s.Max), a.pool)
			o.ObserveInt64(pending.Inst(), int64(s.Waiting), a.pool)
			o.ObserveInt64(timeouts.Inst(), s.Exhausted, a.pool)
			o.ObserveFloat64(waited, s.WaitDuration.Seconds(), a.pool)
			tell(o, ofPools, s, a.pool)
		}
		return nil
	}, all...)
}

func (t *telemetry) activeNow() map[activity]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.active)
}
