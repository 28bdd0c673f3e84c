//go:build unix

package telemetry_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// report is what the four say of one alias, and of the site.
type report struct {
	alias          string
	site, status   map[string]float64 // by dbstatus
	pageSite, page map[string]float64 // by the page; in page also what it says of itself
	families       map[string]*dto.MetricFamily
	lines          lines // of the log
}

// counter is one number, and how each of the four says it. For dbstatus, the page and the
// last lines of the log that is always the same key.
type counter struct {
	key    string
	ofSite bool
	gauge  bool                  // of this moment: 0 in the end, and in no last line
	metric metric                // nil: why says why
	more   []metric              // what says the same by itself
	lines  func(l lines) float64 // what the lines before the last one add up to; nil: why says why
	why    string                // what lacks, and why
}

func counters() []counter {
	const (
		requests   = "http_server_request_duration_seconds"
		operations = "db_client_operation_duration_seconds"
		lastOnly   = "log: no line for each one, only the sum in the last line"
		limited    = "log: the warnings are limited in their rate, the sum stands in the last line"
		gauge      = "log: says what happens, not how it is at one moment"
	)
	class := func(digit string) metric {
		return metric{requests, "http_response_status_code=" + digit}
	}
	of := func(digit int) func(lines) float64 { return func(l lines) float64 { return float64(l.classes[digit]) } }
	return []counter{
		{key: "requests", ofSite: true, gauge: true, metric: metric{"http_server_active_requests"}, why: gauge},
		{key: "streams", ofSite: true, gauge: true, metric: metric{"quintet_streams_active"}, why: gauge},
		{key: "total_requests", ofSite: true, metric: metric{"quintet_requests_total"}, more: []metric{{requests}}, lines: func(l lines) float64 { return float64(l.requests) }},
		{key: "answered_1xx", ofSite: true, metric: class("1"), lines: of(1)},
		{key: "answered_2xx", ofSite: true, metric: class("2"), lines: of(2)},
		{key: "answered_3xx", ofSite: true, metric: class("3"), lines: of(3)},
		{key: "answered_4xx", ofSite: true, metric: class("4"), lines: of(4)},
		{key: "answered_5xx", ofSite: true, metric: class("5"), lines: of(5)},
		{key: "unanswered", ofSite: true, metric: metric{requests, "http_response_status_code=-"}, lines: of(0)},
		{key: "total_streams", ofSite: true, metric: metric{"quintet_streams_total"}, lines: func(l lines) float64 { return float64(l.streams) }},
		{key: "refused_streams", ofSite: true, metric: metric{"quintet_streams_refused_total"}, why: "log: the line of one is that of any 503, and the sum stands in the last line"},
		{key: "kept_streams", ofSite: true, metric: metric{"quintet_streams_kept_total"}, why: lastOnly},
		{key: "held_responses", ofSite: true, metric: metric{"quintet_responses_held_total"}, why: limited},

		{key: "max", gauge: true, metric: metric{"db_client_connection_max"}, more: []metric{{"db_client_connection_idle_max"}}, why: gauge},
		{key: "open", gauge: true, metric: metric{"quintet_db_connections_open"}, lines: func(l lines) float64 { return float64(l.opened - l.closed) }},
		{key: "in_use", gauge: true, metric: metric{"db_client_connection_count", "db_client_connection_state=used"}, why: gauge},
		{key: "idle", gauge: true, metric: metric{"db_client_connection_count", "db_client_connection_state=idle"}, why: gauge},
		{key: "connecting", gauge: true, metric: metric{"quintet_db_connections_connecting"}, why: gauge},
		{key: "closing", gauge: true, metric: metric{"quintet_db_connections_closing"}, why: gauge},
		{key: "waiting", gauge: true, metric: metric{"db_client_connection_pending_requests"}, why: gauge},
		{key: "writers", gauge: true, metric: metric{"quintet_db_writers_pending"}, why: gauge},
		{key: "dedicated", gauge: true, metric: metric{"quintet_db_connections_dedicated"}, why: gauge},
		{
			key: "leases", metric: metric{"quintet_db_leases_total"}, why: lastOnly,
			more: []metric{{"db_client_connection_wait_time_seconds"}, {"db_client_connection_use_time_seconds"}, {"quintet_db_connection_idle_time_seconds"}},
		},
		{
			key: "opened", metric: metric{"quintet_db_connections_opened_total"}, more: []metric{{"db_client_connection_create_time_seconds"}},
			lines: func(l lines) float64 { return float64(l.opened) },
		},
		{key: "closed", metric: metric{"quintet_db_connections_closed_total"}, lines: func(l lines) float64 { return float64(l.closed) }},
		{key: "waited", metric: metric{"quintet_db_leases_waited_total"}, why: lastOnly},
		{key: "wait_seconds", metric: metric{"quintet_db_leases_wait_duration_seconds_total"}, why: lastOnly},
		{key: "refused", metric: metric{"quintet_db_leases_refused_total"}, why: lastOnly},
		{key: "exhausted", metric: metric{"db_client_connection_timeouts_total"}, why: lastOnly},
		{key: "queue_full", metric: metric{"quintet_db_leases_queue_full_total"}, why: lastOnly},
		{key: "pings", metric: metric{"quintet_db_pings_total"}, why: lastOnly},
		{key: "dead", metric: metric{"quintet_db_connections_dead_total"}, why: "log: closing one is a line, but one that dies in use may have the same reason"},
		{
			key: "statements", metric: metric{"quintet_db_statements_total"}, more: []metric{{operations}},
			why: "log: a request's line has those of all aliases; see sums",
		},
		{key: "failed", metric: metric{"quintet_db_statements_failed_total"}, more: []metric{{operations, "error_type=+"}}, why: lastOnly},
		{key: "canceled", metric: metric{"quintet_db_statements_canceled_total"}, why: lastOnly},
		{key: "leaked", metric: metric{"quintet_db_leaks_total"}, why: limited},
		{key: "quarantined", metric: metric{"quintet_db_connections_quarantined_total"}, why: limited},
	}
}

