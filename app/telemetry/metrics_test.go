package telemetry_test

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// What the conventions say, besides what is Quintet's own: the unit and the kind of each
// metric, and its name and type for Prometheus.
func conventions() map[string]struct{ unit, kind, prometheus string } {
	const (
		counter   = "counter"
		updown    = "updown"
		histogram = "histogram"
	)
	return map[string]struct{ unit, kind, prometheus string }{
		"http.server.request.duration":            {"s", histogram, "http_server_request_duration_seconds"},
		"http.server.active_requests":             {"{request}", updown, "http_server_active_requests"},
		"db.client.connection.count":              {"{connection}", updown, "db_client_connection_count"},
		"db.client.connection.idle.max":           {"{connection}", updown, "db_client_connection_idle_max"},
		"db.client.connection.max":                {"{connection}", updown, "db_client_connection_max"},
		"db.client.connection.pending_requests":   {"{request}", updown, "db_client_connection_pending_requests"},
		"db.client.connection.timeouts":           {"{timeout}", counter, "db_client_connection_timeouts_total"},
		"db.client.connection.create_time":        {"s", histogram, "db_client_connection_create_time_seconds"},
		"db.client.connection.wait_time":          {"s", histogram, "db_client_connection_wait_time_seconds"},
		"db.client.connection.use_time":           {"s", histogram, "db_client_connection_use_time_seconds"},
		"db.client.operation.duration":            {"s", histogram, "db_client_operation_duration_seconds"},
		"quintet.http.server.first_byte.duration": {"s", histogram, "quintet_http_server_first_byte_duration_seconds"},
		"quintet.db.connection.idle_time":         {"s", histogram, "quintet_db_connection_idle_time_seconds"},
		"quintet.db.leases.wait_duration":         {"s", counter, "quintet_db_leases_wait_duration_seconds_total"},
		"quintet.requests":                        {"{request}", counter, "quintet_requests_total"},
		"quintet.streams":                         {"{stream}", counter, "quintet_streams_total"},
		"quintet.streams.active":                  {"{stream}", updown, "quintet_streams_active"},
		"quintet.streams.refused":                 {"{stream}", counter, "quintet_streams_refused_total"},
		"quintet.streams.kept":                    {"{stream}", counter, "quintet_streams_kept_total"},
		"quintet.responses.held":                  {"{response}", counter, "quintet_responses_held_total"},
		"quintet.db.connections.open":             {"{connection}", updown, "quintet_db_connections_open"},
		"quintet.db.connections.connecting":       {"{connection}", updown, "quintet_db_connections_connecting"},
		"quintet.db.connections.closing":          {"{connection}", updown, "quintet_db_connections_closing"},
		"quintet.db.connections.dedicated":        {"{connection}", updown, "quintet_db_connections_dedicated"},
		"quintet.db.writers.pending":              {"{statement}", updown, "quintet_db_writers_pending"},
		"quintet.db.leases":                       {"{lease}", counter, "quintet_db_leases_total"},
		"quintet.db.leases.waited":                {"{lease}", counter, "quintet_db_leases_waited_total"},
		"quintet.db.leases.refused":               {"{lease}", counter, "quintet_db_leases_refused_total"},
		"quintet.db.leases.queue_full":            {"{lease}", counter, "quintet_db_leases_queue_full_total"},
		"quintet.db.statements":                   {"{statement}", counter, "quintet_db_statements_total"},
		"quintet.db.statements.failed":            {"{statement}", counter, "quintet_db_statements_failed_total"},
		"quintet.db.connections.opened":           {"{connection}", counter, "quintet_db_connections_opened_total"},
		"quintet.db.connections.closed":           {"{connection}", counter, "quintet_db_connections_closed_total"},
		"quintet.db.connections.dead":             {"{connection}", counter, "quintet_db_connections_dead_total"},
		"quintet.db.connections.quarantined":      {"{connection}", counter, "quintet_db_connections_quarantined_total"},
		"quintet.db.pings":                        {"{ping}", counter, "quintet_db_pings_total"},
		"quintet.db.statements.canceled":          {"{statement}", counter, "quintet_db_statements_canceled_total"},
		"quintet.db.leaks":                        {"{leak}", counter, "quintet_db_leaks_total"},
	}
}

func kindOf(m *metrics.Metric) string {
	switch data := m.Data.(type) {
	case *metrics.Metric_Histogram:
		return "histogram"
	case *metrics.Metric_Sum:
		if data.Sum.IsMonotonic {
			return "counter"
		}
		return "updown"
	}
	return "another"
}

