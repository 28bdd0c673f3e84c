package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"strings"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/telemetry"
	"github.com/goquintet/quintet/views"
)

func ExampleStart() {
	site, err := app.New(app.Settings{AllowedHosts: []string{"example.com"}}, app.Options{Logger: slog.New(slog.DiscardHandler), Routes: func(site *app.Site) {
		site.GET("/polls/{id}", func(*views.Request) (views.Response, error) { return views.Text{Body: "?"}, nil })
	}})
	if err != nil {
		log.Fatal(err)
	}
	reader, metrics, err := telemetry.Prometheus()
	if err != nil {
		log.Fatal(err)
	}
	spans := tracetest.NewInMemoryExporter() // otlptracehttp.New(ctx) in production
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	tracers := sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans))
	site.HandleAdmin("GET /metrics", metrics)
	stop, err := telemetry.Start(site, telemetry.Options{MeterProvider: meters, TracerProvider: tracers})
	if err != nil {
		log.Fatal(err)
	}

	get(site, "/polls/7") // site.Run(ctx)

	for line := range strings.Lines(get(site.Admin(), "/metrics").Body.String()) {
		if strings.HasPrefix(line, "quintet_requests_total") {
			fmt.Print("requests: ", line[strings.LastIndex(line, " ")+1:])
		}
	}
	if err := errors.Join(stop(), tracers.ForceFlush(context.Background())); err != nil {
		log.Fatal(err)
	}
	fmt.Println(spans.GetSpans()[0].Name)
	if err := errors.Join(tracers.Shutdown(context.Background()), meters.Shutdown(context.Background()), site.Close()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// requests: 1
	// GET /polls/{id}
}