// besides are the keys of dbstatus and of the page, and the metrics, that count nothing.
func besides() map[string]string {
	return map[string]string{
		"page: now": "the page's clock", "page: running": "see sums", "page: finished": "see sums",
		"page: skipped": "records that this reader was not sent", "page: warn": "a setting", "page: more": "connections that it does not draw",
		"metrics: quintet_http_server_first_byte_duration_seconds": "a time; a response without a byte has none",
		"metrics: target_info": "says who is measured",
	}
}

// metric is a family of Prometheus's, and perhaps a label that its metrics must have:
// "name=" and the beginning of its value, + for any, - for none.
type metric []string

// of adds up the metrics of the family that are of the alias, or of none. A histogram
// counts how often something was measured.
func (m metric) of(s report) (sum float64) {
	for _, one := range s.families[m[0]].GetMetric() {
		all := labels(one)
		for _, name := range []string{"db_client_connection_pool_name", "db_namespace"} {
			if alias, has := all[name]; has && alias != s.alias {
				all = nil
			}
		}
		if all == nil || len(m) > 1 && !m.has(all) {
			continue
		}
		switch {
		case one.Histogram != nil:
			sum += float64(one.Histogram.GetSampleCount())
		case one.Counter != nil:
			sum += one.Counter.GetValue()
		default:
			sum += one.Gauge.GetValue()
		}
	}
	return sum
}

func (m metric) has(all map[string]string) bool {
	name, want, _ := strings.Cut(m[1], "=")
	value, has := all[name]
	switch want {
	case "+":
		return has
	case "-":
		return !has
	}
	return has && strings.HasPrefix(value, want)
}

// compare looks at every number that one of the four has.
func (s report) compare(t *testing.T) {
	t.Helper()
	seen := besides()
	for _, c := range counters() {
		status, page := s.status, s.page
		if c.ofSite {
			status, page = s.site, s.pageSite
		}
		want, ok := status[c.key]
		if !ok {
			t.Errorf("dbstatus lacks %s", c.key)
		}
		if got, ok := page[c.key]; !ok || got != want {
			t.Errorf("%s: %s: the page says %v, dbstatus %v", s.alias, c.key, got, want)
		}
		for _, m := range append([]metric{c.metric}, c.more...) {
			seen["metrics: "+m[0]] = c.key
			if s.families[m[0]] == nil {
				t.Errorf("%s: the metrics lack %s", c.key, m[0])
			}
			expect(t, s.alias+": "+c.key+": "+strings.Join(m, " "), m.of(s), want)
		}
		switch {
		case c.lines != nil:
			expect(t, s.alias+": "+c.key+" in the lines of the log", c.lines(s.lines), want)
		case c.why == "":
			t.Errorf("%s is in no line of the log, and the table does not say why", c.key)
		}
		seen["dbstatus: "+c.key], seen["page: "+c.key] = c.key, c.key
	}
	for from, keys := range map[string][]string{
		"dbstatus: ": slices.Concat(slices.Collect(maps.Keys(s.site)), slices.Collect(maps.Keys(s.status))),
		"page: ":     slices.Concat(slices.Collect(maps.Keys(s.pageSite)), slices.Collect(maps.Keys(s.page))),
		"metrics: ":  slices.Collect(maps.Keys(s.families)),
	} {
		for _, key := range keys {
			if _, known := seen[from+key]; !known {
				t.Errorf("%s%s is a number that no line of the table knows", from, key)
			}
		}
	}
	for _, key := range []string{"in_use", "waiting", "writers", "connecting", "closing", "dedicated"} {
		expect(t, s.alias+": "+key+" at rest", s.status[key], 0)
	}
}