// The collector's own types read what the OTLP exporter has sent.
func TestMetrics_OverOTLPNamesAndUnitsAreTheConventions(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		s := tell(t, settings, routes)
		s.sales(t)
		s.ask(t, "/sales/1", 200)
		s.ask(t, "/export", 200)
		s.flush(t)
		s.mu.Lock()
		defer s.mu.Unlock()
		want := conventions()
		for name, m := range s.metrics {
			w, ok := want[name]
			if !ok {
				t.Errorf("%q is a metric that nobody expects", name)
				continue
			}
			expect(t, name+": unit", m.Unit, w.unit)
			expect(t, name+": kind", kindOf(m), w.kind)
			if m.Description == "" {
				t.Errorf("%q has no description", name)
			}
		}
		for name := range want {
			if s.metrics[name] == nil {
				t.Errorf("%q is missing", name)
			}
		}
	})
}

// page reads what Prometheus reads.
func (s *told) page(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	answer := get(s.Admin(), "/metrics")
	expect(t, "status of /metrics", answer.Code, 200)
	if kind := answer.Header().Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") {
		t.Errorf("Content-Type: %q", kind)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	s.mu.Lock()
	s.raw.Write(answer.Body.Bytes())
	s.mu.Unlock()
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func labels(m *dto.Metric) map[string]string {
	all := make(map[string]string)
	for _, l := range m.Label {
		if !strings.HasPrefix(l.GetName(), "otel_scope_") {
			all[l.GetName()] = l.GetValue()
		}
	}
	return all
}

// value is that of the one metric of a family with these labels; of a histogram it is how
// often something was measured.
func value(t *testing.T, families map[string]*dto.MetricFamily, name string, with map[string]string) float64 {
	t.Helper()
	family := families[name]
	if family == nil {
		t.Errorf("%q is missing", name)
		return -1
	}
	for _, m := range family.Metric {
		if !maps.Equal(labels(m), with) {
			continue
		}
		switch {
		case m.Histogram != nil:
			return float64(m.Histogram.GetSampleCount())
		case m.Counter != nil:
			return m.Counter.GetValue()
		}
		return m.Gauge.GetValue()
	}
	var have []map[string]string
	for _, m := range family.Metric {
		have = append(have, labels(m))
	}
	t.Errorf("%q with %v is missing; there is %v", name, with, have)
	return -1
}

// The parser is Prometheus's, in its strict mode.
func TestMetrics_PrometheusReadsThem(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings.ConnMaxAge, settings.MaxConnections = db.Forever, 3
		s := tell(t, settings, routes)
		s.sales(t)
		s.ask(t, "/sales/1", 200)
		s.ask(t, "/sales/2?region=north", 200)
		s.ask(t, "/export", 200)
		s.ask(t, "/fail/other", 500)
		s.ask(t, "/nowhere", 404)
		families := s.page(t)

		for name, c := range conventions() {
			family := families[c.prometheus]
			if family == nil {
				t.Errorf("%s: %q is missing; there is %q", name, c.prometheus, slices.Sorted(maps.Keys(families)))
				continue
			}
			want := map[string]dto.MetricType{"counter": dto.MetricType_COUNTER, "updown": dto.MetricType_GAUGE, "histogram": dto.MetricType_HISTOGRAM}
			expect(t, c.prometheus, family.GetType(), want[c.kind])
		}

		const requests = "http_server_request_duration_seconds"
		request := func(status string, more ...string) map[string]string {
			all := map[string]string{"http_request_method": "GET", "url_scheme": "http", "http_response_status_code": status}
			for i := 0; i < len(more); i += 2 {
				all[more[i]] = more[i+1]
			}
			return all
		}
		expect(t, "requests of a route", value(t, families, requests, request("200", "http_route", "/sales/{id}")), 2)
		expect(t, "streams", value(t, families, requests, request("200", "http_route", "/export")), 1)
		expect(t, "failures", value(t, families, requests, request("500", "http_route", "/fail/{how}", "error_type", "500")), 1)
		expect(t, "requests without a route", value(t, families, requests, request("404")), 1)
		expect(t, "first bytes", value(t, families, "quintet_http_server_first_byte_duration_seconds", request("200", "http_route", "/export")), 1)
		expect(t, "running requests", value(t, families, "http_server_active_requests", map[string]string{"http_request_method": "GET", "url_scheme": "http"}), 0)

		system := map[string]string{"sqlite": "sqlite", "postgres": "postgresql"}[settings.Engine]
		inserts := map[string]string{"db_system_name": system, "db_namespace": "default", "db_operation_name": "INSERT"}
		expect(t, "inserts", value(t, families, "db_client_operation_duration_seconds", inserts), 2)

		// The same numbers as dbstatus has.
		status := s.Status()
		d, pool := status.Databases[0], map[string]string{"db_client_connection_pool_name": "default"}
		for name, want := range map[string]int64{
			"quintet_db_leases_total": d.Leases, "quintet_db_connections_opened_total": d.Opened, "quintet_db_connections_closed_total": d.Closed,
			"quintet_db_leases_waited_total": d.Waited, "quintet_db_leases_refused_total": d.Refused, "quintet_db_pings_total": d.Pings,
			"quintet_db_connections_dead_total": d.Dead, "quintet_db_statements_canceled_total": d.Canceled, "quintet_db_leaks_total": d.Leaked,
			"db_client_connection_timeouts_total":      0,
			"quintet_db_connections_quarantined_total": d.Quarantined, "quintet_db_connections_open": int64(d.Open),
			"db_client_connection_max": 3, "db_client_connection_idle_max": 3, "db_client_connection_pending_requests": int64(d.Waiting),
			"db_client_connection_use_time_seconds": d.Leases, "db_client_connection_wait_time_seconds": d.Leases,
			"db_client_connection_create_time_seconds": d.Opened, "quintet_db_connection_idle_time_seconds": d.Leases,
		} {
			expect(t, name, value(t, families, name, pool), float64(want))
		}
		if d.Leases == 0 || d.Opened == 0 {
			t.Errorf("there is nothing to compare: %+v", d)
		}
		for state, want := range map[string]int{"idle": d.Idle, "used": d.InUse} {
			with := map[string]string{"db_client_connection_pool_name": "default", "db_client_connection_state": state}
			expect(t, state, value(t, families, "db_client_connection_count", with), float64(want))
		}
		expect(t, "quintet_requests_total", value(t, families, "quintet_requests_total", map[string]string{}), float64(status.Site.TotalRequests))
	})
}

