package app

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/signals"
)

// The keys of what the site logs.
const (
	keyAlias     = "alias"
	keyBytes     = "bytes"
	keyClient    = "client"
	keyDatabase  = "db"
	keyDuration  = "duration"
	keyErr       = "err"
	keyMethod    = "method"
	keyPath      = "path"
	keyQueries   = "queries"
	keyRequestID = "request_id"
	keyRoute     = "route"
	keyStack     = "stack"
	keyStatus    = "status"
)

// Logger returns the site's logger: that of the Options, above LOG_LEVEL. Records
// that are logged with the context of a request, [slog.Logger.InfoContext], carry
// its request_id.
func (s *Site) Logger() *slog.Logger { return s.logger }

// requestHandler adds the request to what is logged with its context.
type requestHandler struct {
	slog.Handler
	level slog.Level
}

func newLogger(given *slog.Logger, level slog.Level) *slog.Logger {
	if given == nil {
		given = slog.Default()
	}
	return slog.New(requestHandler{given.Handler(), level})
}

func (h requestHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level && h.Handler.Enabled(ctx, level)
}

func (h requestHandler) Handle(ctx context.Context, record slog.Record) error {
	if id := RequestID(ctx); id != "" {
		record = record.Clone()
		record.AddAttrs(slog.String(keyRequestID, id))
	}
	return h.Handler.Handle(ctx, record)
}

func (h requestHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestHandler{h.Handler.WithAttrs(attrs), h.level}
}

func (h requestHandler) WithGroup(name string) slog.Handler {
	return requestHandler{h.Handler.WithGroup(name), h.level}
}

// log writes the line of the request.
func (q *request) log(e signals.RequestFinished) {
	ctx, logger := q.http.Context(), q.site.logger
	level := slog.LevelInfo
	switch {
	case e.Err != nil && q.nobodys(e.Err):
	case e.Status >= http.StatusInternalServerError || q.hasFailed():
		level = slog.LevelError
	case e.Status >= http.StatusBadRequest:
		level = slog.LevelWarn
	case q.recording.Own:
		level = slog.LevelDebug
	}
	if !logger.Enabled(ctx, level) {
		return
	}
	var space [14]slog.Attr
	attrs := append(space[:0],
		slog.String(keyMethod, e.Request.Method), slog.String(keyPath, e.Request.URL.Path), slog.String(keyRoute, e.Route),
		slog.Int(keyStatus, e.Status), slog.Int64(keyBytes, e.Bytes), slog.Duration(keyDuration, e.Duration.Round(time.Microsecond)),
		slog.Duration(keyDatabase, q.inDatabase.Round(time.Microsecond)), slog.Int(keyQueries, q.queries),
		slog.String(keyClient, clientText(q.http)),
	)
	if q.hasStreamed() {
		attrs = append(attrs, slog.Bool("stream", true))
	}
	if e.Hijacked {
		attrs = append(attrs, slog.Bool("hijacked", true))
	}
	if q.writer.aborted.Load() {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	if err := q.reason(); err != nil {
		attrs = append(attrs, slog.Any(keyErr, db.Loggable(err)))
	}
	logger.LogAttrs(ctx, level, "request", slices.Clone(attrs)...)
}

// reason is why the answer is not the usual one.
func (q *request) reason() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return cmp.Or(q.err, q.refusal)
}

func (q *request) hasFailed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.failed
}

func (q *request) hasStreamed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.streamed
}

// report logs the receivers that failed: the request does not depend on them, and
// nobody else could be told.
func (s *Site) report(signal string, results []signals.Result) {
	for _, r := range results {
		if r.Err != nil {
			s.logger.Error("app: a receiver fails", "signal", signal, "receiver", r.Receiver, keyErr, db.Loggable(r.Err))
		}
	}
}
