// Package telemetry tells OpenTelemetry what a site does: metrics and traces, with the
// names and units of its semantic conventions. It is a module of its own, so that sites
// without it do not link it. Where things go, how they are sampled and how often they are
// sent is decided by the providers that it is given, as everywhere in OpenTelemetry:
//
//	reader, metrics, err := telemetry.Prometheus()
//	...
//	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
//	tracers := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
//	site.HandleAdmin("GET /metrics", metrics)
//	stop, err := telemetry.Start(site, telemetry.Options{MeterProvider: meters, TracerProvider: tracers})
//
// The admin socket is a unix socket; for a Prometheus that cannot ask one, serve
// [app.Site.Admin] on a loopback address, or only its "/metrics".
//
// # Traces
//
//	GET /sales/{id}                the request; the trace of its client goes on
//	├── acquire                    waits for a connection
//	├── hold                       has it, until the release
//	│   ├── SELECT sales           a statement, until its rows are closed
//	│   └── block                  a transaction; savepoints are in it
//	│       ├── BEGIN
//	│       ├── INSERT sales
//	│       └── COMMIT
//	└── stream                     from its start to its end
//
// What the sampler leaves out has no parts: it is asked once for a request.
//
// A task ([db.Run]) has a span of its own in place of the request, once it asks for a
// connection. The context of a request has its span: what the code starts in it, a call of
// another service, belongs to the request. Statements belong to who holds the connection,
// and not to a span that the code has made around them.
//
// # Metrics
//
// By convention, of requests by their route:
//
//	http.server.request.duration     s             histogram, until the last byte
//	http.server.active_requests      {request}     by method
//
// of each pool, by db.client.connection.pool.name, which is the alias:
//
//	db.client.connection.count             {connection}  by state: idle, used
//	db.client.connection.max               {connection}  MAX_CONNECTIONS
//	db.client.connection.idle.max          {connection}  as many may be idle
//	db.client.connection.pending_requests  {request}     who wait for a connection
//	db.client.connection.timeouts          {timeout}     who have waited for nothing
//	db.client.connection.create_time       s             histogram
//	db.client.connection.wait_time         s             histogram
//	db.client.connection.use_time          s             histogram: how long it was held
//
// and of statements:
//
//	db.client.operation.duration           s             histogram, until the database has answered
//
// What no convention has is named quintet: the numbers of [app.Stats] and [db.Stats], which
// say the same as dbstatus does, the part of a hold in which no statement ran
// (quintet.db.connection.idle_time), and the time to the first byte
// (quintet.http.server.first_byte.duration).
//
// # What it costs
//
// A request with one query on SQLite takes 55 µs of one processor without all this, 83 µs
// with metrics, 92 µs with traces besides that the sampler leaves out, and 140 µs with all
// of them, sending left out: BenchmarkRequest_InTurns with GOMAXPROCS=1. With more
// processors the SDK's batches may cost as much again where each span wakes one that idles.
//
// # What is left out
//
// Paths, query strings, headers, addresses, the values of statements and the texts of
// errors are in no output, because they may be secrets: a request is its route, a
// statement its text without values, an error its type or the code of the database. So
// there is no url.path, which the convention has on a request's span. db.namespace is the
// alias, as everywhere in Quintet, and not the name of the database.
package telemetry