// A histogram has the boundaries that the conventions advise: those of the SDK are for
// milliseconds.
func TestMetrics_BucketsAreOfSeconds(t *testing.T) {
	t.Parallel()
	s := tell(t, dbtest.Database(t, dbtest.SQLite), routes)
	s.sales(t)
	s.ask(t, "/sales/1", 200)
	families := s.page(t)
	for name, want := range map[string][]float64{
		"http_server_request_duration_seconds": {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10},
		"db_client_operation_duration_seconds": {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10},
	} {
		var bounds []float64
		for _, b := range families[name].GetMetric()[0].GetHistogram().GetBucket() {
			bounds = append(bounds, b.GetUpperBound())
		}
		if !slices.Equal(bounds[:len(want)], want) {
			t.Errorf("%s: %v, want %v", name, bounds, want)
		}
	}
}

// Many at once lose nothing: each request, lease and statement is counted once.
func TestMetrics_CountEachOnce(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		settings.ConnMaxAge, settings.MaxConnections = db.Forever, 3
		s := tell(t, settings, routes)
		const workers, each = 6, 20
		var all sync.WaitGroup
		for range workers {
			all.Go(func() {
				for range each {
					s.ask(t, "/export", 200)
				}
			})
		}
		all.Wait()
		families, leases := s.page(t), float64(s.Connections().Stats(db.DefaultAlias).Leases)
		with := map[string]string{"http_request_method": "GET", "url_scheme": "http"}
		expect(t, "running", value(t, families, "http_server_active_requests", with), 0)
		with["http_route"], with["http_response_status_code"] = "/export", "200"
		expect(t, "requests", value(t, families, "http_server_request_duration_seconds", with), workers*each)
		pool := map[string]string{"db_client_connection_pool_name": "default"}
		expect(t, "leases", leases, workers*each)
		expect(t, "waits", value(t, families, "db_client_connection_wait_time_seconds", pool), leases)
		expect(t, "uses", value(t, families, "db_client_connection_use_time_seconds", pool), leases)
		spans := s.sent(t)
		count := make(map[string]int)
		for _, span := range spans {
			count[span.Name]++
		}
		for _, name := range []string{"GET /export", "acquire", "hold", "SELECT", "stream"} {
			expect(t, "spans named "+name, count[name], workers*each)
		}
	})
}
