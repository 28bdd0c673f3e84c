package telemetry

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// cache keeps the attributes of what is measured again and again: to sort and hash them
// costs more than to measure. There are few: routes, operations, kinds of errors.
type cache[K comparable] struct {
	mu      sync.RWMutex // guards the rest
	options map[K][]metric.RecordOption
}

func (c *cache[K]) get(key K) []metric.RecordOption {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.options[key]
}

func (c *cache[K]) keep(key K, attributes ...attribute.KeyValue) []metric.RecordOption {
	options := with(attributes...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.options == nil {
		c.options = make(map[K][]metric.RecordOption)
	}
	c.options[key] = options
	return options
}

func with(attributes ...attribute.KeyValue) []metric.RecordOption {
	return []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attributes...))}
}

// answer is what a request is measured by.
type answer struct {
	activity
	route   string
	status  int
	failure string // the type of its error; a 5xx is one by itself
}

// measured are the attributes of what is measured of a request.
func (t *telemetry) measured(a activity, route string, status int, err error) []metric.RecordOption {
	key := answer{activity: a, route: route, status: status}
	if err != nil && status < http.StatusInternalServerError {
		key.failure = errorType(err)
	}
	if options := t.answers.get(key); options != nil {
		return options
	}
	attributes := []attribute.KeyValue{semconv.HTTPRequestMethodKey.String(a.method), semconv.URLScheme(a.scheme)}
	if path := pathOf(route); path != "" {
		attributes = append(attributes, semconv.HTTPRoute(path))
	}
	if status != 0 {
		attributes = append(attributes, semconv.HTTPResponseStatusCode(status))
	}
	switch {
	case status >= http.StatusInternalServerError:
		attributes = append(attributes, semconv.ErrorTypeKey.String(strconv.Itoa(status)))
	case err != nil:
		attributes = append(attributes, semconv.ErrorTypeKey.String(key.failure))
	}
	return t.answers.keep(key, attributes...)
}

// outcome is what a statement is measured by.
type outcome struct{ alias, operation, failure, code string }

func (t *telemetry) operated(o outcome) []metric.RecordOption {
	if options := t.outcomes.get(o); options != nil {
		return options
	}
	attributes := append([]attribute.KeyValue(nil), t.aliases[o.alias].statement...)
	if o.operation != "" {
		attributes = append(attributes, semconv.DBOperationName(o.operation))
	}
	if o.failure != "" {
		attributes = append(attributes, semconv.ErrorTypeKey.String(o.failure))
	}
	if o.code != "" {
		attributes = append(attributes, semconv.DBResponseStatusCode(o.code))
	}
	return t.outcomes.keep(o, attributes...)
}

// lasting is a context without its end: what a request did is told when its client has
// left, too. It is a part of its owner, where context.WithoutCancel is one more piece.
type lasting struct{ context.Context }

// Deadline implements [context.Context].
func (*lasting) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Done implements [context.Context].
func (*lasting) Done() <-chan struct{} { return nil }

// Err implements [context.Context].
func (*lasting) Err() error { return nil }
