package telemetry

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// Prometheus makes what Prometheus asks: the reader is for the MeterProvider, and the
// handler answers with what the provider has measured, for "GET /metrics" on the admin
// sockets ([app.Site.HandleAdmin]). It has a registry of its own, in which nothing else is.
func Prometheus() (reader sdkmetric.Reader, metrics http.Handler, err error) {
	registry := prometheus.NewRegistry()
	reader, err = exporter.New(exporter.WithRegisterer(registry))
	if err != nil {
		return nil, nil, err
	}
	return reader, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), nil
}
