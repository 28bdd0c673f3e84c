package telemetry

import (
	"context"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/goquintet/quintet/db/pool"
)

// What no convention has a name for.
const (
	keyConnection = attribute.Key("quintet.db.connection.id")
	keyReason     = attribute.Key("quintet.db.release.reason")
	keyReleasedAt = attribute.Key("quintet.db.release.at")
	keyIdle       = attribute.Key("quintet.db.connection.idle_time") // in seconds
	keyKept       = attribute.Key("quintet.db.connection.kept")
	keyOutcome    = attribute.Key("quintet.db.block.outcome")
	keyKeeps      = attribute.Key("quintet.stream.keeps_connection")
	keyRows       = attribute.Key("quintet.db.affected_rows")
)

// hold is a connection that somebody has, with what is open on it. The scope's lock
// guards it.
type hold struct {
	alias string
	lease int64
	ctx   context.Context
	span  trace.Span

	blocks []block // the innermost last

	// Of the statement under way.
	statement trace.Span // nil when there is none
	sent      time.Time
	operation string
	hasRows   bool
	effect    pool.TxText
	savepoint string
}

// block is an open transaction, or a savepoint in it.
type block struct {
	name string // of the savepoint
	ctx  context.Context
	span trace.Span
}

// inner is the context of what is done now.
func (h *hold) inner() context.Context {
	if n := len(h.blocks); n > 0 {
		return h.blocks[n-1].ctx
	}
	return h.ctx
}

// longestText bounds the text of a statement in a span.
const longestText = 2 << 10

func (h *hold) sends(t *telemetry, e pool.Sent) {
	h.effect, h.savepoint = pool.NoTxText, ""
	if e.Control {
		h.effect, h.savepoint = pool.TextOf(e.Query)
	}
	switch h.effect {
	case pool.Begins:
		h.enter(t, "block", "", e)
	case pool.Saves:
		h.enter(t, "savepoint", h.savepoint, e)
	}
	text := ""
	if h.span.IsRecording() {
		text = pool.Normalize(e.Query, longestText)
		h.operation = operation(text)
	} else {
		h.operation = operation(pool.Normalize(e.Query, shortText))
	}
	h.sent, h.hasRows = e.Time, false
	name := summary(h.operation, text)
	if name == "" {
		name = t.aliases[e.Alias].system.Value.AsString()
	}
	_, h.statement = t.begin(h.inner(), name, e.Time, trace.SpanKindClient, t.aliases[e.Alias].statement...)
	if !h.statement.IsRecording() {
		return
	}
	h.statement.SetAttributes(semconv.DBQueryText(text), semconv.DBQuerySummary(name))
	if h.operation != "" {
		h.statement.SetAttributes(semconv.DBOperationName(h.operation))
	}
	h.statement.SetAttributes(placed(e.At)...)
}

// shortText is enough for the first word of a statement.
const shortText = 16

func (h *hold) enter(t *telemetry, what, name string, e pool.Sent) {
	b := block{name: name}
	b.ctx, b.span = t.begin(h.inner(), what, e.Time, trace.SpanKindInternal)
	if b.span.IsRecording() {
		b.span.SetAttributes(placed(e.At)...)
	}
	h.blocks = append(h.blocks, b)
}

func (h *hold) ends(t *telemetry, e pool.Ended) {
	if h.statement == nil {
		return
	}
	answered := e.Answered
	if answered.IsZero() {
		answered = e.Time
	}
	attributes := t.aliases[h.alias].statement
	if h.operation != "" {
		attributes = append(attributes[:len(attributes):len(attributes)], semconv.DBOperationName(h.operation))
	}
	if e.Err != nil {
		attributes = append(attributes[:len(attributes):len(attributes)], semconv.ErrorTypeKey.String(errorType(e.Err)))
		if code := codeOf(e.Err); code != "" {
			attributes = append(attributes, semconv.DBResponseStatusCode(code))
			h.statement.SetAttributes(semconv.DBResponseStatusCode(code))
		}
		failed(h.statement, e.Err)
	}
	ctx := h.ctx
	if t.traces { // what is measured may lead to its trace
		ctx = trace.ContextWithSpan(ctx, h.statement)
	}
	t.operationDuration.Inst().Record(ctx, answered.Sub(h.sent).Seconds(), metric.WithAttributeSet(attribute.NewSet(attributes...)))
	if rows := keyRows.Int64(e.Rows); h.statement.IsRecording() {
		if h.hasRows {
			rows = semconv.DBResponseReturnedRows(int(e.Rows))
		}
		h.statement.SetAttributes(rows)
	}
	end(h.statement, e.Time)
	h.statement = nil
	h.leave(e)
}

// leave ends the blocks that a statement has ended. One that could not begin is over as
// well.
func (h *hold) leave(e pool.Ended) {
	outcome, down := "", len(h.blocks)
	switch h.effect {
	case pool.Begins, pool.Saves:
		if e.Err == nil {
			return
		}
		outcome, down = "not begun", len(h.blocks)-1
	case pool.Ends:
		if outcome = "rolled back"; h.operation == "COMMIT" {
			outcome = "committed"
		}
		down = 0
	case pool.Releases, pool.RollsBack:
		if outcome = "rolled back"; h.effect == pool.Releases {
			outcome = "released"
		}
		for i := len(h.blocks) - 1; i >= 0; i-- {
			if h.blocks[i].name == h.savepoint {
				down = i
				break
			}
		}
	}
	h.close(down, outcome, e.Time, e.Err)
}

// close ends the blocks from the innermost down to one.
func (h *hold) close(down int, outcome string, at time.Time, err error) {
	for len(h.blocks) > max(0, down) {
		b := h.blocks[len(h.blocks)-1]
		h.blocks = h.blocks[:len(h.blocks)-1]
		b.span.SetAttributes(keyOutcome.String(outcome))
		if err != nil {
			failed(b.span, err)
		}
		end(b.span, at)
	}
}

func (h *hold) returns(e pool.Returned) {
	if h.statement != nil {
		end(h.statement, e.Time)
		h.statement = nil
	}
	h.close(0, "ended with the hold", e.Time, nil)
	if !h.span.IsRecording() {
		return
	}
	h.span.SetAttributes(keyReason.String(e.Reason), keyIdle.Float64(e.Idle.Seconds()), keyKept.Bool(e.Kept))
	if !e.At.IsZero() {
		h.span.SetAttributes(keyReleasedAt.String(e.At.String()))
	}
	end(h.span, e.Time)
}

// placed is where in the code something was done.
func placed(at pool.Place) []attribute.KeyValue {
	if at.IsZero() {
		return nil
	}
	file, number, found := strings.Cut(at.String(), ":")
	line, err := strconv.Atoi(number)
	if !found || err != nil { // nobody's line is an unknown place
		return nil
	}
	return []attribute.KeyValue{semconv.CodeFilePath(file), semconv.CodeLineNumber(line)}
}
