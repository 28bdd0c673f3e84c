package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	notraces "go.opentelemetry.io/otel/trace/noop"

	"github.com/goquintet/quintet/db"
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
	scope *scope
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

func (h *hold) sends(e pool.Sent) {
	h.effect, h.savepoint = pool.NoTxText, ""
	if e.Control {
		h.effect, h.savepoint = pool.TextOf(e.Query)
	}
	switch h.effect {
	case pool.Begins:
		h.enter("block", "", e)
	case pool.Saves:
		h.enter("savepoint", h.savepoint, e)
	}
	h.sent, h.hasRows, h.statement = e.Time, false, notraces.Span{}
	if !h.scope.parts {
		h.operation = operation(pool.Normalize(e.Query, shortText))
		return
	}
	text := pool.Normalize(e.Query, longestText)
	h.operation = operation(text)
	name := summary(h.operation, text)
	alias := h.scope.telemetry.aliases[e.Alias]
	if name == "" {
		name = alias.system.Value.AsString()
	}
	var space [8]attribute.KeyValue
	attributes := append(append(space[:0], alias.statement...), semconv.DBQueryText(text), semconv.DBQuerySummary(name))
	if h.operation != "" {
		attributes = append(attributes, semconv.DBOperationName(h.operation))
	}
	attributes = append(attributes, h.scope.telemetry.place(e.At).attributes...)
	_, h.statement = h.scope.begin(h.inner(), name, e.Time, trace.SpanKindClient, attributes...)
}

// shortText is enough for the first word of a statement.
const shortText = 16

func (h *hold) enter(what, name string, e pool.Sent) {
	b := block{name: name, ctx: h.inner(), span: notraces.Span{}}
	if h.scope.parts {
		b.ctx, b.span = h.scope.begin(b.ctx, what, e.Time, trace.SpanKindInternal, h.scope.telemetry.place(e.At).attributes...)
	}
	h.blocks = append(h.blocks, b)
}

func (h *hold) ends(e pool.Ended) {
	if h.statement == nil {
		return
	}
	answered := e.Answered
	if answered.IsZero() {
		answered = e.Time
	}
	h.measure(answered, e.Err)
	if h.statement.IsRecording() {
		rows := keyRows.Int64(e.Rows)
		if h.hasRows {
			rows = semconv.DBResponseReturnedRows(int(e.Rows))
		}
		h.statement.SetAttributes(rows)
	}
	end(h.statement, e.Time)
	h.statement = nil
	h.leave(e)
}

// measure says how long the statement has taken, and what it failed with.
func (h *hold) measure(answered time.Time, err error) {
	o := outcome{alias: h.alias, operation: h.operation}
	if err != nil {
		o.failure, o.code = errorType(err), codeOf(err)
		if o.code != "" && h.statement.IsRecording() {
			h.statement.SetAttributes(semconv.DBResponseStatusCode(o.code))
		}
		failed(h.statement, err)
	}
	ctx := h.ctx
	if h.statement.IsRecording() { // what is measured may lead to its trace
		ctx = trace.ContextWithSpan(ctx, h.statement)
	}
	t := h.scope.telemetry
	t.operationDuration.Inst().Record(ctx, answered.Sub(h.sent).Seconds(), t.operated(o)...)
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
		if !b.span.IsRecording() {
			continue
		}
		b.span.SetAttributes(keyOutcome.String(outcome))
		if err != nil {
			failed(b.span, err)
		}
		end(b.span, at)
	}
}

func (h *hold) returns(e pool.Returned) {
	if h.statement != nil { // it has not ended: its connection was cut
		h.measure(e.Time, db.ErrReleased)
		end(h.statement, e.Time)
		h.statement = nil
	}
	h.close(0, "ended with the hold", e.Time, nil)
	if !h.span.IsRecording() {
		return
	}
	var space [4]attribute.KeyValue
	attributes := append(space[:0], keyReason.String(e.Reason), keyIdle.Float64(e.Idle.Seconds()), keyKept.Bool(e.Kept))
	if !e.At.IsZero() {
		attributes = append(attributes, keyReleasedAt.String(h.scope.telemetry.place(e.At).text))
	}
	h.span.SetAttributes(attributes...)
	end(h.span, e.Time)
}
